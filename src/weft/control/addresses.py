"""Pools and single addresses: who holds what, what is free, what rests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from msgspec import UNSET

from weft.control.answers.address_report import (
    LeaseReport,
    SubnetReport,
    lease_reports,
    subnet_reports,
)
from weft.control.context import Context
from weft.control.references import host_name, port_label
from weft.control.specs import SubnetSpec
from weft.control.upkeep.space import SpaceNeeded
from weft.errors import ConflictError, ExhaustedError, InvalidError, NotFoundError, UnavailableError
from weft.ipam.allocation import next_address, next_subnet, overlapping
from weft.ipam.intervals import range_within, usable
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.choices import Allocator, ReservationReason
from weft.model.ids import ReservationId, SubnetId, TenantId, derived_id, new_id
from weft.model.records import (
    AddressBlocks,
    ForgottenHost,
    HostPrefixes,
    Network,
    Port,
    Record,
    Reservation,
    Subnet,
)
from weft.model.records.tenants import DEFAULT_TENANT
from weft.model.reserved import why_reserved
from weft.semantics.tenants import tenant_name
from weft.store.interface import Change, Delete, Put
from weft.topology.prefixes import is_in_the_way

T = TypeVar("T")

_ANOTHER_OF_DOCKER = (
    "choose another, or start the container again, for Docker's IPAM goes on to the next one; "
    "a network made with --ipam-driver weft has no such conflicts"
)
MAX_WAITS = 4
"""What came may be taken by another intent; so often is waited again."""


class _SubnetOwner(NamedTuple):
    """For whom a subnet is made."""

    tenant_id: TenantId
    is_internal: bool


class Addresses:
    """Pools and single addresses, for frontends with an IPAM of their own."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def request_pool(
        self, spec: SubnetSpec, *, family: int, tenant_id: TenantId = DEFAULT_TENANT
    ) -> Subnet:
        """A subnet that waits for its network. The same cidr again, while it waits here or while
        it belongs to a network, returns the one that is there when ranges agree; else
        ConflictError.
        """
        async with self._context.lock:
            alike = [
                subnet
                for subnet in self._context.view.list(Subnet)
                if subnet.cidr == spec.cidr and subnet.tenant_id == tenant_id
            ]
            for subnet in alike:
                if not self.is_anothers(subnet):
                    return self._same_pool(subnet, spec)
            subnet = self.new_subnet(spec, tenant_id=tenant_id, family=family, beside=alike)
            await self._context.commit([Put(subnet), *self._context.space.created(subnet)])
            return subnet

    def is_anothers(self, subnet: Subnet) -> bool:
        """Whether it waits for a network that another host is about to make. It is no pool of
        this host: made from one, two networks would take it away from each other."""
        if subnet.network_id is not None:
            return False
        makers = {
            blocks.host_id
            for blocks in self._context.view.by(AddressBlocks, "subnet_id", subnet.id)
        }
        return bool(makers) and self._context.host_id not in makers

    async def release_pool(self, subnet_id: SubnetId) -> None:
        """Remove a waiting pool. Nothing happens if it is gone or belongs to a network."""
        async with self._context.lock:
            subnet = self._context.view.get(Subnet, subnet_id)
            if subnet is None or subnet.network_id is not None:
                return
            await self._context.commit([Delete(Subnet, subnet_id), *self.forget_all(subnet)])

    async def reserve(
        self,
        subnet_id: SubnetId,
        address: IPAddress | None,
        reason: ReservationReason,
        lifetime_s: float | None = None,
    ) -> Reservation:
        """Take one address (None: any free one) out of a subnet until it is released, or until
        `lifetime_s` is over.

        `reason`: ``gateway`` or ``docker``. ConflictError names the holder of a taken one.
        A later `Ports.add` with this address takes the reservation over.
        """

        async def attempt() -> Reservation:
            subnet = self._context.view.get(Subnet, subnet_id)
            if subnet is None:
                raise NotFoundError(f"address pool {subnet_id}: not found")
            given = self.choose([subnet]) if address is None else address
            if address is not None and not (
                reason is ReservationReason.GATEWAY and address == subnet.gateway
            ):
                self.check_free(address, [subnet])
            reservation = Reservation(
                id=_reservation_id(subnet.id, given),
                subnet_id=subnet.id,
                host_id=self._context.host_id,
                address=given,
                reason=reason,
                expires_s=None if lifetime_s is None else self._context.wall_s() + lifetime_s,
            )
            await self._context.commit([Put(reservation)])
            return reservation

        return await self.with_space(attempt)

    async def with_space(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do what takes addresses, in its turn; when there are none at hand, wait without holding
        the turn, and do it again from the start."""
        for _ in range(MAX_WAITS):
            try:
                async with self._context.lock:
                    return await attempt()
            except SpaceNeeded as error:
                needed = error
            await self._context.space.obtain(needed)
        raise UnavailableError(f"{needed}, as often as some came; try again")

    async def release(self, subnet_id: SubnetId, address: IPAddress) -> None:
        """Give a reservation back; the address goes to rest. Nothing happens if it is not held,
        or held by a port."""
        async with self._context.lock:
            held = self._context.view.get(Reservation, _reservation_id(subnet_id, address))
            if held is None or held.reason is ReservationReason.REST:
                return
            subnet = self._context.view.get(Subnet, subnet_id)
            rest = self.rest(subnet, address) if subnet is not None else []
            await self._context.commit([Delete(Reservation, held.id), *rest])

    def subnet_reports(self) -> Sequence[SubnetReport]:
        """Who owns which addresses. Linear in ports and blocks."""
        return subnet_reports(self._context)

    def lease_reports(self) -> Sequence[LeaseReport]:
        """How each host holds its blocks, this one first."""
        return lease_reports(self._context)

    def holders(self, address: IPAddress, network: Network) -> Sequence[Record]:
        """Ports and reservations that hold an address."""
        view = self._context.view
        ports = [p for p in view.by(Port, "addresses", address) if p.network_id == network.id]
        subnets = view.by(Subnet, "network_id", network.id)
        reservations = [
            reservation
            for subnet in subnets
            for reservation in view.by(Reservation, "subnet_id", subnet.id)
            if reservation.address == address and reservation.reason is not ReservationReason.REST
        ]
        return [*ports, *reservations]

    def new_subnet(
        self,
        spec: SubnetSpec,
        *,
        tenant_id: TenantId,
        family: int = 4,
        is_internal: bool = False,
        is_forced: bool = False,
        others: Iterable[IPNetwork] = (),
        beside: Collection[Subnet] = (),
    ) -> Subnet:
        """A checked subnet that overlaps nothing but what is in `beside`; `others` are to be
        avoided as well."""
        cidr = spec.cidr or self._cut(family, others)
        _check_usable(cidr)
        owner = _SubnetOwner(tenant_id, is_internal)
        self._check_overlap(cidr, owner, others, beside, is_forced=is_forced)
        return Subnet(
            id=SubnetId(new_id(self._context.random_bytes)),
            cidr=cidr,
            tenant_id=tenant_id,
            gateway=None if spec.gateway is UNSET else spec.gateway,
            ranges=tuple(range_within(cidr, r.first, r.last, "range") for r in spec.ranges),
            excludes=tuple(range_within(cidr, r.first, r.last, "exclude") for r in spec.excludes),
            allocator=Allocator(spec.allocator),
            is_forced=is_forced,
        )

    def check_free(self, address: IPAddress, subnets: Iterable[Subnet]) -> Subnet:
        """The subnet of an address that somebody asked for by name, if it can be given.

        Addresses at rest can; ones that a frontend has reserved cannot. SpaceNeeded: it is another
        host's to give.
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
                ports = self._context.view.by(Port, "addresses", address)
                return address in held or any(port.network_id == network_id for port in ports)

            inside = self._context.space.may_use(subnet)
            address = next_address(subnet, is_taken, resting, inside)
            if address is not None:
                return address
        raise SpaceNeeded(subnets)

    def take_over(self, subnet: Subnet, address: IPAddress) -> list[Change]:
        """What frees an address of its reservation as a port comes to hold it."""
        held = self._context.view.get(Reservation, _reservation_id(subnet.id, address))
        is_own = held is not None and held.host_id == self._context.host_id
        return [Delete(Reservation, held.id)] if held is not None and is_own else []

    def rest(self, subnet: Subnet, address: IPAddress) -> list[Change]:
        """What puts an address to rest."""
        rest_s = self._context.settings.rest_s
        if rest_s <= 0:
            return []
        return [
            Put(
                Reservation(
                    id=_reservation_id(subnet.id, address),
                    subnet_id=subnet.id,
                    host_id=self._context.host_id,
                    address=address,
                    reason=ReservationReason.REST,
                    expires_s=self._context.wall_s() + rest_s,
                )
            )
        ]

    def forget_all(self, subnet: Subnet) -> list[Change]:
        """What removes all reservations of a subnet that goes."""
        held = self._context.view.by(Reservation, "subnet_id", subnet.id)
        return [Delete(Reservation, reservation.id) for reservation in held]

    async def wake_rested(self) -> None:
        """Drop the reservations whose rest, or whose lifetime, is over."""
        async with self._context.lock:
            now = self._context.wall_s()
            over = [
                Delete(Reservation, reservation.id)
                for reservation in self._context.view.list(Reservation)
                if reservation.host_id == self._context.host_id
                and reservation.expires_s is not None
                and reservation.expires_s <= now
            ]
            if over:
                await self._context.store.write(over)

    def _holder(self, subnet: Subnet, address: IPAddress) -> str:
        view = self._context.view
        for port in view.by(Port, "addresses", address):
            if port.network_id == subnet.network_id and not self.is_abandoned(port):
                return f"port {port_label(view, port)}{self._where(port)}"
        held = view.get(Reservation, _reservation_id(subnet.id, address))
        return (
            f"a reservation of {held.reason}"
            if held and held.reason is not ReservationReason.REST
            else ""
        )

    def is_abandoned(self, port: Port) -> bool:
        """Whether its host is away for so long that others take what it held: then an address of it
        is given to who asks for that very one. By itself none is given that a port has."""
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

    def _where(self, port: Port) -> str:
        """For messages: the host, if it is another, and when it can be taken over from there."""
        if port.host_id is None or port.host_id == self._context.host_id:
            return ""
        host = host_name(self._context.view, port.host_id)
        if self._context.space.lost_since_s(port.host_id) is None:
            return f", on host {host}"
        return f", on host {host}, which is not reached (if it is gone: weft forget {host})"

    def _same_pool(self, subnet: Subnet, spec: SubnetSpec) -> Subnet:
        ranges = tuple(range_within(subnet.cidr, r.first, r.last, "range") for r in spec.ranges)
        if ranges and ranges != subnet.ranges:
            raise ConflictError(
                f"subnet {subnet.cidr}: is there already, with another range for its addresses"
            )
        return subnet

    def _cut(self, family: int, others: Iterable[IPNetwork]) -> IPNetwork:
        settings = self._context.settings
        pool, length = settings.address_pool, settings.pool_prefix_length
        if family == 6:
            pool, length = settings.address_pool6, 64
        taken = [*(subnet.cidr for subnet in self._context.view.list(Subnet)), *others]
        for avoided in self._avoided(length):
            cidr = next_subnet(pool, length, [*taken, *avoided])
            if cidr is not None:
                return cidr
        raise ExhaustedError(
            f"address pool {pool}: no /{length} is free; name a subnet, or set another address_pool"
        )

    def _avoided(self, length: int) -> Iterator[Sequence[IPNetwork]]:
        """What a new subnet of this length had better not overlap, less each time: all that any
        host routes anywhere; what would be in its way on any host; what would be on this one."""
        own = [route for route in self._context.host_routes() if route.prefix.prefixlen]
        others = list(self._context.view.list(HostPrefixes))
        here = [route.prefix for route in own if route.is_link or route.prefix.prefixlen >= length]
        there = [prefix for host in others for prefix in host.links]
        ways = [prefix for host in others for prefix in host.routes]
        specific = [prefix for prefix in ways if prefix.prefixlen >= length]
        yield [*(route.prefix for route in own), *there, *ways]
        yield [*here, *there, *specific]
        yield here

    def _check_overlap(
        self,
        cidr: IPNetwork,
        owner: _SubnetOwner,
        others: Iterable[IPNetwork],
        beside: Collection[Subnet],
        *,
        is_forced: bool,
    ) -> None:
        for subnet in self._context.view.list(Subnet):
            if subnet in beside or not overlapping(cidr, [subnet.cidr]):
                continue
            if self._may_overlap(subnet, owner):
                continue
            holder = self._pool_label(subnet)
            if subnet.tenant_id != owner.tenant_id:
                tenant = tenant_name(self._context.view, subnet.tenant_id)
                holder += f" of tenant {tenant}, and outside of them nobody tells them apart"
            raise ConflictError(
                f"subnet {cidr}: overlaps {subnet.cidr} of {holder}; choose another"
            )
        other = overlapping(cidr, others)
        if other is not None:
            raise ConflictError(f"subnet {cidr}: overlaps {other} of the same network")
        if is_forced:
            return
        for route in self._context.host_routes():
            is_default = route.prefix.prefixlen == 0
            if not is_default and is_in_the_way(cidr, route.prefix, is_link=route.is_link):
                raise ConflictError(
                    f"subnet {cidr}: overlaps the host's route {route.description}; "
                    "choose another, or --force to hide that route from the network"
                )

    def _may_overlap(self, subnet: Subnet, owner: _SubnetOwner) -> bool:
        """Networks of different tenants may, when neither has a way out."""
        if subnet.tenant_id == owner.tenant_id or not owner.is_internal:
            return False
        network = self._context.view.get(Network, subnet.network_id or "")
        return network is not None and network.is_internal

    def _pool_label(self, subnet: Subnet) -> str:
        if subnet.network_id is None:
            return "a pool that waits for its network"
        network = self._context.view.get(Network, subnet.network_id)
        return f"network {network.name if network else subnet.network_id}"


def _check_usable(cidr: IPNetwork) -> None:
    reason = why_reserved(cidr)
    if reason is not None:
        raise InvalidError(f"subnet {cidr}: {reason}; choose another, as of 10.0.0.0/8 or fd00::/8")


def _reservation_id(subnet_id: str, address: IPAddress) -> ReservationId:
    return ReservationId(derived_id("reservation", subnet_id, str(address)))
