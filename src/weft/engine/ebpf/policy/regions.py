"""Regions of `spans_v1`: what rules say, wherever several heads say the same once.

A region is written before anybody is led to it, and never changes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import NamedTuple

from weft.engine.ebpf.map_table import encode_u32
from weft.errors import ExhaustedError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Rules
from weft.kernel.bpf.maps import Elements

MAP = "spans_v1"
SPAN_BYTES = len(layouts.Span().encode())


class Region(NamedTuple):
    """Where it lies."""

    offset: int
    span_count: int


class Regions:
    """Which regions are whose."""

    def __init__(self, open_map: Callable[[str], Elements], room: int = Rules.SPANS) -> None:
        self._open_map = open_map
        self._room = room
        self.clear()

    def clear(self) -> None:
        """Nobody holds anything."""
        self._holds: dict[Region, int] = {}
        self._by_content: dict[bytes, Region] = {}
        self._contents: dict[Region, bytes] = {}
        self._gaps: list[Region] = []
        """Free regions below `end`, by offset; no two touch."""
        self.end = 0
        """Of all that is held."""

    def read(self, regions: Mapping[Region, int]) -> dict[Region, bytes]:
        """What regions hold, as far as they are within the map."""
        end = max((each.offset + each.span_count for each in regions), default=0)
        if not end:
            return {}
        found = self._open_map(MAP).read_first(min(end, self._room))
        empty = bytes(SPAN_BYTES)
        return {
            region: b"".join(
                found.get(encode_u32(at), empty)
                for at in range(region.offset, region.offset + region.span_count)
            )
            for region in regions
            if region.offset + region.span_count <= self._room
        }

    def found(self, regions: Mapping[Region, int], contents: Mapping[Region, bytes]) -> None:
        """These are held, so many times each, and nothing else is. What overlaps is nobody's to
        share."""
        self.clear()
        at = 0
        for region in sorted(regions):
            if region not in contents:
                continue
            if region.offset > at:
                self._gaps.append(Region(at, region.offset - at))
            at = max(at, region.offset + region.span_count)
            self._holds[region] = regions[region]
            self._contents[region] = contents[region]
            self._by_content.setdefault(contents[region], region)
        self.end = at

    def hold(self, content: bytes) -> Region:
        """Where these spans are, from now on. ExhaustedError: there is no room."""
        region = self._by_content.get(content)
        if region is None:
            region = self._place(len(content) // SPAN_BYTES)
            self._write(region, content)
            self._by_content[content] = region
            self._contents[region] = content
        self._holds[region] = self._holds.get(region, 0) + 1
        return region

    def release(self, region: Region) -> None:
        """The opposite, once no program can be reading there any more."""
        if region not in self._holds:
            return
        self._holds[region] -= 1
        if self._holds[region]:
            return
        del self._holds[region]
        content = self._contents.pop(region)
        if self._by_content.get(content) == region:
            del self._by_content[content]
        self._give_back(region)

    def _write(self, region: Region, content: bytes) -> None:
        items = {
            encode_u32(region.offset + at): content[at * SPAN_BYTES : (at + 1) * SPAN_BYTES]
            for at in range(region.span_count)
        }
        for error in self._open_map(MAP).update(items).values():
            self._give_back(region)
            raise error

    def _place(self, count: int) -> Region:
        if count > Rules.HEAD_SPANS:
            most = int(Rules.HEAD_SPANS)
            raise ExhaustedError(f"rules of a group about one peer: {count} spans, {most} at most")
        for at, gap in enumerate(self._gaps):
            if gap.span_count >= count:
                rest = Region(gap.offset + count, gap.span_count - count)
                self._gaps[at : at + 1] = [rest] if rest.span_count else []
                return Region(gap.offset, count)
        if self.end + count > self._room:
            raise ExhaustedError(
                f"security rules: no room for {count} more spans, this host has {self._room}"
            )
        self.end += count
        return Region(self.end - count, count)

    def _give_back(self, region: Region) -> None:
        at = bisect_left(self._gaps, region)
        first, last = region.offset, region.offset + region.span_count
        if at < len(self._gaps) and self._gaps[at].offset == last:
            last += self._gaps.pop(at).span_count
        if at and self._gaps[at - 1].offset + self._gaps[at - 1].span_count == first:
            at -= 1
            first = self._gaps.pop(at).offset
        if last == self.end:
            self.end = first
        else:
            self._gaps.insert(at, Region(first, last - first))
