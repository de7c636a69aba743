"""What changes on the way to other hosts, told at once: routes, rules, neighbours, devices.

Beside `events`, which looks for damage and takes its time: a next hop that moved must be followed
before anybody notices. Only what is in use counts; a host where containers come and go sees
hundreds of messages a second about others.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import NamedTuple

from weft.kernel import neighbours, routes
from weft.kernel.neighbours import Hop
from weft.kernel.netlink import open_socket, read_news, readable

_GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x40000
"""Devices, neighbours, and addresses, routes and rules of both families (RTMGRP_*)."""
_LINK = (16, 17)
_ADDRESS = (20, 21)
_ROUTE = (24, 25)
_RULE = (32, 33)
SPACING_S = 0.02
"""Between two times that the kernel is listened to; what comes meanwhile is told of once."""


class Interest(NamedTuple):
    """What is in use."""

    ifindexes: frozenset[int] = frozenset()
    hops: frozenset[Hop] = frozenset()


class UnderlayEvents:
    """Listens in the namespace in which `run` is called."""

    def __init__(self, interest: Callable[[], Interest], on_change: Callable[[], None]) -> None:
        """`on_change` is called on the event loop, and must not block."""
        self._interest = interest
        self._on_change = on_change

    async def run(self) -> None:
        """Until cancelled."""
        with open_socket(socket.NETLINK_ROUTE, _GROUPS) as sock:
            sock.setblocking(False)
            while True:
                await readable(sock)
                if await self._has_changed(sock):
                    self._on_change()
                await asyncio.sleep(SPACING_S)

    async def _has_changed(self, sock: socket.socket) -> bool:
        """Whether anything that has come until now is of interest."""
        has_changed = False
        while news := read_news(sock):
            interest = self._interest()
            has_changed |= any(
                each is None or is_relevant(each[0], each[3], interest) for each in news
            )
            await asyncio.sleep(0)
        return has_changed


def is_relevant(kind: int, body: bytes, interest: Interest) -> bool:
    """Whether a message may change a next hop. Routes come and go with devices, so devices count
    only while something leads out of them."""
    if kind in (neighbours.NEW, neighbours.GONE):
        return neighbours.parse(body).hop in interest.hops
    if kind in _ROUTE:
        return routes.is_of_interest(body)
    if kind in (*_LINK, *_ADDRESS):
        return int.from_bytes(body[4:8], "little") in interest.ifindexes
    return kind in _RULE
