"""BPF maps without a kernel, by their names, as `kernel.bpf.maps` shows them."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping

from weft.errors import KernelError

_ARRAYS = {
    "atom_sets_v1",
    "current_v1",
    "generations_v1",
    "identities_v1",
    "port_rules_v1",
    "rule_counts_v1",
    "rules_v1",
    "spans_v1",
    "subjects_v1",
}


class FakeMap:
    """What one map holds; see `weft.kernel.bpf.maps.BpfMap`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: dict[bytes, bytes] = {}
        self.room: int | None = None
        self.writes = 0

    def lookup(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def read(self) -> dict[bytes, bytes]:
        return dict(self.entries)

    def read_first(self, count: int) -> dict[bytes, bytes]:
        return {
            key: raw for key, raw in self.entries.items() if int.from_bytes(key, "little") < count
        }

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, KernelError]:
        failures = {}
        for key, raw in items.items():
            self.writes += 1
            if self.name in _ARRAYS and not any(raw):
                self.entries.pop(key, None)
            elif self.room is None or key in self.entries or len(self.entries) < self.room:
                self.entries[key] = raw
            else:
                failures[key] = KernelError(f"write BPF map {self.name}", errno.E2BIG, "it is full")
        return failures

    def delete(self, keys: Iterable[bytes]) -> dict[bytes, KernelError]:
        for key in keys:
            self.writes += 1
            self.entries.pop(key, None)
        return {}


class FakeMaps(dict[str, FakeMap]):
    """All of a host's, which come about as they are asked for."""

    def __missing__(self, name: str) -> FakeMap:
        self[name] = FakeMap(name)
        return self[name]

    @property
    def writes(self) -> int:
        """How many entries were written or deleted."""
        return sum(each.writes for each in self.values())
