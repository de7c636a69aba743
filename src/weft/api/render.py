"""Records to answers: the records' facts under the API's own names, addresses as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from weft.api.context import Context
from weft.api.schema import (
    AllowedInfo,
    AttemptInfo,
    DeviceInfo,
    HostInfo,
    NameInfo,
    NetworkInfo,
    OwnerInfo,
    PortInfo,
    PublishedInfo,
    RangeInfo,
    SubnetInfo,
)
from weft.cluster.interface import Problem as LinkProblem
from weft.cluster.standing import Standing
from weft.control.references import host_name, network_label
from weft.engine.failures import by_record
from weft.model.choices import Direction
from weft.model.records import (
    AddressRange,
    AllowedAddress,
    Name,
    Network,
    Owner,
    Port,
    PublishedPort,
    SecurityGroup,
    Subnet,
    Veth,
)
from weft.semantics.guest import mtu_bytes_of
from weft.semantics.members import groups_of_each
from weft.semantics.policy import denied_on
from weft.semantics.tenants import tenant_name, tenant_of
from weft.store.interface import View
from weft.topology.prefixes import first_before


def host_info(standing: Standing) -> HostInfo:
    """A host."""
    host = standing.host
    return HostInfo(
        id=host.id,
        name=host.name,
        underlay=tuple(str(address) for address in host.underlay),
        mtu_bytes=host.mtu_bytes,
        network_mtu_bytes=host.network_mtu_bytes,
        resolvers=tuple(str(address) for address in host.resolvers),
        former_resolvers=tuple(str(address) for address in host.former_resolvers),
        version=host.version,
        is_local=standing.state == "local",
        mesh_port=host.mesh_port,
        state=standing.state,
        since_s=standing.since_s,
        address=str(standing.address) if standing.address is not None else None,
        path=standing.path,
        relayed_by=standing.relay.name if standing.relay is not None else None,
        path_mtu_bytes=standing.path_mtu_bytes or None,
        rtt_s=standing.rtt_s,
        encryption=standing.way.value if standing.way is not None else None,
        clock_offset_s=standing.clock_offset_s,
        reason=standing.reason,
        fix=standing.fix,
    )


def attempt_info(problem: LinkProblem) -> AttemptInfo:
    """An attempt to link."""
    return AttemptInfo(
        address=problem.address,
        host_id=problem.host_id,
        is_outgoing=problem.is_outgoing,
        is_clone=problem.is_clone,
        at_s=problem.at_s,
        reason=problem.reason,
        fix=problem.fix,
    )


def subnet_info(view: View, subnet: Subnet) -> SubnetInfo:
    """A subnet."""
    before = first_before(view, subnet) if subnet.network_id is not None else None
    return SubnetInfo(
        id=subnet.id,
        cidr=str(subnet.cidr),
        gateway=str(subnet.gateway) if subnet.gateway else None,
        ranges=_ranges(subnet.ranges),
        excludes=_ranges(subnet.excludes),
        allocator=subnet.allocator,
        is_forced=subnet.is_forced,
        router_advertisements=subnet.router_advertisements,
        cut_off_by=network_label(view, before.network_id) if before and before.network_id else None,
    )


def subnets_of(context: Context, network: Network) -> tuple[SubnetInfo, ...]:
    """A network's subnets, IPv4 first, in the order of their prefixes."""
    subnets = sorted(
        context.control.networks.subnets(network),
        key=lambda subnet: (subnet.cidr.version, subnet.cidr.network_address.packed),
    )
    return tuple(subnet_info(context.control.view, subnet) for subnet in subnets)


def network_info(context: Context, network: Network) -> NetworkInfo:
    """A network with its subnets; its ports are only counted."""
    everywhere = tuple(context.control.view.by(Port, "network_id", network.id))
    ports = [port for port in everywhere if port.host_id == context.control.host.id]
    return NetworkInfo(
        id=network.id,
        name=network.name,
        tenant=tenant_of(context.control.view, network),
        tenant_id=network.tenant_id,
        vni=network.vni,
        is_internal=network.is_internal,
        is_exposed=any(port.is_host for port in ports),
        mtu_bytes=network.mtu_bytes,
        effective_mtu_bytes=mtu_bytes_of(network, context.control.host),
        labels=dict(network.labels),
        subnets=subnets_of(context, network),
        port_count=sum(not port.is_host for port in ports),
        total_port_count=sum(not port.is_host for port in everywhere),
        multicast=network.multicast,
        shared_with=tuple(
            sorted(tenant_name(context.control.view, id) for id in network.shared_with)
        ),
        denied=None if network.denied is None else direction_words(network.denied),
        effective_denied=direction_words(denied_on(context.control.view, network.id)),
        is_strict=network.is_strict,
        is_tracked=network.is_tracked,
        judges_dns=network.judges_dns,
        admits_host=network.admits_host,
    )


def direction_words(directions: Iterable[Direction]) -> tuple[str, ...]:
    """Directions of traffic."""
    return tuple(direction.value for direction in directions)


def problems_by_record(context: Context) -> Mapping[tuple[str, str], Sequence[str]]:
    """(kind, id) of a record -> why something that it wants is not in force."""
    return by_record(context.engine.failures())


def host_of(context: Context, port: Port) -> str | None:
    """The name of the host that a port is on; None: it is on none."""
    if port.host_id is None:
        return None
    return host_name(context.control.view, port.host_id)


def port_infos(context: Context, ports: Iterable[Port]) -> tuple[PortInfo, ...]:
    """Ports, by network and name."""
    problems = problems_by_record(context)
    listed = tuple(ports)
    groups = groups_of_each(context.control.view, listed)
    infos = [
        _port_info(context, port, groups[port.id], problems.get((Port.KIND, port.id), ()))
        for port in listed
    ]
    return tuple(
        sorted(infos, key=lambda info: (info.network, info.names, info.host or "", info.id))
    )


def port_info(context: Context, port: Port) -> PortInfo:
    """One port."""
    return port_infos(context, [port])[0]


def name_infos(
    context: Context, added: Iterable[Name], ports: Iterable[Port]
) -> tuple[NameInfo, ...]:
    """Names that were added and names that ports carry, by network and name."""
    infos = [_name_info(context, name) for name in added]
    carried: dict[tuple[str, str], list[str]] = defaultdict(list)
    for port in ports:
        for label in port.names:
            carried[label, port.network_id].extend(str(address) for address in port.addresses)
    for (label, network_id), addresses in carried.items():
        infos.append(
            NameInfo(
                name=label,
                network=network_name(context, network_id),
                network_id=network_id,
                fqdn=_fqdn(context, label, network_id),
                addresses=tuple(addresses),
                services=(),
                source="port",
            )
        )
    return tuple(sorted(infos, key=lambda info: (info.network, info.name, info.source)))


def network_name(context: Context, network_id: str) -> str:
    """The name of a network; its id when the record is not there (yet)."""
    network = context.control.view.get(Network, network_id)
    return network.name if network else network_id


def _port_info(
    context: Context, port: Port, groups: Iterable[SecurityGroup], problems: Sequence[str]
) -> PortInfo:
    return PortInfo(
        id=port.id,
        network=network_name(context, port.network_id),
        network_id=port.network_id,
        host=host_of(context, port),
        host_id=port.host_id,
        mac=port.mac,
        addresses=tuple(str(address) for address in port.addresses),
        names=port.names,
        labels=dict(port.labels),
        groups=tuple(group.name for group in groups),
        allowed=tuple(_allowed(allowed) for allowed in port.allowed),
        is_spoof_checked=port.is_spoof_checked,
        admits_host=port.admits_host,
        device=_device(port.veth) if port.veth is not None else None,
        owner=_owner(port.owner),
        published=tuple(_published(published) for published in port.published),
        problems=tuple(problems),
    )


def _name_info(context: Context, name: Name) -> NameInfo:
    return NameInfo(
        name=name.name,
        network=network_name(context, name.network_id),
        network_id=name.network_id,
        fqdn=_fqdn(context, name.name, name.network_id),
        addresses=tuple(str(address) for address in name.addresses),
        services=tuple(service.text for service in name.services),
        source="added",
        labels=dict(name.labels),
    )


def _fqdn(context: Context, label: str, network_id: str) -> str:
    return f"{label}.{network_name(context, network_id)}.{context.settings.domain}"


def _ranges(ranges: Sequence[AddressRange]) -> tuple[RangeInfo, ...]:
    return tuple(RangeInfo(first=str(one.first), last=str(one.last)) for one in ranges)


def _allowed(allowed: AllowedAddress) -> AllowedInfo:
    return AllowedInfo(cidr=str(allowed.cidr), mac=allowed.mac)


def _device(device: Veth) -> DeviceInfo:
    return DeviceInfo(ifname=device.ifname, peer_ifname=device.peer_ifname, netns=device.netns)


def _owner(owner: Owner) -> OwnerInfo:
    return OwnerInfo(
        frontend=owner.frontend,
        reference=owner.reference,
        container_id=owner.container_id,
        container_name=owner.container_name,
    )


def _published(published: PublishedPort) -> PublishedInfo:
    return PublishedInfo(
        protocol=published.protocol,
        host_port=published.host_port,
        port=published.port,
        host_address=str(published.host_address) if published.host_address else None,
        count=published.count,
    )
