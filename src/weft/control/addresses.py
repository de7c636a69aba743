"""Single addresses: who holds one, and which can be given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from weft.control.answers.address_report import (
    LeaseReport,
    SubnetReport,
    lease_reports,
    subnet_reports,
)
from weft.control.context import Context
from weft.control.references import host_name, port_label, router_label
from weft.control.upkeep.space import SpaceNeeded
from weft.errors import ConflictError, InvalidError, UnavailableError
from weft.ipam.allocation import next_address
from weft.ipam.intervals import usable
from weft.model.addresses import IPAddress
from weft.model.choices import Allocator, ReservationReason
from weft.model.ids import reservation_id
from weft.model.records import (
    ForgottenHost,
    Network,
    Port,
    Record,
    Reservation,
    RouterPort,
    Subnet,
)

T = TypeVar("T")

_ANOTHER_OF_DOCKER = (
    "choose another, or start the container again, for Docker's IPAM goes on to the next one; "
    "a network made with --ipam-driver weft has no such conflicts"
)
MAX_WAITS = 4
"""How often an intent waits for addresses, for those that came may be taken by another intent."""


class Addresses:
    """The addresses of all subnets, as this host may give them."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def with_space(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Make an attempt that takes addresses, in its turn. While there are none at hand, wait
        without holding the turn, and make the attempt again from the start."""
        for _ in range(MAX_WAITS):
            try:
                async with self._context.lock:
                    return await attempt()
            except SpaceNeeded as error:
                needed = error
            await self._context.space.obtain(needed)
        raise UnavailableError(f"{needed}, as often as some came; try again")

    async def with_space_before(self, attempt: Callable[[], Awaitable[T]], most: int) -> T:
        """Make an attempt that takes turns by itself and waits for no addresses, as a rehearsal
        does; between two of at most so many, wait for what it needed."""
        for _ in range(most):
            try:
                return await attempt()
            except SpaceNeeded as error:
                needed = error
            await self._context.space.obtain(needed)
        raise UnavailableError(f"{needed}, as often as some came; try again")

    def choose(self, subnets: Sequence[Subnet]) -> IPAddress:
        """A free address of the first of `subnets` that has one; SpaceNeeded: none has, here."""
        now = self._context.wall_s()
        for subnet in subnets:
            reserved = {
                reservation.address: reservation
                for reservation in self._context.view.by(Reservation, "subnet_id", subnet.id)
            }
            resting = {
                address: reservation.expires_s or 0.0
                for address, reservation in reserved.items()
                if reservation.reason is ReservationReason.REST
                and (reservation.expires_s or 0.0) > now
            }
            held = {a for a, r in reserved.items() if r.reason is not ReservationReason.REST}
            network_id = subnet.network_id

            def is_taken(
                address: IPAddress, held: set[IPAddress] = held, network_id: str | None = network_id
            ) -> bool:
                view = self._context.view
                ports = view.by(Port, "addresses", address)
                routers = view.by(RouterPort, "addresses", address)
                return (
                    address in held
                    or any(port.network_id == network_id for port in ports)
                    or any(router.network_id == network_id for router in routers)
                )

            inside = self._context.space.may_use(subnet)
            address = next_address(subnet, is_taken, resting, inside)
            if address is not None:
                return address
        raise SpaceNeeded(subnets)

    def check_free(self, address: IPAddress, subnets: Iterable[Subnet]) -> Subnet:
        """The subnet of an address that somebody asked for by name, if the address can be given.

        An address at rest can be given; one that a frontend has reserved cannot. SpaceNeeded: the
        address is another host's to give.
        """
        subnet = next((s for s in subnets if address in s.cidr), None)
        if subnet is None:
            known = ", ".join(str(s.cidr) for s in subnets) or "none"
            raise InvalidError(
                f"address {address}: outside the network's subnets ({known}); choose one inside"
            )
        first, last = usable(subnet.cidr)
        if not first <= int(address) <= last:
            raise InvalidError(f"address {address}: cannot be given to anybody in {subnet.cidr}")
        if address == subnet.gateway:
            raise ConflictError(f"address {address}: is the gateway of {subnet.cidr}")
        holder = self._holder(subnet, address)
        if holder:
            fix = _ANOTHER_OF_DOCKER if subnet.allocator is Allocator.DOCKER else "choose another"
            raise ConflictError(f"address {address}: in use by {holder}; {fix}")
        inside = self._context.space.may_use(subnet)
        if not any(low <= int(address) <= high for low, high in inside):
            raise SpaceNeeded([subnet], address)
        return subnet

    def holders(self, address: IPAddress, network: Network) -> Sequence[Record]:
        """Ports, routers and reservations that hold an address."""
        view = self._context.view
        ports = [
            holder
            for kind in (Port, RouterPort)
            for holder in view.by(kind, "addresses", address)
            if getattr(holder, "network_id", None) == network.id
        ]
        subnets = view.by(Subnet, "network_id", network.id)
        reservations = [
            reservation
            for subnet in subnets
            for reservation in view.by(Reservation, "subnet_id", subnet.id)
            if reservation.address == address and reservation.reason is not ReservationReason.REST
        ]
        return [*ports, *reservations]

    def is_abandoned(self, port: Port) -> bool:
        """Whether the port's host is away for so long that other hosts may take the port's
        addresses. Such an address is given only to a caller who asks for it by name."""
        view, space = self._context.view, self._context.space
        if port.host_id is None:
            return False
        if view.get(ForgottenHost, port.host_id) is not None:
            return True
        lost_since_s = space.lost_since_s(port.host_id)
        return (
            lost_since_s is not None
            and self._context.wall_s() - lost_since_s >= space.taken_after_s
        )

    def _holder(self, subnet: Subnet, address: IPAddress) -> str:
        view = self._context.view
        for port in view.by(Port, "addresses", address):
            if port.network_id == subnet.network_id and not self.is_abandoned(port):
                return f"port {port_label(view, port)}{self._where(port)}"
        for place in view.by(RouterPort, "addresses", address):
            if place.network_id == subnet.network_id:
                return f"router {router_label(view, place.router_id)}"
        held = view.get(Reservation, reservation_id(subnet.id, address))
        return (
            f"a reservation of {held.reason}"
            if held and held.reason is not ReservationReason.REST
            else ""
        )

    def _where(self, port: Port) -> str:
        """For messages: a port's host, if it is another one, and what to do if that one is gone."""
        if port.host_id is None or port.host_id == self._context.host_id:
            return ""
        host = host_name(self._context.view, port.host_id)
        if self._context.space.lost_since_s(port.host_id) is None:
            return f", on host {host}"
        return f", on host {host}, which is not reached (if it is gone: weft forget {host})"

    def subnet_reports(self) -> Sequence[SubnetReport]:
        """Which host owns which addresses. Linear in ports and blocks."""
        return subnet_reports(self._context)

    def lease_reports(self) -> Sequence[LeaseReport]:
        """How each host holds its blocks, this one first."""
        return lease_reports(self._context)
