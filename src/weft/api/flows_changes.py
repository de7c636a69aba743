"""What of connections is new, when hosts are asked again and again for what has changed. Pure.

The same change is told by each host that has seen it, and again by the next answers, for they reach
back further than to the ones before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from weft.api.flow_infos import APART_S, Name, name_of
from weft.api.schema import FlowInfo, FlowLine

KEPT_S = 120.0
"""What was told is known for so long. Answers reach back no further."""


@dataclass(slots=True)
class _Told:
    """A connection of which something was told."""

    began_s: float
    seen_s: float
    is_denied: bool
    is_ended: bool
    at_s: float


class Changes:
    """All that one who follows was told."""

    def __init__(self) -> None:
        self._told: defaultdict[Name, list[_Told]] = defaultdict(list)

    def lines(self, infos: Iterable[FlowInfo], since_s: float, now_s: float) -> Iterator[FlowLine]:
        """Of connections that have changed. since_s: what began earlier is not told to have begun;
        Unix time, as `now_s`."""
        self._forget(now_s)
        for info in sorted(infos, key=lambda one: one.began_s):
            told = self._find(info)
            if told is None:
                told = _Told(info.began_s, info.seen_s, False, False, now_s)
                self._told[name_of(info)].append(told)
                is_new = True
            else:
                is_new = False
            yield from self._lines(info, told, is_begun=is_new and info.began_s >= since_s)
            told.at_s = now_s

    def _lines(self, info: FlowInfo, told: _Told, *, is_begun: bool) -> Iterator[FlowLine]:
        if info.verdict == "denied":
            if not told.is_denied or info.seen_s > told.seen_s:
                yield FlowLine(event="denied", flow=info)
            told.is_denied, told.seen_s = True, max(told.seen_s, info.seen_s)
            return
        if is_begun:
            yield FlowLine(event="began", flow=info)
        if info.ended_s is not None and not told.is_ended:
            told.is_ended = True
            yield FlowLine(event="ended", flow=info)

    def _find(self, info: FlowInfo) -> _Told | None:
        is_denied = info.verdict == "denied"
        for told in self._told.get(name_of(info), ()):
            if is_denied and told.is_denied:
                return told
            if abs(told.began_s - info.began_s) <= APART_S:
                return told
        return None

    def _forget(self, now_s: float) -> None:
        for name, each in list(self._told.items()):
            each[:] = [told for told in each if told.at_s > now_s - KEPT_S]
            if not each:
                del self._told[name]
