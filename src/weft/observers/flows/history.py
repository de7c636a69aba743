"""Connections that have ended, and what was denied: remembered for a while. Pure.

What workloads do fills it, so it is bounded, in number and in time: the oldest go first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from weft.observers.flows.seen import FlowSeen

MOST = 8192
"""Some 8 MB."""
KEPT_S = 3600.0


class _Name(NamedTuple):
    """What makes a connection the same one."""

    tuple_: tuple[object, ...]
    began_s: float
    """0: of what is denied, which is one as long as it is tried again."""


class History:
    """The last ones that have ended."""

    def __init__(self, most: int = MOST, kept_s: float = KEPT_S) -> None:
        self._most = most
        self._kept_s = kept_s
        self._ended: OrderedDict[_Name, FlowSeen] = OrderedDict()
        self.forgotten = 0
        """Before their time, for there were too many."""

    def __len__(self) -> int:
        return len(self._ended)

    def add(self, flow: FlowSeen, now_s: float) -> None:
        """One that has ended. What is denied again and again is one, with all its packets."""
        name = _name(flow)
        former = self._ended.pop(name, None)
        if former is not None and flow.denied_by is not None:
            flow = msgspec.structs.replace(
                flow,
                packets=former.packets + flow.packets,
                octets=former.octets + flow.octets,
                began_s=former.began_s,
            )
        self._ended[name] = flow
        self._forget(now_s)
        if len(self._ended) > self._most:
            self._ended.popitem(last=False)
            self.forgotten += 1

    def latest(self) -> Iterator[FlowSeen]:
        """Those that ended last come first."""
        return reversed(self._ended.values())

    def _forget(self, now_s: float) -> None:
        while self._ended:
            oldest = next(iter(self._ended.values()))
            if (oldest.ended_s or 0.0) > now_s - self._kept_s:
                return
            self._ended.popitem(last=False)


def _name(flow: FlowSeen) -> _Name:
    return _Name(
        (
            flow.network_id,
            flow.protocol,
            flow.source,
            flow.source_port,
            flow.destination,
            flow.destination_port,
        ),
        0.0 if flow.denied_by is not None else flow.began_s,
    )
