"""Published ports (``docker -p``): which port of the host leads to which of a container.

A host port is free when no other port of Weft's publishes it and nothing on the host listens
there. The latter is found by binding a socket and closing it again, as unprivileged as `connect`.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from weft.errors import ConflictError, ExhaustedError, InvalidError
from weft.frontends.docker.options import parse_address
from weft.frontends.docker.protocol import PortBinding
from weft.frontends.docker.state import DockerState
from weft.model.addresses import IPAddress
from weft.model.records import Port, PublishedPort

Protocol = Literal["tcp", "udp", "sctp"]
_PROTOCOLS: dict[int, Protocol] = {6: "tcp", 17: "udp", 132: "sctp"}
_NUMBERS = {name: number for number, name in _PROTOCOLS.items()}
EPHEMERAL = range(49153, 65536)
"""From here a host port is taken when the user names none; the same range as Docker's."""

Probe = Callable[[PublishedPort], bool]
"""Whether something on the host listens there."""


class HostPorts:
    """Chooses and records host ports; one request at a time, so that none is given twice."""

    def __init__(self, state: DockerState, is_listening: Probe | None = None) -> None:
        self._state = state
        self._control = state.control
        self._is_listening = is_listening or is_taken_on_host
        self._lock = asyncio.Lock()

    async def publish(self, port: Port, bindings: Sequence[PortBinding]) -> None:
        """Publish all of `bindings` for a port, or none; the same again changes nothing."""
        bindings = _unique(bindings)
        async with self._lock:
            current = self._control.view.get(Port, port.id) or port
            if _is_same(current.published, bindings):
                return
            chosen: list[PublishedPort] = []
            for binding in bindings:
                chosen.append(await self._choose(current, binding, chosen))
            await self._control.ports.update(port.id, published=chosen)

    async def _choose(
        self, port: Port, binding: PortBinding, chosen: Sequence[PublishedPort]
    ) -> PublishedPort:
        candidates = list(_candidates(binding))
        reason = ""
        for candidate in candidates:
            reason = await self._reason_against(port, candidate, chosen)
            if not reason:
                return candidate
        if len(candidates) == 1:
            raise ConflictError(f"host port {_label(candidates[0])}: {reason}; choose another")
        first, last = min(_numbers(binding)), max(_numbers(binding))
        raise ExhaustedError(
            f"host ports {first}-{last}/{candidates[0].protocol}: all are in use; "
            "publish on a larger range"
        )

    async def _reason_against(
        self, port: Port, wanted: PublishedPort, chosen: Sequence[PublishedPort]
    ) -> str:
        if any(wanted.collides_with(other) for other in chosen):
            return "is asked for twice"
        for holder in self._control.view.by(Port, "host_id", self._control.host.id):
            if (
                holder.id != port.id
                and any(wanted.collides_with(other) for other in holder.published)
                and not await self._state.remove_if_dead(holder)
            ):
                return f"is published already by {holder.owner.container_name or holder.id}"
        if wanted in port.published:
            return ""
        return "a program on this host listens there" if self._is_listening(wanted) else ""


def binding_of(published: PublishedPort) -> dict[str, object]:
    """A published port as Docker writes it."""
    return {
        "Proto": _NUMBERS[published.protocol],
        "IP": "",
        "Port": published.port,
        "HostIP": str(published.host_address or ""),
        "HostPort": published.host_port,
        "HostPortEnd": published.host_port,
    }


def is_taken_on_host(published: PublishedPort) -> bool:
    """Whether a socket of this host holds the port."""
    for family, address in _socket_addresses(published):
        if _is_bound(family, address, published):
            return True
    return False


def _is_bound(family: socket.AddressFamily, address: str, published: PublishedPort) -> bool:
    is_tcp = published.protocol == "tcp"
    kind = socket.SOCK_DGRAM if published.protocol == "udp" else socket.SOCK_STREAM
    number = socket.IPPROTO_SCTP if published.protocol == "sctp" else 0
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


def _candidates(binding: PortBinding) -> Iterator[PublishedPort]:
    protocol = _PROTOCOLS.get(binding.protocol)
    if protocol is None:
        raise InvalidError(
            f"published port {binding.port}: protocol {binding.protocol} is none of tcp, udp, sctp"
        )
    address = _host_address(binding)
    for number in _numbers(binding):
        yield PublishedPort(
            protocol=protocol, host_port=number, port=binding.port, host_address=address
        )


def _numbers(binding: PortBinding) -> Sequence[int]:
    if binding.host_port == 0:
        return random.sample(EPHEMERAL, 64)
    last = binding.host_port_end or binding.host_port
    if last < binding.host_port:
        raise InvalidError(
            f"published ports {binding.host_port}-{last}: the first must not lie behind the last"
        )
    return range(binding.host_port, last + 1)


def _host_address(binding: PortBinding) -> IPAddress | None:
    if not binding.host_address:
        return None
    address = parse_address("host address", binding.host_address)
    return None if address.is_unspecified else address


def _unique(bindings: Sequence[PortBinding]) -> list[PortBinding]:
    """Without what says the same twice, such as one port on 0.0.0.0 and on ::."""
    found: dict[tuple[object, ...], PortBinding] = {}
    for number, binding in enumerate(bindings):
        ports = (binding.host_port, binding.host_port_end) if binding.host_port else (number,)
        key = (binding.protocol, binding.port, _host_address(binding), *ports)
        found.setdefault(key, binding)
    return list(found.values())


def _is_same(published: Sequence[PublishedPort], bindings: Sequence[PortBinding]) -> bool:
    """Whether what is published is what `bindings` ask for."""
    if len(published) != len(bindings):
        return False
    return all(_fits(have, want) for have, want in zip(published, bindings, strict=True))


def _fits(have: PublishedPort, want: PortBinding) -> bool:
    last = want.host_port_end or want.host_port
    return (
        _PROTOCOLS.get(want.protocol) == have.protocol
        and want.port == have.port
        and have.host_address == _host_address(want)
        and (want.host_port == 0 or want.host_port <= have.host_port <= last)
    )


def _label(published: PublishedPort) -> str:
    return f"{published.host_port}/{published.protocol}"
