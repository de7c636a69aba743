"""A network namespace, and sockets in it, which this very process reads."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.conformance.packets import Seen, parse
from weft.kernel import netns
from weft.lab.host import LabHost

_ETH_P_ALL = 3
_ARP, _IPV4 = 0x0806, 0x0800
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23


class Place:
    """A namespace on a host of the lab. It is used again and again."""

    def __init__(self, host: LabHost, number: int, name: str) -> None:
        self.number = number
        """Of the host: 1 or 2."""
        self.name = name
        self._forwards = False
        self._host = host
        self.path = f"/run/netns/{name}"
        """As its host sees it."""
        host.run(["sh", "-c", f"ip netns add {name} && ip -n {name} link set lo up"])
        assert host.weftd is not None
        here = f"/proc/{host.weftd.pid}/root{self.path}"
        self._fd = os.open(here, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of it. It goes with the lab."""
        os.close(self._fd)

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """One in there that does not block."""
        with netns.entered(f"/proc/self/fd/{self._fd}"):
            made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    def set_forwarding(self, is_on: bool) -> None:
        """Whether it routes packets of others."""
        if is_on == self._forwards:
            return
        with netns.entered(f"/proc/self/fd/{self._fd}"):
            for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                (Path("/proc/sys/net") / name).write_text(str(int(is_on)))
        self._forwards = is_on

    def set_gateways(self, addresses: Iterable[str]) -> None:
        """Where it sends what is not on its networks."""
        lines = [
            f"ip -n {self.name} {'-6' if ':' in each else '-4'} route replace default via {each}"
            for each in addresses
        ]
        self._host.run(["sh", "-ec", "\n".join(lines)])

    def hold(self, ifname: str, addresses: Iterable[str]) -> None:
        """Give a device addresses that nobody else gives it; they go with it."""
        lines = [
            f"ip -n {self.name} address add {each} dev {ifname} {'nodad' if ':' in each else ''}"
            for each in addresses
        ]
        if lines:
            self._host.run(["sh", "-ec", "\n".join(lines)])

    def devices(self) -> set[str]:
        """All but its loopback."""
        with netns.entered(f"/proc/self/fd/{self._fd}"):
            return {name for _, name in socket.if_nameindex()} - {"lo"}


class Tap:
    """Sees each packet that comes in by one device of a place."""

    def __init__(self, place: Place, ifname: str) -> None:
        self._socket = place.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((ifname, _ETH_P_ALL))

    def fileno(self) -> int:
        """To wait for it."""
        return self._socket.fileno()

    def seen(self) -> Iterator[Seen]:
        """What has come in since the last time."""
        while True:
            try:
                data = self._socket.recv(65535)
            except BlockingIOError:
                return
            packet = parse(data)
            if packet is not None:
                yield packet

    def close(self) -> None:
        """See no more."""
        self._socket.close()


class NeighbourQuery:
    """Asks by ARP where an address is: what a network answers once it knows."""

    def __init__(self, place: Place, ifname: str, mac: str, source: str, target: str) -> None:
        self._socket = place.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        self._socket.bind((ifname, _ARP))
        own, there = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(target)
        body = struct.pack("!HHBBH", 1, _IPV4, 6, 4, 1)
        body += own + socket.inet_aton(source) + bytes(6) + there
        self._there = there
        self._socket.sendto(body, (ifname, _ARP, 0, 0, b"\xff" * 6))

    def fileno(self) -> int:
        """To wait for it."""
        return self._socket.fileno()

    def is_answered(self) -> bool:
        """Whether the answer has come."""
        while True:
            try:
                data = self._socket.recv(100)
            except BlockingIOError:
                return False
            if data[6:8] == b"\0\2" and data[14:18] == self._there:
                return True

    def close(self) -> None:
        """Ask no more."""
        self._socket.close()
