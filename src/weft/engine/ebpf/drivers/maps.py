"""The driver of a table that is a BPF map."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple

from weft.engine.ebpf.map_table import MapTable, Names
from weft.engine.rows import RowFailure, RowKey
from weft.errors import NotFoundError
from weft.kernel.bpf.maps import Entries


class ForeignKey(NamedTuple):
    """Of an entry that no row of the table looks like: somebody else wrote it, and it goes."""

    raw: bytes


class MapDriver:
    """Rows as entries of a pinned map.

    Reading encodes what is desired and compares bytes: 100 000 entries cost no more objects than
    the desired rows have already. Only what differs is decoded.
    """

    def __init__(
        self,
        table: MapTable[Any, Any],
        open_map: Callable[[], Entries],
        names: Names,
    ) -> None:
        """`open_map` gives the map that is in use now; it may be another after a repair."""
        self.name = table.name
        self._table = table
        self._open_map = open_map
        self._names = names

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`."""
        table, names = self._table, self._names
        raw = self._open_map().read()
        found: dict[Hashable, Hashable] = {}
        for key, value in desired.items():
            try:
                raw_key = table.keys.encode(key, names)
                raw_value = table.values.encode(value, names)
            except Exception:
                continue  # said when it is written
            if raw.get(raw_key) == raw_value:
                del raw[raw_key]
                found[key] = value
        for raw_key, raw_value in raw.items():
            key = self._key_of(raw_key)
            try:
                found[key] = table.values.decode(raw_value, names)
            except Exception:
                found[key] = raw_value  # what no row says
        return found

    def _key_of(self, raw: bytes) -> Hashable:
        """What is not just what a row's key looks like must not be taken for that row."""
        table, names = self._table, self._names
        try:
            key: Hashable = table.keys.decode(raw, names)
            is_own = table.keys.encode(key, names) == raw
        except Exception:
            is_own = False
        return key if is_own else ForeignKey(raw)

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`. What goes, goes last: nothing written leads there any more."""
        failures: list[RowFailure] = []
        table, names = self._table, self._names
        items: dict[bytes, bytes] = {}
        keys: dict[bytes, Hashable] = {}
        for key, value in self._in_order(upserts):
            try:
                raw_key = table.keys.encode(key, names)
                items[raw_key] = table.values.encode(value, names)
                keys[raw_key] = key
            except NotFoundError as error:
                failures.append(RowFailure(RowKey(self.name, key), str(error)))
            except Exception as error:
                # Whatever a row makes fail, it is this row alone that is not in force.
                reason = f"{type(error).__name__}: {error}"
                failures.append(RowFailure(RowKey(self.name, key), reason))
        if items:
            failures += self._failures(self._open_map().update(items), keys)
        return failures + self._delete(deletes)

    def _in_order(self, upserts: Mapping[Any, Hashable]) -> Iterable[tuple[Any, Hashable]]:
        order = self._table.write_order
        if order is None:
            return upserts.items()
        return sorted(upserts.items(), key=lambda item: order(item[0]))

    def _delete(self, deletes: Iterable[Hashable]) -> list[RowFailure]:
        """A key whose device is gone is left to the next look, which reads it as ``#IFINDEX``."""
        keys: dict[bytes, Hashable] = {}
        for key in deletes:
            if isinstance(key, ForeignKey):
                keys[key.raw] = key
                continue
            try:
                keys[self._table.keys.encode(key, self._names)] = key
            except Exception:
                continue  # it never was in the map
        return self._failures(self._open_map().delete(keys), keys) if keys else []

    def _failures(
        self, errors: Mapping[bytes, Exception], keys: Mapping[bytes, Hashable]
    ) -> list[RowFailure]:
        return [
            RowFailure(RowKey(self.name, keys[raw_key]), str(error))
            for raw_key, error in errors.items()
        ]
