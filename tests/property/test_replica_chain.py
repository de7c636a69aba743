"""A host that stays on a network gets every packet that is flooded while others come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from random import Random
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from weft.engine.ebpf.drivers.maps import MapDriver
from weft.engine.ebpf.map_table import Names
from weft.engine.ebpf.tables.replicas import REPLICAS, ReplicaKey
from weft.kernel.bpf import layouts
from weft.kernel.bpf.maps import BpfMap

VNI = 7
hosts = st.sets(st.integers(1, 12))


class Map:
    """Entries as the kernel has them, changed one by one."""

    def __init__(self, after_each: Callable[[Mapping[bytes, bytes]], None]) -> None:
        self.entries: dict[bytes, bytes] = {}
        self._after_each = after_each

    def read(self) -> dict[bytes, bytes]:
        return dict(self.entries)

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, Exception]:
        for key, value in items.items():
            self.entries[key] = value
            self._after_each(self.entries)
        return {}

    def delete(self, keys: Iterable[bytes]) -> dict[bytes, Exception]:
        for key in keys:
            del self.entries[key]
            self._after_each(self.entries)
        return {}


def chain(tags: Iterable[int]) -> dict[ReplicaKey, int]:
    return {ReplicaKey(VNI, after): tag for after, tag in pairwise([0, *sorted(tags)])}


def reached(entries: Mapping[bytes, bytes]) -> list[int]:
    """As the programs walk."""
    found: list[int] = []
    after = 0
    while raw := entries.get(layouts.ReplicaKey(VNI, after).encode()):
        after = layouts.Replica.decode(raw).tag
        found.append(after)
    return found


@given(st.lists(hosts, min_size=2, max_size=5), st.randoms())
def test_nobody_who_stays_misses_a_packet(history: list[set[int]], random: Random) -> None:
    staying: set[int] = set()

    def look(entries: Mapping[bytes, bytes]) -> None:
        walk = reached(entries)
        assert staying <= set(walk)
        assert len(walk) == len(set(walk))

    kernel = Map(look)
    table = MapDriver(
        REPLICAS,
        lambda: cast("BpfMap", kernel),
        cast("Names", None),
    )
    before: dict[ReplicaKey, int] = {}
    for former, now in pairwise([set(), *history]):
        staying = former & now
        wanted = chain(now)
        changed = [key for key, tag in wanted.items() if before.get(key) != tag]
        random.shuffle(changed)
        table.write({key: wanted[key] for key in changed}, before.keys() - wanted.keys())
        assert reached(kernel.entries) == sorted(now)
        before = wanted
