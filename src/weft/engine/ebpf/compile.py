"""The ebpf engine's compile functions: what one host's kernel must hold, from the records.

Pure: no clock, no kernel, no ifindex. One function a record kind; see `rows` for the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import cast

from weft.engine.compiler import CompileFunction
from weft.engine.ebpf import encryption, multicast_groups, rows, tunnels
from weft.engine.rows import Row
from weft.model.addresses import IPAddress, IPNetwork, ip_network
from weft.model.choices import Multicasting, TransportProtocol
from weft.model.ids import HostId, HostTag, host_place_id, host_tag
from weft.model.records import (
    Host,
    HostPrefixes,
    MulticastMembership,
    Neighbours,
    Network,
    Place,
    Port,
    Record,
    Subnet,
)
from weft.model.records.hosts import link_of
from weft.model.service_addresses import ALIAS4, ALIAS6, DNS4, DNS6, GATEWAY_MAC, WIREGUARD6
from weft.semantics.guest import Guest, guest_of
from weft.semantics.proxied import proxied_ports
from weft.store.interface import View
from weft.topology.encryption import cluster_settings, party
from weft.topology.prefixes import (
    addresses_with_a_way_out,
    is_around,
    is_contested,
    is_cut_off,
)


def functions(
    host_id: HostId, *, is_device: bool = False
) -> Mapping[type[Record], CompileFunction]:
    """The compile functions for one host. is_device: its setting `encapsulation`."""
    return {
        Host: partial(compile_host, host_id, is_device=is_device),
        Neighbours: partial(compile_neighbours, host_id, is_device=is_device),
        Network: partial(compile_network, host_id),
        Subnet: partial(compile_subnet, host_id),
        Port: partial(compile_port, host_id),
        MulticastMembership: partial(multicast_groups.compile_multicast_membership, host_id),
    }


def compile_host(
    host_id: HostId, host: Host, view: View, *, is_device: bool = False
) -> Iterator[Row]:
    """The host's own plumbing: Weft's addresses, the ports' aliases, whose queries are Weft's.
    Of another host, the way there."""
    yield from tunnels.peers(host_id, host, view)
    if host.id != host_id:
        yield from tunnels.direct(host_id, host, view, is_device=is_device)
        return
    yield from encryption.device(cluster_settings(view), party(view, host))
    yield Row(rows.FILTERS, rows.FilterKey(rows.WEFT1), rows.FilterValue("from_host"))
    for address in (DNS4, DNS6):
        yield Row(rows.HOST_ADDRESSES, address, rows.HostAddressValue(address.max_prefixlen))
    yield Row(rows.HOST_ROUTES, ALIAS4, rows.HostRouteValue(DNS4))
    yield Row(rows.HOST_ROUTES, ALIAS6, rows.HostRouteValue(DNS6))
    for aliases in (ALIAS4, ALIAS6):
        if view.detail(HostPrefixes, host_id, is_contested, aliases):
            yield from _own_route(aliases)
    if view.detail(HostPrefixes, host_id, is_contested, WIREGUARD6):
        yield Row(rows.RULES, WIREGUARD6, rows.RuleValue())
    yield Row(rows.OVERLAY_DEVICES, rows.WEFTX, rows.OverlayDeviceValue())
    yield Row(rows.FILTERS, rows.FilterKey(rows.WEFTX), rows.FilterValue("from_overlay"))
    for address in host.underlay:
        yield Row(rows.WIRES, address, rows.WireValue())
    for resolver in (*host.resolvers, *host.former_resolvers):
        yield Row(rows.RESOLVERS, resolver, rows.ResolverValue())


def compile_neighbours(
    host_id: HostId, neighbours: Neighbours, view: View, *, is_device: bool = False
) -> Iterator[Row]:
    """Ways to hosts whose direct path is broken."""
    if neighbours.id == host_id:
        yield from tunnels.around(host_id, neighbours, view, is_device=is_device)


def compile_network(host_id: HostId, network: Network, view: View) -> Iterator[Row]:
    """What holds for all of a network, and who else gets what is flooded on it.

    Linear in its ports on this host, and in its hosts and groups if it has any here.
    """
    ports = tuple(view.by(Port, "place", Place(network.id, host_id)))
    for after, tag in pairwise([0, *_tags_on(network, host_id, view)] if ports else ()):
        yield Row(rows.REPLICAS, rows.ReplicaKey(network.vni, after), tag)
    yield Row(
        rows.NETWORKS,
        network.vni,
        rows.NetworkValue(
            is_internal=network.is_internal,
            slot_count=1 + max((port.slot for port in ports if port.slot is not None), default=-1),
            has_unknown=view.any(Port, "unknown_on", network.id),
            is_snooping=network.multicast is Multicasting.SNOOP,
        ),
    )
    if ports:
        yield from multicast_groups.groups_of_network(host_id, network, view)


def _tags_on(network: Network, host_id: HostId, view: View) -> list[HostTag]:
    """Of the other hosts with a port on it, rising."""
    places = cast("Iterable[Place]", view.beginning(Port, "place", network.id))
    return sorted({host_tag(place.host_id) for place in places if place.host_id != host_id})


def compile_subnet(host_id: HostId, subnet: Subnet, view: View) -> Iterator[Row]:
    """A prefix: its gateway, and how the host gets into it. One that is cut off, for it overlaps
    another network's, is a prefix without a way out, and the host knows nothing of it."""
    network = _network_of(subnet, view)
    if network is None:
        return
    is_open, gateway = not is_cut_off(view, subnet), subnet.gateway
    way_out = rows.SubnetValue(gateway if is_open else None)
    yield Row(rows.SUBNETS, rows.SubnetKey(network.vni, subnet.cidr), way_out)
    if gateway is not None:
        yield Row(
            rows.ADDRESSES,
            rows.AddressKey(network.vni, gateway),
            rows.AddressValue(mac=GATEWAY_MAC, is_gateway=True),
        )
    if is_open:
        yield from _on_the_host(host_id, subnet, network, view)


def _on_the_host(host_id: HostId, subnet: Subnet, network: Network, view: View) -> Iterator[Row]:
    """What the host's own stack has of a subnet."""
    cidr = subnet.cidr
    if subnet.gateway is not None:
        yield Row(rows.NFTABLES, rows.NftKey("gateway", cidr), subnet.gateway)
    yield Row(rows.HOST_PREFIXES, cidr, rows.HostPrefixValue(network.vni))
    place = view.get(Port, host_place_id(host_id, network.id))
    if network.is_internal:
        yield Row(rows.NFTABLES, rows.NftKey("internal", cidr), True)
    else:
        yield Row(rows.NFTABLES, rows.NftKey("masquerade", cidr), True)
    if place is not None:
        yield Row(rows.NFTABLES, rows.NftKey("exposed", cidr), True)
    if place is not None or not network.is_internal:
        source = _first_in(cidr, place) if place is not None else None
        yield from _host_routes(host_id, cidr, source, view)


def _host_routes(
    host_id: HostId, cidr: IPNetwork, source: IPAddress | None, view: View
) -> Iterator[Row]:
    """In the main table, unless that would take a part of the host's own link away from it, which
    only a place that the host has on the network is worth. Where the main table may lead somewhere
    else, in Weft's own."""
    is_around_link = source is None and view.detail(HostPrefixes, host_id, is_around, cidr)
    if not is_around_link and not _takes_underlay(host_id, cidr, view):
        yield Row(rows.HOST_ROUTES, cidr, rows.HostRouteValue(source))
    if view.detail(HostPrefixes, host_id, is_contested, cidr):
        yield from _own_route(cidr)
        yield Row(rows.NFTABLES, rows.NftKey("contested", cidr), True)


def _own_route(cidr: IPNetwork) -> Iterator[Row]:
    yield Row(rows.OWN_ROUTES, cidr, rows.HostRouteValue())
    yield Row(rows.RULES, cidr.version, rows.RuleValue())


def _takes_underlay(host_id: HostId, cidr: IPNetwork, view: View) -> bool:
    """Whether a route to the prefix would lead away the packets to another host, or to this one.

    It is told by what this host knows by itself (its links, and who is on them), for others may
    say of their addresses what they like.
    """
    me = view.get(Host, host_id)
    for address in me.underlay if me is not None else ():
        link = link_of(address)
        if link.version != cidr.version or not link.overlaps(cidr):
            continue
        beside = view.by(Host, "underlay_links", link)
        if any(other in cidr for host in beside for other in host.underlay if other in link):
            return True
    return bool(view.detail(Neighbours, host_id, _has_neighbour_in, cidr))


def _has_neighbour_in(record: Neighbours | None, cidr: IPNetwork) -> bool:
    found = record.neighbours if record is not None else ()
    return any(each.has_link and each.address in cidr for each in found)


def compile_port(host_id: HostId, port: Port, view: View) -> Iterator[Row]:
    """A place on a network: where it is reached and, if it is here, how it may send."""
    network = view.get(Network, port.network_id)
    if network is None:
        return
    # The first question is one for all ports of a network, and its answer is mostly no.
    is_replaced = view.any(Port, "replaces_on", network.id) and view.any(Port, "replaces", port.id)
    if port.host_id is None:
        return
    if port.host_id != host_id:
        is_plugged = (port.is_host or port.device is not None) and not is_replaced
        if is_plugged and view.any(Port, "place", Place(network.id, host_id)):
            yield from _reached_at(port, network, host=host_tag(port.host_id))
        return
    if port.is_host:
        yield from _host_place(port, network, view)
    elif port.veth is not None and port.slot is not None:
        if not is_replaced:
            yield from _reached_at(port, network, ifname=port.veth.ifname)
        yield from _sender(host_id, port, network, view)
        yield from multicast_groups.member_rows(host_id, port, network, port.multicast_groups)
    yield from _published(port, view)


def _reached_at(port: Port, network: Network, *, ifname: str = "", host: int = 0) -> Iterator[Row]:
    """At a device of this host, or at another host. Link-local addresses follow from the MACs."""
    value = rows.AddressValue(mac=port.mac, ifname=ifname, host=host)
    for address in port.addresses:
        yield Row(rows.ADDRESSES, rows.AddressKey(network.vni, address), value)
    there = rows.mac_at_host(host) if host else rows.MacValue(ifname)
    for mac in {port.mac, *(pair.mac for pair in port.allowed if pair.mac)}:
        yield Row(rows.MACS, rows.MacKey(network.vni, mac), there)


def _sender(host_id: HostId, port: Port, network: Network, view: View) -> Iterator[Row]:
    device, slot = port.veth, port.slot
    assert device is not None and slot is not None
    subnets = tuple(view.by(Subnet, "network_id", network.id))
    guest = guest_of(port, network, subnets, view.get(Host, host_id))
    ifname = device.ifname
    ipv4 = _first_of_family(4, port.addresses)
    ipv6 = _first_of_family(6, port.addresses)
    yield Row(
        rows.DEVICES,
        ifname,
        rows.DeviceValue(
            peer_ifname=device.peer_ifname,
            netns=device.netns,
            netns_inode=device.netns_inode,
            mac=guest.mac,
            mtu_bytes=guest.mtu_bytes,
            addresses=tuple((each.address, each.prefix_length) for each in guest.addresses),
            routes=_routes(guest, is_default_route=device.is_default_route),
            vni=network.vni,
        ),
    )
    yield Row(
        rows.PORTS,
        ifname,
        rows.PortValue(
            vni=network.vni,
            mac=port.mac,
            slot=slot,
            is_spoof_checked=port.is_spoof_checked,
            ipv4=ipv4,
            ipv6=ipv6,
            is_internal=network.is_internal,
            mtu_bytes=guest.mtu_bytes,
        ),
    )
    netns = _namespace(port)
    if netns and guest.resolver_routes:
        routes = tuple((route.prefix, route.gateway) for route in guest.resolver_routes)
        yield Row(rows.QUERY_ROUTES, ifname, rows.QueryRouteValue(netns, port.mac, routes))
    yield Row(rows.FLOOD, rows.FloodKey(network.vni, slot), ifname)
    yield Row(rows.FILTERS, rows.FilterKey(ifname), rows.FilterValue("from_port"))
    for address in port.addresses:
        if address not in (ipv4, ipv6):
            key = rows.AllowedKey(ifname, ip_network(address))
            yield Row(rows.ALLOWED, key, rows.AllowedValue())
    for pair in port.allowed:
        yield Row(
            rows.ALLOWED, rows.AllowedKey(ifname, pair.cidr), rows.AllowedValue(pair.mac or "")
        )


def _namespace(port: Port) -> str:
    """Where the workload's end is for sure; empty: not known. In a container's namespace it is when
    Docker has connected it, and only then its id is learned."""
    assert port.veth is not None
    owner = port.owner
    return port.veth.netns or (owner.sandbox if owner.container_id else "")


def _routes(guest: Guest, *, is_default_route: bool) -> tuple[tuple[IPNetwork, IPAddress], ...]:
    default = guest.default_routes if is_default_route else ()
    routes = (*default, *guest.subnet_routes)
    return tuple((route.prefix, route.gateway) for route in routes)


def _host_place(port: Port, network: Network, view: View) -> Iterator[Row]:
    for address in addresses_with_a_way_out(view, port):
        yield Row(
            rows.ADDRESSES,
            rows.AddressKey(network.vni, address),
            rows.AddressValue(mac=port.mac, is_host=True),
        )
        yield Row(rows.HOST_ADDRESSES, address, rows.HostAddressValue(address.max_prefixlen))
    yield Row(rows.MACS, rows.MacKey(network.vni, port.mac), rows.MacValue(is_host=True))


def _published(port: Port, view: View) -> Iterator[Row]:
    addresses = addresses_with_a_way_out(view, port) if port.published else ()
    for published in port.published:
        if published.protocol is TransportProtocol.OTHER:
            continue
        for address in addresses:
            wanted = published.host_address
            if wanted is not None and wanted.version != address.version:
                continue
            if _first_of_family(address.version, port.addresses) != address:
                continue
            key = rows.PublishKey(
                published.protocol,
                published.host_port,
                wanted,
                address.version,
                published.count,
            )
            target = rows.PublishTarget(address, published.port)
            yield Row(rows.NFTABLES, rows.NftKey("publish", key), target)
    for proxied in proxied_ports(port, tuple(addresses)) if addresses else ():
        key = rows.PublishKey(
            proxied.protocol, proxied.first, proxied.host_address, proxied.family, proxied.count
        )
        yield Row(rows.NFTABLES, rows.NftKey("proxy", key), True)


def _network_of(subnet: Subnet, view: View) -> Network | None:
    return None if subnet.network_id is None else view.get(Network, subnet.network_id)


def _first_of_family(version: int, addresses: Iterable[IPAddress]) -> IPAddress | None:
    return next((address for address in addresses if address.version == version), None)


def _first_in(cidr: object, place: Port) -> IPAddress | None:
    return next((address for address in place.addresses if address in cidr), None)  # type: ignore[operator]
