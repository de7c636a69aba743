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
from weft.kernel.links import parse_link
from weft.kernel.neighbours import Hop
from weft.kernel.netlink import open_socket, read_news

_GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x40000
"""Devices, neighbours, and addresses, routes and rules of both families (RTMGRP_*)."""
_LINK = (16, 17)
_ADDRESS = (20, 21)
_ROUTE = (24, 25)
_RULE = (32, 33)
SPACING_S = 0.02
"""Between two times that it is told of; what comes meanwhile is told of once."""


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
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        with open_socket(socket.NETLINK_ROUTE, _GROUPS) as sock:
            sock.setblocking(False)
            loop.add_reader(sock, self._receive, sock)
            try:
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    self._on_change()
                    await asyncio.sleep(SPACING_S)
            finally:
                loop.remove_reader(sock)

    def _receive(self, sock: socket.socket) -> None:
        news = read_news(sock)
        interest = self._interest()
        if news is None or any(is_relevant(kind, body, interest) for kind, _, _, body in news):
            self._changed.set()


def is_relevant(kind: int, body: bytes, interest: Interest) -> bool:
    """Whether a message may change a next hop. Routes come and go with devices, so devices count
    only while something leads out of them."""
    if kind in (neighbours.NEW, neighbours.GONE):
        return neighbours.parse(body).hop in interest.hops
    if kind in _LINK:
        return parse_link(body).ifindex in interest.ifindexes
    if kind in _ROUTE:
        return routes.is_of_interest(body)
    if kind in _ADDRESS:
        return int.from_bytes(body[4:8], "little") in interest.ifindexes
    return kind in _RULE
