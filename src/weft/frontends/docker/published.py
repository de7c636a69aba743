"""Published ports (``docker -p``): which ports of the host lead to which of a container.

Docker names each port by itself, 65,535 of them for a large range, in no order; those that follow
one another, here and in the container, are one row of ports to Weft. A host port is free when no
other port of Weft's publishes it and nothing on the host listens there. The latter is found by
binding a socket and closing it again, as unprivileged as `connect`.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from weft.control.held_ports import HeldPorts
from weft.control.rivals import check_has_way_out
from weft.errors import ConflictError, ExhaustedError, InvalidError
from weft.frontends.docker.options import parse_address
from weft.frontends.docker.protocol import PortBinding
from weft.frontends.docker.state import DockerState
from weft.model.addresses import IPAddress
from weft.model.choices import TransportProtocol
from weft.model.records import Network, Port, PublishedPort

_PROTOCOLS = {
    6: TransportProtocol.TCP,
    17: TransportProtocol.UDP,
    132: TransportProtocol.SCTP,
}
_NUMBERS = {name: number for number, name in _PROTOCOLS.items()}
EPHEMERAL = range(49153, 65536)
"""From here host ports are taken when the user names none; the same range as Docker's."""
_TRIES = 64
_PROBED_ONE_BY_ONE = 64
"""Of a longer row, only ports on which a socket is known to be are tried."""

Probe = Callable[[PublishedPort], int | None]
"""The first of its host ports on which something on the host listens."""


class _Obstacle(NamedTuple):
    """Why a row of ports cannot be had."""

    number: int
    reason: str


class HostPorts:
    """Chooses and records host ports; one request at a time, so that none is given twice."""

    def __init__(self, state: DockerState, is_listening: Probe) -> None:
        self._state = state
        self._control = state.control
        self._is_listening = is_listening
        self._lock = asyncio.Lock()

    async def publish(self, port: Port, bindings: Sequence[PortBinding]) -> None:
        """Publish all of `bindings` for a port, or none; the same again changes nothing."""
        wanted = await asyncio.to_thread(wishes, bindings)
        async with self._lock:
            current = self._control.view.get(Port, port.id) or port
            if _is_same(current.published, wanted):
                return
            network = self._control.view.get(Network, current.network_id)
            if bindings and network is not None:
                check_has_way_out(self._control.view, network, "publish a port of")
            held = self._held_by_others(current)
            chosen: list[PublishedPort] = []
            for wish in wanted:
                chosen.append(await self._choose(current, wish, held))
                held.hold(chosen[-1], None)
            await self._control.ports.update(port.id, published=chosen)

    def _held_by_others(self, port: Port) -> HeldPorts:
        here = self._control.view.by(Port, "host_id", self._control.host.id)
        return HeldPorts(each for each in here if each.id != port.id)

    async def _choose(self, port: Port, wish: Wish, held: HeldPorts) -> PublishedPort:
        obstacle = None
        for start in wish.starts():
            if obstacle is not None and start <= obstacle.number < start + wish.length:
                continue
            candidate = wish.at(start)
            obstacle = await self._obstacle(port, candidate, held)
            if obstacle is None:
                return candidate
        if wish.last == wish.first and wish.first and obstacle is not None:
            label = f"{obstacle.number}/{wish.protocol}"
            raise ConflictError(f"host port {label}: {obstacle.reason}; choose another")
        last = wish.last or EPHEMERAL[-1]
        row = f"no {wish.length} free ones in a row" if wish.length > 1 else "all are in use"
        raise ExhaustedError(
            f"host ports {wish.first or EPHEMERAL[0]}-{last}/{wish.protocol}: {row}; "
            "publish on a larger range"
        )

    async def _obstacle(
        self, port: Port, wanted: PublishedPort, held: HeldPorts
    ) -> _Obstacle | None:
        while (collision := held.collision(wanted)) is not None:
            holder = collision.holder
            if holder is None:
                return _Obstacle(collision.number, "is asked for twice")
            if not await self._state.remove_if_dead(holder):
                name = holder.owner.container_name or holder.id
                return _Obstacle(collision.number, f"is published already by {name}")
            held.release(holder)
        if wanted in port.published:
            return None
        if wanted.count > _PROBED_ONE_BY_ONE:
            number = await asyncio.to_thread(self._is_listening, wanted)
        else:
            number = self._is_listening(wanted)
        return None if number is None else _Obstacle(number, "a program on this host listens there")


class Wish(NamedTuple):
    """Ports of a container in a row, and where they shall be on the host."""

    protocol: TransportProtocol
    address: IPAddress | None
    port: int
    length: int
    first: int
    """Of the host's; 0: any that are free."""
    last: int
    """The row may begin anywhere from `first` to here."""

    def starts(self) -> Sequence[int]:
        """Where the row may begin, in the order in which to try."""
        if self.first:
            return range(self.first, self.last + 1)
        room = EPHEMERAL[: max(len(EPHEMERAL) - self.length + 1, 0)]
        if self.length == 1:
            return random.sample(room, _TRIES)
        turn = random.randrange(len(room) or 1)
        return [*room[turn:], *room[:turn]]

    def at(self, start: int) -> PublishedPort:
        """The row that begins there."""
        return PublishedPort(
            protocol=self.protocol,
            host_port=start,
            port=self.port,
            host_address=self.address,
            count=self.length,
        )

    def is_met_by(self, have: PublishedPort) -> bool:
        """Whether a row that is published already is as wished."""
        is_alike = (have.protocol, have.host_address) == (self.protocol, self.address)
        is_same_row = (have.port, have.count) == (self.port, self.length)
        is_there = not self.first or self.first <= have.host_port <= self.last
        return is_alike and is_same_row and is_there


def wishes(bindings: Sequence[PortBinding]) -> list[Wish]:
    """Docker's bindings as few wishes, those with the fewest choices first. Bindings that say the
    same, as one port on 0.0.0.0 and on ::, count once.
    """
    single = {_wish(binding): None for binding in bindings if binding.host_port}
    free = [_wish(binding) for binding in bindings if not binding.host_port]
    fixed = [wish for wish in single if wish.first == wish.last]
    ranges = [wish for wish in single if wish.first != wish.last]
    return [*_rows(fixed), *sorted(ranges, key=_place), *_rows(free)]


def _rows(wishes: Sequence[Wish]) -> list[Wish]:
    """Those that follow one another as one."""
    rows: list[Wish] = []
    first, length = None, 0
    for wish in sorted(wishes, key=_place):
        if first is not None and _follows(wish, first, length):
            length += 1
            continue
        if first is not None:
            rows.append(first._replace(length=length))
        first, length = wish, 1
    return rows if first is None else [*rows, first._replace(length=length)]


def _place(wish: Wish) -> tuple[str, str, int, int]:
    shift = wish.first - wish.port if wish.first else 0
    return wish.protocol, str(wish.address), shift, wish.port


def _follows(wish: Wish, first: Wish, length: int) -> bool:
    """Whether it continues the row of `length` that begins with `first`."""
    return (
        wish.port == first.port + length
        and wish.first == (first.first + length if first.first else 0)
        and (wish.protocol, wish.address) == (first.protocol, first.address)
    )


def _wish(binding: PortBinding) -> Wish:
    protocol = _PROTOCOLS.get(binding.protocol)
    if protocol is None:
        raise InvalidError(
            f"published port {binding.port}: protocol {binding.protocol} is none of tcp, udp, sctp"
        )
    last = binding.host_port_end or binding.host_port
    if binding.host_port and last < binding.host_port:
        raise InvalidError(
            f"published ports {binding.host_port}-{last}: the first must not lie behind the last"
        )
    first = binding.host_port
    address = _host_address(binding.host_address)
    return Wish(protocol, address, binding.port, 1, first, last if first else 0)


def bindings_of(published: PublishedPort) -> Iterator[dict[str, object]]:
    """Published ports as Docker writes them."""
    protocol = _NUMBERS.get(published.protocol)
    for number in published.host_ports if protocol is not None else ():
        yield {
            "Proto": protocol,
            "IP": "",
            "Port": published.port + number - published.host_port,
            "HostIP": str(published.host_address or ""),
            "HostPort": number,
            "HostPortEnd": number,
        }


def taken_on_host(published: PublishedPort) -> int | None:
    """The first host port that a socket of this host holds."""
    numbers: Sequence[int] = published.host_ports
    if published.count > _PROBED_ONE_BY_ONE:
        used = ports_with_sockets(published.protocol)
        numbers = [number for number in numbers if number in used] if used is not None else numbers
    return next((number for number in numbers if is_taken_on_host(published.one(number))), None)


def ports_with_sockets(protocol: TransportProtocol) -> set[int] | None:
    """Ports on which there is any socket, of whatever state and address; None: not known."""
    used: set[int] = set()
    for name in (protocol, f"{protocol}6"):
        try:
            lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        except FileNotFoundError:
            if name == "sctp":
                return None
            continue
        used.update(int(line.split(maxsplit=2)[1].rpartition(":")[2], 16) for line in lines)
    return used


def is_taken_on_host(published: PublishedPort) -> bool:
    """Whether a socket of this host holds the port."""
    for family, address in _socket_addresses(published):
        if _is_bound(family, address, published):
            return True
    return False


def _is_bound(family: socket.AddressFamily, address: str, published: PublishedPort) -> bool:
    is_tcp = published.protocol is TransportProtocol.TCP
    kind = socket.SOCK_DGRAM if published.protocol is TransportProtocol.UDP else socket.SOCK_STREAM
    number = socket.IPPROTO_SCTP if published.protocol is TransportProtocol.SCTP else 0
    try:
        with socket.socket(family, kind, number) as probe:
            if is_tcp:
                # Connections that have ended may linger in TIME_WAIT; only listeners count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, published.host_port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _socket_addresses(
    published: PublishedPort,
) -> Iterator[tuple[socket.AddressFamily, str]]:
    address = published.host_address
    if address is None:
        yield socket.AF_INET, "0.0.0.0"
        yield socket.AF_INET6, "::"
    elif address.version == 4:
        yield socket.AF_INET, str(address)
    else:
        yield socket.AF_INET6, str(address)


@lru_cache(maxsize=256)
def _host_address(text: str) -> IPAddress | None:
    if not text:
        return None
    address = parse_address("host address", text)
    return None if address.is_unspecified else address


def _is_same(published: Sequence[PublishedPort], wanted: Sequence[Wish]) -> bool:
    """Whether the published rows are as wished."""
    return len(published) == len(wanted) and all(
        wish.is_met_by(have) for have, wish in zip(published, wanted, strict=True)
    )
