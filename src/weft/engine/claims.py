"""Claims: who wants which row, and with which value.

Where several want the same row, the claim of the smallest claimant is in force: by record kind,
then by id, then what a record wants by itself before what it wants for an element of a set. So the
rows do not depend on the order of changes.

A large cluster has a hundred thousand ports of other hosts, three rows each, so what is kept for
every row is kept small.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import chain

import msgspec

from weft.engine.readings import Part
from weft.engine.rows import RowChanges, RowKey
from weft.store.interface import Key

RecordName = tuple[str, str]
Claimant = Key | Part
_MISSING = object()


class _Claim(msgspec.Struct, frozen=True, gc=False):
    """The only claim to a row, as nearly all are."""

    claimant: Claimant
    value: Hashable


_Claims = _Claim | dict[Claimant, Hashable]
"""Several: values by claimant."""


class Claims:
    """All claims to rows, and what has changed of the rows since somebody asked."""

    def __init__(self) -> None:
        self._wanted: dict[str, dict[Hashable, _Claims]] = {}
        """By table and row."""
        self._rows: dict[Claimant, tuple[Hashable, ...]] = {}
        """Of each claimant its rows: table, row, table, row …"""
        self._former: dict[RowKey, object] | None = None
        """Of rows that were touched their values before; `_MISSING`: there was no such row. None:
        nobody wants to know yet."""

    def rows(self) -> dict[str, dict[Hashable, Hashable]]:
        """All rows: table -> key -> value. Linear in their number."""
        return {
            table: {key: _in_force(claims) for key, claims in wanted.items()}
            for table, wanted in self._wanted.items()
            if wanted
        }

    def claimants(self, row: RowKey) -> Sequence[RecordName]:
        """(kind, id) of the records that want a row; the first one's value is in force."""
        claims = self._claims(row)
        if claims is None:
            return []
        claimants = [claims.claimant] if isinstance(claims, _Claim) else sorted(claims, key=_order)
        return list(dict.fromkeys(_order(claimant)[:2] for claimant in claimants))

    def replace(self, claimant: Claimant, rows: Mapping[RowKey, Hashable]) -> None:
        """This is what a claimant wants now, and nothing else."""
        for row in self._rows_of(claimant):
            if row not in rows:
                self._drop(claimant, row)
        for row, value in rows.items():
            self._claim(claimant, row, value)
        if rows:
            self._rows[claimant] = tuple(chain.from_iterable(rows))
        else:
            self._rows.pop(claimant, None)

    def take_changes(self) -> RowChanges:
        """What has changed since the last time; the first time, nothing."""
        touched, self._former = self._former or {}, {}
        changes = RowChanges({}, set())
        for row, former in touched.items():
            claims = self._claims(row)
            if claims is None:
                if former is not _MISSING:
                    changes.deletes.add(row)
                continue
            value = _in_force(claims)
            if former is _MISSING or value != former:
                changes.upserts[row] = value
        return changes

    def _touch(self, row: RowKey, claims: _Claims | None) -> None:
        if self._former is not None and row not in self._former:
            self._former[row] = _MISSING if claims is None else _in_force(claims)

    def _rows_of(self, claimant: Claimant) -> Iterator[RowKey]:
        flat = self._rows.get(claimant, ())
        for table, row in zip(flat[::2], flat[1::2], strict=True):
            assert isinstance(table, str)
            yield RowKey(table, row)

    def _claims(self, row: RowKey) -> _Claims | None:
        return self._wanted.get(row.table, {}).get(row.key)

    def _claim(self, claimant: Claimant, row: RowKey, value: Hashable) -> None:
        wanted = self._wanted.get(row.table)
        if wanted is None:
            wanted = self._wanted[row.table] = {}
        claims = wanted.get(row.key)
        self._touch(row, claims)
        if isinstance(claims, dict):
            claims[claimant] = value
        elif claims is None or claims.claimant == claimant:
            wanted[row.key] = _Claim(claimant, value)
        else:
            wanted[row.key] = {claims.claimant: claims.value, claimant: value}

    def _drop(self, claimant: Claimant, row: RowKey) -> None:
        wanted = self._wanted[row.table]
        claims = wanted[row.key]
        self._touch(row, claims)
        if isinstance(claims, _Claim):
            del wanted[row.key]
            return
        del claims[claimant]
        if len(claims) == 1:
            wanted[row.key] = _Claim(*claims.popitem())


def _in_force(claims: _Claims) -> Hashable:
    return claims.value if isinstance(claims, _Claim) else claims[min(claims, key=_order)]


def _order(claimant: Claimant) -> tuple[str, str, str]:
    """An element is told from others by how it is written: any order will do."""
    if isinstance(claimant, Part):
        kind, id = claimant.owner
        return kind.KIND, id, repr((claimant.of, claimant.element))
    kind, id = claimant
    return kind.KIND, id, ""
