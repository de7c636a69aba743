"""`policy_rules`: a map like the others, but a rule stays when it goes, for flows name it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping

from weft.engine.ebpf.drivers.maps import MapDriver
from weft.engine.ebpf.map_table import Names
from weft.engine.ebpf.tables.policy_rules import POLICY_RULES
from weft.engine.rows import RowFailure, RowKey
from weft.errors import KernelError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RuleFlag
from weft.kernel.bpf.maps import Elements


class PolicyRuleDriver(MapDriver):
    """See `engine.rows.Driver`."""

    def __init__(
        self,
        open_map: Callable[[], Elements],
        open_counts: Callable[[], Elements],
        names: Names,
        end: Callable[[], int],
    ) -> None:
        """`end`: no number of a rule is as large."""
        super().__init__(POLICY_RULES, lambda: _Living(open_map(), end()), names)
        self._open_counts = open_counts

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`. What was counted for another rule of the number is not a new
        rule's."""
        opened = self._open_map()
        new = []
        failures = []
        for key in upserts:
            try:
                raw_key = self._table.keys.encode(key, self._names)
            except Exception as error:
                failures.append(RowFailure(RowKey(self.name, key), str(error)))
                continue
            if opened.lookup(raw_key) is None:
                new.append(raw_key)
        if new:
            self._open_counts().delete(new)
        failed = {failure.row.key for failure in failures}
        rest = {key: value for key, value in upserts.items() if key not in failed}
        return failures + super().write(rest, deletes)


class _Living:
    """The rules that are said, of all that the map has; see `maps.Entries`."""

    def __init__(self, entries: Elements, end: int) -> None:
        self._entries = entries
        self._end = end

    def lookup(self, key: bytes) -> bytes | None:
        """One value; None: there is none, or it is gone."""
        raw = self._entries.lookup(key)
        return None if raw is None or _is_gone(raw) else raw

    def read(self) -> dict[bytes, bytes]:
        """All entries."""
        found = self._entries.read_first(self._end)
        return {key: raw for key, raw in found.items() if not _is_gone(raw)}

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, KernelError]:
        """Write entries."""
        return self._entries.update(items)

    def delete(self, keys: Iterable[bytes]) -> dict[bytes, KernelError]:
        """Say that they are gone."""
        there = {key: self.lookup(key) for key in keys}
        return self._entries.update({key: _gone(raw) for key, raw in there.items() if raw})


def _is_gone(raw: bytes) -> bool:
    return bool(layouts.Rule.decode(raw).flags & RuleFlag.RULE_GONE)


def _gone(raw: bytes) -> bytes:
    rule = layouts.Rule.decode(raw)
    return rule._replace(flags=rule.flags | RuleFlag.RULE_GONE).encode()
