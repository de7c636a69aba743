"""Identities: what the rules of this host know of an address, as one number of the host's own.

An identity is a set of atoms, and never changes; an address that becomes something else gets
another identity. Atoms lie in rows of fifteen, chained where there are more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from weft.engine.ebpf.map_table import decode_u32, encode_u32
from weft.engine.ebpf.policy.atoms import Atom
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.policy.numbers import Numbers
from weft.errors import ExhaustedError, NotFoundError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Rules
from weft.kernel.bpf.maps import Elements

MAP, SETS_MAP = "identities_v1", "atom_sets_v1"
_PIECE, _CHAIN = int(Rules.ATOM_SET_ATOMS), int(Rules.ATOM_SET_CHAIN)
MOST_ATOMS = _PIECE * _CHAIN
_Set = tuple[int, ...]
"""Numbers of atoms, ascending."""


class Identities:
    """Sets of atoms <-> identities."""

    def __init__(
        self,
        open_map: Callable[[str], Elements],
        numbering: Numbering,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_map = open_map
        self._numbering = numbering
        self._numbers = Numbers[_Set]("sets of groups of addresses", Rules.IDENTITIES, now_s)
        self._rows = Numbers[tuple[_Set, int]]("sets of groups", Rules.ATOM_SETS, now_s)
        """By the set and the place in its chain."""
        self._is_loaded = False

    def of(self, atoms: tuple[Atom, ...]) -> int:
        """The identity of whoever is this; 0: nothing that a rule names. ExhaustedError: there are
        no more, or it is too much at once."""
        if not atoms:
            return 0
        if len(atoms) > MOST_ATOMS:
            raise ExhaustedError(
                f"an address in {len(atoms)} groups that rules name: {MOST_ATOMS} are the most; "
                "take it out of some, or have rules name fewer"
            )
        key = tuple(sorted(self._numbering.number(Kind.ATOM, atom) for atom in atoms))
        if not self._is_loaded:
            self._load()
        identity = self._numbers.of(key)
        if identity is None:
            rows = [self._row(key, at) for at in range(0, len(key), _PIECE)]
            identity = self._numbers.new(key)
            self._write(identity, key, rows)
        self._hold(key)
        return identity

    def atoms(self, identity: int) -> tuple[Atom, ...]:
        """The opposite. NotFoundError: nothing that this weftd was asked for. It is needed all the
        same, for it was found in a row."""
        if not identity:
            return ()
        key = self._numbers.key(identity)
        if key is None:
            raise NotFoundError(f"identity {identity}: nobody's")
        self._hold(key)
        found = [self._numbering.symbol(Kind.ATOM, number) for number in key]
        return tuple(sorted(found, key=repr))  # type: ignore[arg-type]

    def begin_look(self) -> None:
        """See `Numbers.begin_look`. What is not as it should be is written again."""
        if not self._is_loaded:
            self._load()
        self._numbers.begin_look()
        self._rows.begin_look()
        self._mend()

    def end_look(self) -> None:
        """Give up the identities that no row names any more."""
        gone = [encode_u32(identity) for _, identity in self._numbers.end_look()]
        if gone:
            self._open_map(MAP).delete(gone)
        self._rows.end_look()

    def _hold(self, key: _Set) -> None:
        self._numbers.of(key)
        for at in range(0, len(key), _PIECE):
            self._rows.of((key, at))
        for number in key:
            self._numbering.hold(Kind.ATOM, number)

    def _row(self, key: _Set, at: int) -> int:
        row = self._rows.of((key, at))
        return self._rows.new((key, at)) if row is None else row

    def _write(self, identity: int, key: _Set, rows: list[int]) -> None:
        for error in self._open_map(SETS_MAP).update(_chain(key, rows)).values():
            raise error
        items = {encode_u32(identity): layouts.Identity(rows[0]).encode()}
        for error in self._open_map(MAP).update(items).values():
            raise error

    def _load(self) -> None:
        """What an earlier weftd has written, as far as it is whole."""
        self._is_loaded = True
        sets = self._open_map(SETS_MAP).read()
        for raw_key, raw in self._open_map(MAP).read().items():
            rows, key = _chained(layouts.Identity.decode(raw).set, sets)
            if not rows or self._numbers.of(key) is not None:
                continue
            self._numbers.found(key, decode_u32(raw_key))
            for place, row in enumerate(rows):
                self._rows.found((key, place * _PIECE), row)

    def _mend(self) -> None:
        if not len(self._numbers):
            return
        sets = _first(self._open_map(SETS_MAP), self._rows.end)
        identities = _first(self._open_map(MAP), self._numbers.end)
        for identity in range(1, self._numbers.end):
            key = self._numbers.key(identity)
            if key is None:
                continue
            rows = [self._row(key, at) for at in range(0, len(key), _PIECE)]
            wanted = layouts.Identity(rows[0]).encode()
            is_whole = identities.get(encode_u32(identity)) == wanted
            if not is_whole or any(sets.get(row) != raw for row, raw in _chain(key, rows).items()):
                self._write(identity, key, rows)
        self._rows.begin_look()


def _chain(key: _Set, rows: list[int]) -> dict[bytes, bytes]:
    found = {}
    for place, row in enumerate(rows):
        piece = key[place * _PIECE : (place + 1) * _PIECE]
        following = rows[place + 1] if place + 1 < len(rows) else 0
        padded = (*piece, *(0,) * (_PIECE - len(piece)))
        found[encode_u32(row)] = layouts.AtomSet(len(piece), following, padded).encode()
    return found


def _chained(row: int, sets: Mapping[bytes, bytes]) -> tuple[list[int], _Set]:
    """The rows of a chain, and the atoms in them; no rows: it is none."""
    rows: list[int] = []
    atoms: list[int] = []
    while row:
        raw = sets.get(encode_u32(row))
        if raw is None or len(rows) == _CHAIN:
            return [], ()
        found = layouts.AtomSet.decode(raw)
        rows.append(row)
        atoms += found.atoms[: found.atom_count]
        row = found.next
    key = tuple(sorted(set(atoms)))
    return (rows, key) if key == tuple(atoms) else ([], ())


def _first(entries: Elements, end: int) -> dict[bytes, bytes]:
    return entries.read_first(end)
