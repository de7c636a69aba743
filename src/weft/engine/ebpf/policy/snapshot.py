"""What the maps of rules hold at one look, by edition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from weft.engine.ebpf.map_table import decode_u32, encode_u32
from weft.engine.ebpf.policy.editions import CURRENT, HEADS, SUBJECTS, At, head_atom
from weft.engine.ebpf.policy.regions import Region
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Direction, Rules
from weft.kernel.bpf.maps import Elements

_EMPTY = layouts.Subject().encode()


class Snapshot(NamedTuple):
    """The maps, read once."""

    current: dict[int, int]
    """Editions by subject."""
    subjects: dict[bytes, bytes]
    by_edition: dict[int, dict[int, Region]]
    """Heads by edition, and by atom with its direction; not those about anybody."""

    @classmethod
    def read(cls, open_map: Callable[[str], Elements], end: int) -> Snapshot:
        """`end`: no number of a subject is as large."""
        current = {
            decode_u32(key): layouts.Current.decode(raw).edition
            for key, raw in open_map(CURRENT).read_first(min(end, Rules.SUBJECTS)).items()
        }
        last = max(current.values(), default=0)
        subjects = open_map(SUBJECTS).read_first(2 * min(last + 1, Rules.EDITIONS))
        by_edition: dict[int, dict[int, Region]] = defaultdict(dict)
        for raw_key, raw in open_map(HEADS).read().items():
            key = layouts.HeadKey.decode(raw_key)
            by_edition[key.edition][key.atom] = Region(*layouts.Head.decode(raw))
        return cls(current, subjects, dict(by_edition))

    def regions(self) -> Iterator[Region]:
        """Where current heads lead, each as often as one does."""
        for edition in self.current.values():
            yield from self.by_edition.get(edition, {}).values()
            yield from self._about_anybody(edition).values()

    def heads(self, edition: int, wanted: Iterable[At]) -> dict[At, Region]:
        """Those that are there of what is wanted."""
        anybody = self._about_anybody(edition)
        others = self.by_edition.get(edition, {})
        found = {
            at: others.get(head_atom(at)) if at.atom else anybody.get(at.direction) for at in wanted
        }
        return {at: region for at, region in found.items() if region is not None}

    def count(self, edition: int) -> int:
        """How many heads it has."""
        return len(self.by_edition.get(edition, {})) + len(self._about_anybody(edition))

    def rows(self, edition: int) -> dict[bytes, bytes]:
        """The two of an edition."""
        keys = [encode_u32(edition << 1 | direction) for direction in Direction]
        return {key: self.subjects.get(key, _EMPTY) for key in keys}

    def strays(self, edition: int, heads: Iterable[At]) -> tuple[bytes, ...]:
        """Keys of an edition's heads, but for these."""
        known = {head_atom(at) for at in heads}
        return tuple(
            layouts.HeadKey(edition, atom).encode()
            for atom in self.by_edition.get(edition, {})
            if atom not in known
        )

    def outside(self, editions: Iterable[int]) -> Iterator[bytes]:
        """Keys of heads of other editions than these."""
        known = set(editions)
        for edition, heads in self.by_edition.items():
            if edition not in known:
                for atom in heads:
                    yield layouts.HeadKey(edition, atom).encode()

    def _about_anybody(self, edition: int) -> dict[Direction, Region]:
        found = {}
        for direction, raw in zip(Direction, self.rows(edition).values(), strict=True):
            row = layouts.Subject.decode(raw)
            if row.any_count:
                found[direction] = Region(row.any_offset, row.any_count)
        return found
