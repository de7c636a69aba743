"""Editions: all that the rules of a subject say, at one moment. One store makes another one
current, and so no packet meets half of a change.

What is current no more rests for a second, for a program may still be reading it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from weft.engine.ebpf.map_table import encode_u32
from weft.engine.ebpf.policy.regions import Region, Regions
from weft.errors import ExhaustedError, KernelError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Direction, HeadAtom, Rules, SubjectFlag
from weft.kernel.bpf.maps import Elements

CURRENT, SUBJECTS, HEADS = "current_v1", "subjects_v1", "heads_v1"
REST_S = 1.0


class At(NamedTuple):
    """Where in an edition a head is."""

    direction: Direction
    atom: int
    """0: anybody."""
    is_prefix: bool = False


Heads = Mapping[At, Region]


class Edition(NamedTuple):
    """One that is current."""

    number: int
    heads: Heads
    strays: tuple[bytes, ...] = ()
    """Keys of what else it has in the map of heads, though no row says it."""

    @property
    def keys(self) -> tuple[bytes, ...]:
        """In the map of heads."""
        return (*_entries(self.number, self.heads), *self.strays)


class _Resting(NamedTuple):
    due_s: float
    edition: int
    """0: regions alone."""
    keys: tuple[bytes, ...]
    """In the map of heads."""
    regions: tuple[Region, ...]


class Editions:
    """The editions of all subjects, by the subject's number."""

    def __init__(
        self,
        open_map: Callable[[str], Elements],
        regions: Regions,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_map = open_map
        self._regions = regions
        self._now_s = now_s
        self._current: dict[int, Edition] = {}
        self._resting: deque[_Resting] = deque()
        self._used: set[int] = set()
        self._last = 0

    @property
    def due_in_s(self) -> float | None:
        """In how many seconds `tidy` has something to do; None: it has not."""
        return max(0.0, self._resting[0].due_s - self._now_s()) if self._resting else None

    @property
    def resting_keys(self) -> set[bytes]:
        """In the map of heads: what is still there for programs that are reading it."""
        return {key for each in self._resting for key in each.keys}

    @property
    def resting_regions(self) -> list[Region]:
        """Likewise."""
        return [region for each in self._resting for region in each.regions]

    def found(self, current: Mapping[int, Edition], others: Iterable[int]) -> None:
        """What a look has found to be current, by subject; the regions are held already. `others`:
        editions of which there is something, though they are nobody's."""
        self._current = dict(current)
        self._used = {each.number for each in current.values()} | set(others)
        self._used |= {each.edition for each in self._resting}

    def heads(self, subject: int) -> Heads:
        """What is current."""
        found = self._current.get(subject)
        return {} if found is None else found.heads

    def replace(self, subject: int, heads: Heads, gone: Iterable[Region]) -> None:
        """All that a subject's rules say from now on. New regions are held for it; those that are
        `gone` are released in time. ExhaustedError, KernelError: it is as before."""
        former = self._current.get(subject)
        if former is None and not heads:
            return
        changed = {} if former is None else _one_change(former.heads, heads)
        if former is not None and changed:
            self._put(HEADS, _entries(former.number, changed))
            self._current[subject] = former._replace(heads=heads)
            self._rest(0, (), gone)
            return
        if heads:
            self._begin(subject, heads)
        else:
            self._forget(subject)
        if former is not None:
            self._rest(former.number, former.keys, gone)

    def _begin(self, subject: int, heads: Heads) -> None:
        edition = self._new_edition()
        try:
            self._put(HEADS, _entries(edition, heads))
            self._put(SUBJECTS, subject_rows(edition, heads))
            self._put(CURRENT, {encode_u32(subject): layouts.Current(edition).encode()})
        except KernelError:
            self._open_map(HEADS).delete(_entries(edition, heads))
            self._used.discard(edition)
            raise
        self._current[subject] = Edition(edition, heads)

    def remove(self, subject: int) -> None:
        """A subject that an earlier weftd has left behind."""
        self._forget(subject)

    def tidy(self) -> None:
        """Give back what has rested."""
        while self._resting and self._resting[0].due_s <= self._now_s():
            done = self._resting.popleft()
            if done.keys:
                self._open_map(HEADS).delete(done.keys)
            for region in done.regions:
                self._regions.release(region)
            self._used.discard(done.edition)

    def _forget(self, subject: int) -> None:
        for error in self._open_map(CURRENT).delete([encode_u32(subject)]).values():
            raise error
        self._current.pop(subject, None)

    def _new_edition(self) -> int:
        if len(self._used) >= Rules.EDITIONS - 1:
            raise ExhaustedError(
                f"security groups: this host has room for {Rules.EDITIONS - 1} with rules"
            )
        while self._last in self._used or not self._last:
            self._last = (self._last + 1) % Rules.EDITIONS
        self._used.add(self._last)
        return self._last

    def _rest(self, edition: int, keys: Iterable[bytes], regions: Iterable[Region]) -> None:
        due_s = self._now_s() + REST_S
        self._resting.append(_Resting(due_s, edition, tuple(keys), tuple(regions)))

    def _put(self, name: str, items: Mapping[bytes, bytes]) -> None:
        for error in self._open_map(name).update(items).values():
            raise error


def head_atom(at: At) -> int:
    """As keys of heads have it."""
    return at.atom | (HeadAtom.HEAD_EGRESS if at.direction == Direction.EGRESS else 0)


def subject_rows(edition: int, heads: Heads) -> dict[bytes, bytes]:
    """The two rows of an edition."""
    rows = {}
    for direction in Direction:
        own = {at: region for at, region in heads.items() if at.direction == direction}
        anybody = next((own[at] for at in own if not at.atom), Region(0, 0))
        is_naming = any(at.is_prefix for at in own)
        flags = SubjectFlag.SUBJECT_NAMES_PREFIXES.value if is_naming else 0
        bits = filter_of(at.atom for at in own if at.atom)
        row = layouts.Subject(flags, anybody.offset, anybody.span_count, bits)
        rows[encode_u32(edition << 1 | direction)] = row.encode()
    return rows


def filter_of(atoms: Iterable[int]) -> tuple[int, ...]:
    """The bits of atoms that have heads."""
    words = [0] * (Rules.FILTER_BITS // 32)
    for atom in atoms:
        words[atom // 32 % len(words)] |= 1 << atom % 32
    return tuple(words)


def _entries(edition: int, heads: Heads) -> dict[bytes, bytes]:
    return {
        layouts.HeadKey(edition, head_atom(at)).encode(): layouts.Head(*region).encode()
        for at, region in heads.items()
        if at.atom
    }


def _one_change(former: Heads, heads: Heads) -> dict[At, Region]:
    """The one head that differs, if it is one that there was, and no other does."""
    if former.keys() != heads.keys():
        return {}
    changed = {at: region for at, region in heads.items() if former[at] != region}
    return changed if len(changed) == 1 and all(at.atom for at in changed) else {}
