"""Which hosts this one exchanges packets with, by what the programs note of its tunnels. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol

from weft.kernel.tunnel_traffic import Used
from weft.model.addresses import IPAddress

TALK_S = 60.0
"""A path counts as one that carries packets for so long after the last one."""


class Traffic(Protocol):
    """The tunnels of this host. See `kernel.tunnel_traffic.TunnelTraffic`."""

    def used(self) -> Mapping[int, Used]:
        """By the tag of the host at the tunnel's other end."""
        ...


class Talk:
    """Time is passed in. Packets that are sent count: a host that only receives leaves it to the
    sender to find out that nothing arrives."""

    def __init__(self) -> None:
        self._marks: dict[int, int] = {}
        self._until_s: dict[int, float] = {}

    def hear(
        self,
        used: Mapping[int, Used],
        tag_of: Callable[[IPAddress], int | None],
        now_s: float,
    ) -> set[int]:
        """Take note of the tunnels as they are now; gives the tags of the hosts with which this
        host has just begun to talk. tag_of: the host that has an address. A relay counts as talked
        to by every host that talks through it. Marks that were there before the first call count as
        new ones."""
        heard: set[int] = set()
        for tag, (mark, relay) in used.items():
            if mark and mark != self._marks.get(tag):
                heard.add(tag)
                via = tag_of(relay) if relay is not None else None
                if via is not None:
                    heard.add(via)
        self._marks = {tag: each.mark for tag, each in used.items()}
        begun = {tag for tag in heard if not self.is_with(tag, now_s)}
        self._until_s = {tag: at_s for tag, at_s in self._until_s.items() if at_s > now_s}
        self._until_s.update(dict.fromkeys(heard, now_s + TALK_S))
        return begun

    def is_with(self, tag: int, now_s: float) -> bool:
        """Whether packets have been sent to the host lately."""
        return self._until_s.get(tag, -math.inf) > now_s

    @property
    def count(self) -> int:
        """Hosts that this one talks to, as of the last `hear`."""
        return len(self._until_s)
