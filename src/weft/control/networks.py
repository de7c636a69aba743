"""Networks: create, rename, remove."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec import UNSET
from msgspec.structs import replace

from weft.control.advertising import advertised
from weft.control.context import Context
from weft.control.directions import directions
from weft.control.group_references import groups_on
from weft.control.multicast import check_group
from weft.control.quotas import check_quota
from weft.control.references import (
    check_labels,
    check_network_name,
    find_network,
    find_tenant,
    host_name,
    network_label,
    users_of,
    workload_and_host,
)
from weft.control.reservations import Reservations
from weft.control.router_checks import check_sharing, routers_on
from weft.control.specs import (
    MAX_MTU_BYTES,
    MIN_MTU_BYTES,
    NetworkChanges,
    NetworkSpec,
    SubnetSpec,
)
from weft.control.subnets import Subnets
from weft.control.tenants import tenant_for
from weft.control.vnis import free_vni
from weft.errors import ConflictError, InUseError, InvalidError, NotFoundError
from weft.ipam.intervals import usable
from weft.model.addresses import IPAddress
from weft.model.choices import Multicasting, ReservationReason
from weft.model.ids import NetworkId, SubnetId, TenantId, new_id
from weft.model.multicast_groups import in_order
from weft.model.records import (
    Binding,
    Name,
    Network,
    Port,
    Reservation,
    Subnet,
)
from weft.semantics.networks import networks_by_name, ports_that_use, subnets_of
from weft.semantics.tenants import Use
from weft.store.interface import Change, Delete, Put, View
from weft.topology.routes import routes


class Networks:
    """Networks and their subnets."""

    def __init__(self, context: Context, subnets: Subnets, reservations: Reservations) -> None:
        self._context = context
        self._subnets = subnets
        self._reservations = reservations

    def find(self, reference: str) -> Network:
        """The network that a reference names; NotFoundError."""
        return find_network(self._context.view, reference)

    def list(self) -> Sequence[Network]:
        """All networks, by name."""
        return networks_by_name(self._context.view)

    def subnets(self, network: Network) -> Sequence[Subnet]:
        """Its subnets, IPv4 first."""
        return subnets_of(self._context.view, network)

    async def create(self, spec: NetworkSpec, adopt: Sequence[SubnetId] = ()) -> Network:
        """Make a network. `adopt` names pools (subnets without a network) that become its.

        ConflictError: the name is taken, a subnet overlaps another network's or a host's route.
        """
        async with self._context.lock:
            check_network_name(spec.name)
            changes: list[Change] = []
            tenant_id = tenant_for(self._context.view, spec.tenant, changes)
            self._check_name_is_free(spec.name, tenant_id)
            check_quota(self._context.view, tenant_id, Use(networks=1))
            network = Network(
                id=NetworkId(new_id(self._context.random_bytes)),
                name=spec.name,
                tenant_id=tenant_id,
                vni=free_vni(self._context.view, self._context.random_bytes),
                is_internal=spec.is_internal,
                mtu_bytes=spec.mtu_bytes,
                labels=check_labels(spec.labels),
                multicast=Multicasting(spec.multicast),
                multicast_groups=_groups(spec.multicast_groups),
                shared_with=_tenants(self._context.view, spec.shared_with),
                denied=None if spec.denied is None else directions(spec.denied),
                is_strict=spec.is_strict,
                is_tracked=spec.is_tracked,
                judges_dns=spec.judges_dns,
                admits_host=spec.admits_host,
            )
            check_sharing(self._context.view, network)
            subnets = self._subnets_for(network, spec, adopt)
            subnets = list(advertised(subnets, spec.router_advertisements))
            _check_mtu(spec.mtu_bytes, subnets)
            changes += [Put(network), *(Put(subnet) for subnet in subnets)]
            for subnet in subnets:
                if subnet.id not in adopt:
                    changes += self._context.space.created(subnet)
            await self._context.commit(changes, must_hold=network)
            return network

    async def rename(
        self, reference: str, name: str, labels: Mapping[str, str] = MappingProxyType({})
    ) -> Network:
        """Give a network another name, and labels beside those that it has; ConflictError when the
        name is taken. If the network is so already, nothing happens."""
        async with self._context.lock:
            network = self.find(reference)
            known = dict(network.labels)
            more = ((key, value) for key, value in labels.items() if key not in known)
            renamed = replace(network, name=name, labels=(*network.labels, *more))
            if renamed == network:
                return network
            check_network_name(name)
            if name != network.name:
                self._check_name_is_free(name, network.tenant_id)
            await self._context.commit([Put(renamed)])
            return renamed

    async def change(self, reference: str, changes: NetworkChanges) -> Network:
        """Give a network another name or other labels, or send multicast on it to others, on all
        hosts. ConflictError: the name is taken."""
        async with self._context.lock:
            network = self.find(reference)
            changed = _changed(network, changes)
            if changes.shared_with is not UNSET:
                shared_with = _tenants(self._context.view, changes.shared_with)
                changed = replace(changed, shared_with=shared_with)
                check_sharing(self._context.view, changed)
            if changed.name != network.name:
                check_network_name(changed.name)
                self._check_name_is_free(changed.name, network.tenant_id)
            puts: list[Change] = [Put(changed)] if changed != network else []
            if changes.router_advertisements is not UNSET:
                subnets = self.subnets(network)
                wanted = advertised(subnets, changes.router_advertisements)
                puts += [Put(new) for old, new in zip(subnets, wanted) if old != new]
            if puts:
                await self._context.commit(puts)
            return changed

    async def remove(self, reference: str) -> Network:
        """Remove a network with its subnets, names and reservations, on all hosts; InUseError names
        the workloads on it and their hosts, or the security groups that name it. The hosts' own
        places (expose) go with the network, and so do its counterparts in other systems."""
        async with self._context.lock:
            network = self.find(reference)
            self._check_unused(network)
            groups = groups_on(self._context.view, network)
            if groups:
                raise InUseError(f"network {network.name}: is named by {users_of(groups)}")
            await self._context.commit(self._removal(network))
            return network

    async def merge(self, network_id: NetworkId, into: NetworkId) -> Network:
        """Remove a network that nobody uses, in favour of another one: what stands for it in other
        systems of this host stands for the other from then on, and the other gets the subnets that
        it lacks. InUseError: somebody uses the removed one."""
        async with self._context.lock:
            view = self._context.view
            network, other = find_network(view, network_id), find_network(view, into)
            self._check_unused(network)
            cidrs = {subnet.cidr for subnet in self.subnets(other)}
            changes: list[Change] = []
            for binding in view.by(Binding, "record_id", network.id):
                if binding.host_id in (None, self._context.host_id):
                    changes.append(Put(replace(binding, record_id=other.id)))
            for change in self._removal(network):
                subnet = _subnet_of(change, view)
                if subnet is not None and subnet.cidr not in cidrs:
                    changes.append(Put(replace(subnet, network_id=other.id)))
                else:
                    changes.append(change)
            await self._context.commit(changes)
            return other

    def _check_name_is_free(self, name: str, tenant_id: TenantId) -> None:
        for network in self._context.view.by(Network, "name", name):
            if network.tenant_id == tenant_id:
                raise ConflictError(f"network {name}: exists already (id {network.id})")

    def _check_unused(self, network: Network) -> None:
        view = self._context.view
        routers = routers_on(view, network.id)
        if routers:
            raise InUseError(
                f"network {network_label(view, network.id)}: in use by router {users_of(routers)}; "
                f"weft router disconnect {routers[0]} {network.name}"
            )
        users = ports_that_use(view, network)
        if not users:
            return
        holders = users_of(sorted(workload_and_host(view, port) for port in users))
        reached = {self._context.host_id, *view.ask(routes, self._context.host_id)}
        holding = {port.host_id for port in users} - reached
        away = sorted(host_name(view, host) for host in holding if host is not None)
        hint = f"; {away[0]} is not reached, if it is gone: weft forget {away[0]}" if away else ""
        label = network_label(view, network.id)
        raise InUseError(f"network {label}: in use by {holders}{hint}")

    def _removal(self, network: Network) -> Iterable[Change]:
        """The changes that remove a network. Records on it that other hosts own, these hosts remove
        themselves (see `healing`)."""
        view = self._context.view
        for port in view.by(Port, "network_id", network.id):
            if port.host_id in (None, self._context.host_id):
                yield Delete(Port, port.id)
        for name in view.by(Name, "network_id", network.id):
            yield Delete(Name, name.id)
        for subnet in view.by(Subnet, "network_id", network.id):
            for change in self._reservations.all_of(subnet):
                if not self._is_of_other_host(change):
                    yield change
            yield Delete(Subnet, subnet.id)
        yield Delete(Network, network.id)

    def _is_of_other_host(self, change: Change) -> bool:
        if isinstance(change, Put):
            return False
        record = self._context.view.get(change.kind, change.id)
        return getattr(record, "host_id", None) not in (None, self._context.host_id)

    def _subnets_for(
        self, network: Network, spec: NetworkSpec, adopt: Sequence[SubnetId]
    ) -> Sequence[Subnet]:
        subnets = [self._adopted(network, subnet_id, spec) for subnet_id in adopt]
        known = {subnet.cidr for subnet in subnets}
        for wanted, family in self._wanted(spec, is_adopting=bool(adopt)):
            if wanted.cidr is not None and wanted.cidr in known:
                continue
            subnet = self._subnets.new(
                wanted,
                tenant_id=network.tenant_id,
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
        gateway = wanted.gateway
        if gateway is UNSET:
            gateway = subnet.gateway or self._reserved_gateway(subnet)
        if gateway is not None:
            _check_gateway(gateway, subnet)
        return replace(
            subnet,
            network_id=network.id,
            tenant_id=network.tenant_id,
            gateway=gateway,
            ranges=wanted.ranges or subnet.ranges,
            excludes=wanted.excludes or subnet.excludes,
            is_forced=spec.is_forced,
        )

    def _reserved_gateway(self, subnet: Subnet) -> IPAddress | None:
        held = self._context.view.by(Reservation, "subnet_id", subnet.id)
        return next((r.address for r in held if r.reason is ReservationReason.GATEWAY), None)


def _changed(network: Network, changes: NetworkChanges) -> Network:
    labels, multicast, groups = changes.labels, changes.multicast, changes.multicast_groups
    denied = network.denied if changes.denied is UNSET else changes.denied
    return replace(
        network,
        denied=None if denied is None else directions(denied),
        is_strict=network.is_strict if changes.is_strict is UNSET else changes.is_strict,
        is_tracked=network.is_tracked if changes.is_tracked is UNSET else changes.is_tracked,
        judges_dns=network.judges_dns if changes.judges_dns is UNSET else changes.judges_dns,
        admits_host=network.admits_host if changes.admits_host is UNSET else changes.admits_host,
        name=network.name if changes.name is UNSET else changes.name,
        labels=network.labels if labels is UNSET else check_labels(labels),
        multicast=network.multicast if multicast is UNSET else Multicasting(multicast),
        multicast_groups=network.multicast_groups if groups is UNSET else _groups(groups),
    )


def _groups(groups: Iterable[IPAddress]) -> tuple[IPAddress, ...]:
    for group in groups:
        check_group(group)
    return tuple(sorted(set(groups), key=in_order))


def _tenants(view: View, names: Iterable[str]) -> tuple[TenantId, ...]:
    return tuple(sorted({find_tenant(view, name).id for name in names}))


def _subnet_of(change: Change, view: View) -> Subnet | None:
    """The subnet that a change removes."""
    if isinstance(change, Put) or change.kind is not Subnet:
        return None
    return view.get(Subnet, change.id)


def _checked_gateway(subnet: Subnet, spec: SubnetSpec) -> IPAddress | None:
    if spec.gateway is None:
        return None
    if spec.gateway is not UNSET:
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
