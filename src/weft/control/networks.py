"""Networks: create, rename, remove."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from weft.control.addresses import Addresses
from weft.control.context import Context
from weft.control.references import check_network_name, find_network, port_label, users_of
from weft.control.specs import NetworkSpec, SubnetSpec
from weft.errors import ConflictError, ExhaustedError, InUseError, InvalidError, NotFoundError
from weft.ipam.intervals import usable
from weft.model.addresses import IPAddress
from weft.model.ids import NetworkId, SubnetId, Vni, new_id
from weft.model.records import DockerNetwork, Name, Network, Port, Reservation, Subnet
from weft.store.interface import Change, Delete, Put

MIN_MTU_BYTES = 576
"""RFC 791; with an IPv6 subnet 1280 (RFC 8200)."""
MAX_MTU_BYTES = 65_535
FIRST_VNI = 4096
"""Smaller ones look like VLANs, and people use them by hand."""


class Networks:
    """See `interface.Networks`."""

    def __init__(self, context: Context, addresses: Addresses) -> None:
        self._context = context
        self._addresses = addresses

    def find(self, reference: str) -> Network:
        """See `interface.Networks.find`."""
        return find_network(self._context.view, reference)

    def list(self) -> Sequence[Network]:
        """See `interface.Networks.list`."""
        return sorted(self._context.view.list(Network), key=lambda n: (n.tenant, n.name))

    def subnets(self, network: Network) -> Sequence[Subnet]:
        """See `interface.Networks.subnets`."""
        found = self._context.view.by(Subnet, "network_id", network.id)
        return sorted(found, key=lambda s: (s.cidr.version, int(s.cidr.network_address)))

    async def create(self, spec: NetworkSpec, adopt: Sequence[SubnetId] = ()) -> Network:
        """See `interface.Networks.create`."""
        async with self._context.lock:
            check_network_name(spec.name)
            self._check_name_is_free(spec.name, spec.tenant)
            network = Network(
                id=NetworkId(new_id(self._context.random_bytes)),
                name=spec.name,
                tenant=spec.tenant,
                vni=self._free_vni(),
                is_internal=spec.is_internal,
                mtu_bytes=spec.mtu_bytes,
                labels=spec.labels,
            )
            subnets = self._subnets_for(network, spec, adopt)
            _check_mtu(spec.mtu_bytes, subnets)
            puts: list[Change] = [Put(network), *(Put(subnet) for subnet in subnets)]
            await self._context.commit(puts, must_hold=network)
            return network

    async def rename(self, reference: str, name: str) -> Network:
        """See `interface.Networks.rename`."""
        async with self._context.lock:
            network = self.find(reference)
            if network.name == name:
                return network
            check_network_name(name)
            self._check_name_is_free(name, network.tenant)
            renamed = replace(network, name=name)
            await self._context.commit([Put(renamed)])
            return renamed

    async def remove(self, reference: str) -> Network:
        """See `interface.Networks.remove`."""
        async with self._context.lock:
            network = self.find(reference)
            self._check_unused(network)
            await self._context.commit(self._removal(network))
            return network

    def _check_name_is_free(self, name: str, tenant: str) -> None:
        for network in self._context.view.by(Network, "name", name):
            if network.tenant == tenant:
                raise ConflictError(f"network {name}: exists already (id {network.id})")

    def _check_unused(self, network: Network) -> None:
        view = self._context.view
        users = [
            port_label(view, port)
            for port in view.by(Port, "network_id", network.id)
            if not port.is_host
        ]
        if users:
            raise InUseError(f"network {network.name}: in use by {users_of(sorted(users))}")
        for docker in view.by(DockerNetwork, "network_id", network.id):
            name = docker.name or docker.id[:12]
            raise InUseError(
                f"network {network.name}: is Docker's network {name}; "
                f"remove it there: docker network rm {name}"
            )

    def _removal(self, network: Network) -> Iterable[Change]:
        view = self._context.view
        for port in view.by(Port, "network_id", network.id):
            yield Delete(Port, port.id)
        for name in view.by(Name, "network_id", network.id):
            yield Delete(Name, name.id)
        for subnet in view.by(Subnet, "network_id", network.id):
            yield from self._addresses.forget_all(subnet)
            yield Delete(Subnet, subnet.id)
        yield Delete(Network, network.id)

    def _free_vni(self) -> Vni:
        space = (1 << 24) - FIRST_VNI
        for _ in range(64):
            number = int.from_bytes(self._context.random_bytes(4), "big")
            vni = Vni(FIRST_VNI + number % space)
            if not tuple(self._context.view.by(Network, "vni", vni)):
                return vni
        raise ExhaustedError("VNI: no free one found in 64 tries; remove networks")

    def _subnets_for(
        self, network: Network, spec: NetworkSpec, adopt: Sequence[SubnetId]
    ) -> Sequence[Subnet]:
        subnets = [self._adopted(network, subnet_id, spec) for subnet_id in adopt]
        known = {subnet.cidr for subnet in subnets}
        for wanted, family in self._wanted(spec, is_adopting=bool(adopt)):
            if wanted.cidr is not None and wanted.cidr in known:
                continue
            subnet = self._addresses.new_subnet(
                wanted,
                tenant=spec.tenant,
                family=family,
                is_forced=spec.is_forced,
                others=[other.cidr for other in subnets],
            )
            gateway = _checked_gateway(subnet, wanted)
            subnets.append(replace(subnet, network_id=network.id, gateway=gateway))
        return subnets

    def _wanted(self, spec: NetworkSpec, *, is_adopting: bool) -> Iterable[tuple[SubnetSpec, int]]:
        families = {s.cidr.version for s in spec.subnets if s.cidr is not None}
        for subnet in spec.subnets:
            yield subnet, subnet.cidr.version if subnet.cidr is not None else 4
        if is_adopting:
            return
        if not spec.subnets:
            yield SubnetSpec(), 4
        if spec.is_ipv6 and 6 not in families:
            yield SubnetSpec(), 6

    def _adopted(self, network: Network, subnet_id: SubnetId, spec: NetworkSpec) -> Subnet:
        subnet = self._context.view.get(Subnet, subnet_id)
        if subnet is None:
            raise NotFoundError(f"address pool {subnet_id}: not found")
        if subnet.network_id is not None:
            raise ConflictError(f"address pool {subnet.cidr}: belongs to another network already")
        wanted = next((s for s in spec.subnets if s.cidr == subnet.cidr), SubnetSpec())
        gateway = wanted.gateway or subnet.gateway or self._reserved_gateway(subnet)
        if gateway is not None:
            _check_gateway(gateway, subnet)
        return replace(
            subnet,
            network_id=network.id,
            gateway=gateway if wanted.has_gateway else None,
            ranges=wanted.ranges or subnet.ranges,
            excludes=wanted.excludes or subnet.excludes,
            is_forced=spec.is_forced,
        )

    def _reserved_gateway(self, subnet: Subnet) -> IPAddress | None:
        held = self._context.view.by(Reservation, "subnet_id", subnet.id)
        return next((r.address for r in held if r.reason == "gateway"), None)


def _checked_gateway(subnet: Subnet, spec: SubnetSpec) -> IPAddress | None:
    if not spec.has_gateway:
        if spec.gateway is not None:
            raise InvalidError(f"gateway {spec.gateway}: given together with 'no gateway'")
        return None
    if spec.gateway is not None:
        _check_gateway(spec.gateway, subnet)
        return spec.gateway
    first, last = usable(subnet.cidr)
    if first == last:
        return None
    return type(subnet.cidr.network_address)(first)


def _check_gateway(gateway: IPAddress, subnet: Subnet) -> None:
    if gateway not in subnet.cidr:
        raise InvalidError(f"gateway {gateway}: outside subnet {subnet.cidr}")
    first, last = usable(subnet.cidr)
    if not first <= int(gateway) <= last:
        raise InvalidError(f"gateway {gateway}: cannot be given to anybody in {subnet.cidr}")


def _check_mtu(mtu_bytes: int | None, subnets: Sequence[Subnet]) -> None:
    if mtu_bytes is None:
        return
    least = 1280 if any(subnet.cidr.version == 6 for subnet in subnets) else MIN_MTU_BYTES
    if not least <= mtu_bytes <= MAX_MTU_BYTES:
        raise InvalidError(f"mtu {mtu_bytes}: must be {least} to {MAX_MTU_BYTES}")
