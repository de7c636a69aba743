"""Flows of datagrams: from a client to Weft's own address, and on to the workload."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any, NamedTuple

from weft.errors import KernelError
from weft.kernel import conntrack
from weft.model.addresses import IPAddress, ip_address
from weft.model.service_addresses import PROXY_PORT
from weft.proxy.tcp import Find, listening, marked

MAX_FLOWS = 1024
"""Datagrams of a client that comes beyond that are dropped."""
IDLE_S = 60.0
_LARGEST = 1 << 16
_AT_ONCE = 64
Client = tuple[Any, ...]
"""Its address, as the socket says it."""


class _Flow(NamedTuple):
    workload: socket.socket
    meant: tuple[IPAddress, int]
    """Where the client sends to, as it sees it."""
    target: tuple[IPAddress, int]
    used_at_s: list[float]
    """One number: when anything last went either way."""


class UdpProxy:
    """One socket for all clients of a family, and one for each of them towards its workload."""

    def __init__(self, address: IPAddress, find: Find) -> None:
        self._address = address
        self._find = find
        self._socket = listening(address, socket.SOCK_DGRAM)
        self._conntrack = conntrack.open_netlink()
        self._flows: dict[Client, _Flow] = {}

    def stop(self) -> None:
        """Close everything: the next datagram of a flow finds whoever proxies then."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        for client in list(self._flows):
            self._end(client)
        self._socket.close()
        self._conntrack.close()

    async def run(self) -> None:
        """Proxy until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._from_clients)
        while True:
            await asyncio.sleep(IDLE_S / 4)
            now_s = loop.time()
            for client, flow in list(self._flows.items()):
                if now_s - flow.used_at_s[0] > IDLE_S:
                    self._end(client)

    def look_again(self) -> None:
        """Ports lead elsewhere now: end the flows that lead where they no longer should."""
        for client, flow in list(self._flows.items()):
            if self._find("udp", *flow.meant) != flow.target:
                self._end(client)

    def _from_clients(self) -> None:
        with suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                data, client = self._socket.recvfrom(_LARGEST)
                flow = self._flows.get(client) or self._begin(client)
                if flow is not None:
                    flow.used_at_s[0] = asyncio.get_running_loop().time()
                    with suppress(OSError):
                        flow.workload.send(data)

    def _begin(self, client: Client) -> _Flow | None:
        if len(self._flows) >= MAX_FLOWS:
            return None
        try:
            meant = conntrack.original_udp_destination(
                self._conntrack, (self._address, PROXY_PORT), (ip_address(client[0]), client[1])
            )
            target = self._find("udp", *meant) if meant is not None else None
        except (KernelError, ValueError):
            return None
        if meant is None or target is None:
            return None
        workload = marked(target[0], socket.SOCK_DGRAM)
        try:
            workload.connect((str(target[0]), target[1]))
        except OSError:
            workload.close()
            return None
        loop = asyncio.get_running_loop()
        flow = self._flows[client] = _Flow(workload, meant, target, [loop.time()])
        loop.add_reader(workload, self._from_workload, client, flow)
        return flow

    def _from_workload(self, client: Client, flow: _Flow) -> None:
        try:
            for _ in range(_AT_ONCE):
                data = flow.workload.recv(_LARGEST)
                flow.used_at_s[0] = asyncio.get_running_loop().time()
                self._socket.sendto(data, client)
        except BlockingIOError:
            pass
        except OSError:  # nobody listens in the workload
            self._end(client)

    def _end(self, client: Client) -> None:
        flow = self._flows.pop(client)
        asyncio.get_running_loop().remove_reader(flow.workload)
        flow.workload.close()
