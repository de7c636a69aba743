"""The IPAM driver: Weft gives Docker's subnets and addresses.

A pool's id is that of its subnet record and the prefix, so that Docker's networks survive the
loss of Weft's records. What Docker asks for is a reservation until an endpoint takes it over.
"""

from __future__ import annotations

from weft.control.specs import SubnetSpec
from weft.errors import ConflictError, ExhaustedError, InvalidError, NotFoundError
from weft.frontends.docker.options import parse_address, parse_pool_options, parse_prefix
from weft.frontends.docker.protocol import (
    ADDRESS_SPACE,
    ADDRESS_TYPE,
    GATEWAY,
    AddressGiven,
    AddressSpaces,
    Empty,
    IpamCapabilities,
    PoolGiven,
    ReleaseAddress,
    ReleasePool,
    RequestAddress,
    RequestPool,
)
from weft.frontends.docker.state import DockerState
from weft.model.addresses import IPAddress, IPNetwork, contains
from weft.model.choices import ReservationReason
from weft.model.ids import SubnetId
from weft.model.records import AddressRange, Network, Reservation, Subnet
from weft.model.records.tenants import DEFAULT_TENANT

UNUSED_S = 120.0
"""An address asked for on a network that exists is taken by an endpoint within a moment, or was
forgotten by a Docker that died."""


class IpamCalls:
    """All calls of the IPAM driver."""

    def __init__(self, state: DockerState) -> None:
        self._state = state
        self._control = state.control

    async def capabilities(self, _: Empty) -> IpamCapabilities:
        """GetCapabilities: our state is on disk, nothing has to be replayed."""
        return IpamCapabilities()

    async def address_spaces(self, _: Empty) -> AddressSpaces:
        """GetDefaultAddressSpaces."""
        return AddressSpaces(local=ADDRESS_SPACE, cluster=ADDRESS_SPACE)

    async def request_pool(self, request: RequestPool) -> PoolGiven:
        """RequestPool: a named prefix (also one of a network that shall be joined), or the next
        free one. What nobody named must overlap no route, or Docker asks again without end."""
        options = parse_pool_options(request.options)
        cidr = parse_prefix("subnet", request.pool) if request.pool else None
        if cidr is None and request.sub_pool:
            raise InvalidError(f"ip-range {request.sub_pool}: needs --subnet as well")
        if cidr is not None and request.is_ipv6 and cidr.version == 4:
            raise InvalidError(f"subnet {cidr}: an IPv6 one is needed")
        family = cidr.version if cidr is not None else 6 if request.is_ipv6 else 4
        if options.network:
            subnet = self._subnet_to_join(options.network, cidr, family)
        else:
            subnet = await self._control.pools.request(
                SubnetSpec(
                    cidr=cidr,
                    gateway=None,
                    ranges=_ranges(cidr, request.sub_pool) if cidr is not None else (),
                    excludes=options.excludes,
                ),
                family=family,
            )
            if cidr is None:
                self._state.choose(subnet.id)
        self._state.touch(subnet.id)
        if options.network not in self._state.mirrored:
            self._state.begin(str(subnet.cidr))
        data = {}
        if subnet.network_id is not None and subnet.gateway is not None:
            data[GATEWAY] = f"{subnet.gateway}/{subnet.cidr.prefixlen}"
        return PoolGiven(id=f"{subnet.id}/{subnet.cidr}", pool=str(subnet.cidr), data=data)

    async def release_pool(self, request: ReleasePool) -> Empty:
        """ReleasePool. A pool that has become a network's goes with that."""
        subnet = self._subnet(request.pool)
        own_id, _, cidr = request.pool.partition("/")
        self._state.end(cidr)
        for subnet_id in {SubnetId(own_id), *([subnet.id] if subnet is not None else [])}:
            await self._control.pools.release(subnet_id)
        return Empty()

    async def request_address(self, request: RequestAddress) -> AddressGiven:
        """RequestAddress: a gateway, an auxiliary address or a container's."""
        subnet = self._known_subnet(request.pool)
        self._state.touch(subnet.id)
        wanted = parse_address("address", request.address) if request.address else None
        is_gateway = (request.options or {}).get(ADDRESS_TYPE) == GATEWAY
        if is_gateway and subnet.network_id is not None:
            address = _gateway_of(subnet, wanted)
        elif wanted is not None:
            address = await self._reserve(subnet, wanted, is_gateway=is_gateway)
        else:
            subnet, address = await self._reserve_any(subnet, is_gateway=is_gateway)
        return AddressGiven(address=f"{address}/{subnet.cidr.prefixlen}")

    async def release_address(self, request: ReleaseAddress) -> Empty:
        """ReleaseAddress. A network's gateway stays as long as the network."""
        subnet = self._subnet(request.pool)
        if subnet is None or not request.address:
            return Empty()
        address = parse_address("address", request.address)
        subnet = next((s for s in self._siblings(subnet) if address in s.cidr), subnet)
        if subnet.network_id is None or address != subnet.gateway:
            await self._control.reservations.release(subnet.id, address)
        return Empty()

    def _subnet_to_join(self, reference: str, cidr: IPNetwork | None, family: int) -> Subnet:
        network = self._control.networks.find(reference)
        for subnet in self._control.networks.subnets(network):
            if subnet.cidr == cidr or (cidr is None and subnet.cidr.version == family):
                return subnet
        wanted = f"subnet {cidr}" if cidr is not None else f"IPv{family} subnet"
        raise NotFoundError(f"network {network.name}: has no {wanted}")

    async def _reserve_any(self, subnet: Subnet, *, is_gateway: bool) -> tuple[Subnet, IPAddress]:
        """Any address, of another of the network's subnets when this one has none left: Docker
        goes on to its next pool only when its own IPAM driver says so."""
        last: ExhaustedError | None = None
        for candidate in self._siblings(subnet):
            try:
                return candidate, await self._reserve(candidate, None, is_gateway=is_gateway)
            except ExhaustedError as error:
                last = last or error
        assert last is not None
        raise last

    def _siblings(self, subnet: Subnet) -> list[Subnet]:
        """A subnet, and then the others of its family on its network."""
        if subnet.network_id is None:
            return [subnet]
        others = self._control.view.by(Subnet, "network_id", subnet.network_id)
        version = subnet.cidr.version
        return [subnet, *(s for s in others if s.cidr.version == version and s.id != subnet.id)]

    async def _reserve(
        self, subnet: Subnet, wanted: IPAddress | None, *, is_gateway: bool
    ) -> IPAddress:
        reason = ReservationReason.GATEWAY if is_gateway else ReservationReason.DOCKER
        lifetime_s = UNUSED_S if subnet.network_id is not None else None
        if wanted is not None:
            held = self._reservation(subnet, wanted)
            if held is not None and _is_repeated(held, reason):
                return wanted
            network = self._control.view.get(Network, subnet.network_id or "")
            if network is not None:
                await self._state.evict(network, addresses=(wanted,))
        reservation = await self._control.reservations.reserve(
            subnet.id, wanted, reason, lifetime_s=lifetime_s
        )
        return reservation.address

    def _reservation(self, subnet: Subnet, address: IPAddress) -> Reservation | None:
        held = self._control.view.by(Reservation, "subnet_id", subnet.id)
        return next((r for r in held if r.address == address), None)

    def _subnet(self, pool_id: str) -> Subnet | None:
        """The pool itself; one that another host's network has overtaken stands for that."""
        id, _, cidr = pool_id.partition("/")
        subnet = self._control.view.get(Subnet, SubnetId(id))
        if not cidr or (subnet is not None and self._network_of(subnet) is not None):
            return subnet
        prefix = parse_prefix("pool", cidr)
        subnets = self._control.view.list(Subnet)
        alike = [s for s in subnets if s.cidr == prefix and s.tenant_id == DEFAULT_TENANT]
        if subnet is None:
            return next(iter(alike), None)
        return next((s for s in alike if self._is_in_docker(s)), subnet)

    def _network_of(self, subnet: Subnet) -> Network | None:
        return self._control.view.get(Network, subnet.network_id or "")

    def _is_in_docker(self, subnet: Subnet) -> bool:
        network = self._network_of(subnet)
        return network is not None and self._state.records.is_in_docker(network)

    def _known_subnet(self, pool_id: str) -> Subnet:
        subnet = self._subnet(pool_id)
        if subnet is None:
            raise NotFoundError(
                f"address pool {pool_id}: weft does not know it; "
                "remove the network in Docker and create it again"
            )
        return subnet


def _is_repeated(held: Reservation, reason: ReservationReason) -> bool:
    """Whether Docker asks again for what it was given: its client repeats a call whose answer was
    lost. An auxiliary address has no lifetime, and asking for it is a conflict."""
    if held.reason is not reason:
        return False
    return reason is ReservationReason.GATEWAY or held.expires_s is not None


def _gateway_of(subnet: Subnet, wanted: IPAddress | None) -> IPAddress:
    """Docker before 29 takes one for every subnet. For a subnet that has none it gets the prefix's
    own address, which nobody can have; no container is told of it."""
    if subnet.gateway is None:
        if wanted is None:
            return subnet.cidr.network_address
        raise ConflictError(f"gateway {wanted}: subnet {subnet.cidr} has none, and is in use so")
    if wanted is not None and wanted != subnet.gateway:
        raise ConflictError(
            f"gateway {wanted}: subnet {subnet.cidr} has {subnet.gateway}; "
            f"add --gateway={subnet.gateway}"
        )
    return subnet.gateway


def _ranges(cidr: IPNetwork, sub_pool: str) -> tuple[AddressRange, ...]:
    if not sub_pool:
        return ()
    part = parse_prefix("ip-range", sub_pool)
    if not contains(cidr, part):
        raise InvalidError(f"ip-range {part}: lies outside subnet {cidr}")
    return (AddressRange(first=part.network_address, last=part.broadcast_address),)
