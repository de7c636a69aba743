"""Ports as rows: where a port is reached and, if it is here, how it may send. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine.ebpf.compile import multicast_groups, unowned
from weft.engine.ebpf.compile.policy import port_rules
from weft.engine.ebpf.compile.published import published
from weft.engine.ebpf.compile.subjects import atoms_of_port
from weft.engine.ebpf.tables.addresses import ADDRESSES, AddressKey, AddressValue
from weft.engine.ebpf.tables.allowed import ALLOWED, AllowedKey, AllowedValue
from weft.engine.ebpf.tables.filters import FILTERS, FilterKey, FilterValue
from weft.engine.ebpf.tables.flood import FLOOD, FloodKey, FloodValue
from weft.engine.ebpf.tables.macs import MACS, MacKey, MacValue, mac_at_host
from weft.engine.ebpf.tables.port_rules import PORT_RULES, PortRules
from weft.engine.ebpf.tables.ports import PORTS, PortValue
from weft.engine.plumbing.tables.devices import DEVICES, DeviceValue
from weft.engine.plumbing.tables.host_addresses import HOST_ADDRESSES, HostAddressValue
from weft.engine.plumbing.tables.query_routes import QUERY_ROUTES, QueryRouteValue
from weft.engine.rows import Row
from weft.model.addresses import IPAddress, IPNetwork, first_of_family, ip_network
from weft.model.ids import HostId, host_tag
from weft.model.records import Host, Network, Place, Port, Subnet
from weft.semantics.advertised import is_advertised_to
from weft.semantics.guest import Guest, guest_of
from weft.semantics.routers import is_led_to, prefixes_beyond
from weft.store.interface import View
from weft.topology.prefixes import addresses_with_a_way_out


def compile_port(host_id: HostId, port: Port, view: View) -> Iterator[Row]:
    """A place on a network: where it is reached and, if it is here, how it may send."""
    network = view.get(Network, port.network_id)
    if network is None:
        return
    # The first question is one for all ports of a network, and its answer is mostly no.
    is_replaced = view.any(Port, "replaces_on", network.id) and view.any(Port, "replaces", port.id)
    if port.host_id is None:
        return
    here = Place(network.id, host_id)
    if port.allowed and (view.any(Port, "place", here) or view.ask(is_led_to, here)):
        yield from unowned.of_port(host_id, network, port, view)
    if port.host_id != host_id:
        is_plugged = (port.is_host or port.device is not None) and not is_replaced
        if is_plugged and view.any(Port, "place", here):
            yield from _reached_at(host_id, port, network, view, host=host_tag(port.host_id))
        elif is_plugged and not port.is_host and view.ask(is_led_to, here):
            atoms = atoms_of_port(host_id, port, network, view)
            yield from _routed_to(
                port, network, AddressValue(port.mac, host=host_tag(port.host_id), atoms=atoms)
            )
        return
    if port.is_host:
        yield from _host_place(host_id, port, network, view)
    elif port.veth is not None and port.slot is not None:
        rules = port_rules(port.id, port.veth.ifname, view)
        if rules is not None:
            yield PORT_RULES.row(rules, rules)
        if not is_replaced:
            yield from _reached_at(
                host_id,
                port,
                network,
                view,
                ifname=port.veth.ifname,
                is_judged=rules is not None,
            )
        yield from _sender(host_id, port, network, rules, view)
        yield from multicast_groups.member_rows(host_id, port, network, port.multicast_groups, view)
    yield from published(port, view)


def _reached_at(
    host_id: HostId,
    port: Port,
    network: Network,
    view: View,
    *,
    ifname: str = "",
    host: int = 0,
    is_judged: bool = False,
) -> Iterator[Row]:
    """At a device of this host, or at another host. Link-local addresses follow from the MACs."""
    atoms = atoms_of_port(host_id, port, network, view)
    value = AddressValue(port.mac, ifname, host=host, atoms=atoms, is_judged=is_judged)
    yield from _routed_to(port, network, value)
    local = MacValue(ifname, atoms=atoms, is_judged=is_judged)
    there = mac_at_host(host, atoms) if host else local
    for mac in {port.mac, *(pair.mac for pair in port.allowed if pair.mac)}:
        yield MACS.row(MacKey(network.vni, mac), there)


def _routed_to(port: Port, network: Network, value: AddressValue) -> Iterator[Row]:
    """Where it is reached from other networks: by its addresses alone."""
    for address in port.addresses:
        yield ADDRESSES.row(AddressKey(network.vni, address), value)


def _sender(
    host_id: HostId, port: Port, network: Network, rules: PortRules | None, view: View
) -> Iterator[Row]:
    device, slot = port.veth, port.slot
    assert device is not None and slot is not None
    subnets = tuple(view.by(Subnet, "network_id", network.id))
    beyond = view.ask(prefixes_beyond, network.id)
    guest = guest_of(port, network, subnets, view.get(Host, host_id), beyond)
    ifname = device.ifname
    ipv4 = first_of_family(4, port.addresses)
    ipv6 = first_of_family(6, port.addresses)
    yield DEVICES.row(
        ifname,
        DeviceValue(
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
    yield PORTS.row(
        ifname,
        PortValue(
            vni=network.vni,
            mac=port.mac,
            slot=slot,
            is_spoof_checked=port.is_spoof_checked,
            ipv4=ipv4,
            ipv6=ipv6,
            is_internal=network.is_internal,
            mtu_bytes=guest.mtu_bytes,
            rules=rules,
            is_advertised_to=is_advertised_to(port, subnets),
        ),
    )
    netns = _namespace(port)
    if netns and guest.resolver_routes:
        routes = tuple((route.prefix, route.gateway) for route in guest.resolver_routes)
        yield QUERY_ROUTES.row(ifname, QueryRouteValue(netns, port.mac, routes))
    yield FLOOD.row(FloodKey(network.vni, slot), FloodValue(ifname, rules is not None))
    yield FILTERS.row(FilterKey(ifname), FilterValue("from_port"))
    for address in port.addresses:
        if address not in (ipv4, ipv6):
            key = AllowedKey(ifname, ip_network(address))
            yield ALLOWED.row(key, AllowedValue())
    for pair in port.allowed:
        yield ALLOWED.row(AllowedKey(ifname, pair.cidr), AllowedValue(pair.mac or ""))


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


def _host_place(host_id: HostId, port: Port, network: Network, view: View) -> Iterator[Row]:
    atoms = atoms_of_port(host_id, port, network, view)
    for address in addresses_with_a_way_out(view, port):
        yield ADDRESSES.row(
            AddressKey(network.vni, address),
            AddressValue(mac=port.mac, is_host=True, atoms=atoms),
        )
        yield HOST_ADDRESSES.row(address, HostAddressValue(address.max_prefixlen))
    yield MACS.row(MacKey(network.vni, port.mac), MacValue(is_host=True, atoms=atoms))
