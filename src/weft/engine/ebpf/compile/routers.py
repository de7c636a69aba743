"""Routers as rows: their tables, and what leads to them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine.ebpf.compile.subjects import atoms_of_place
from weft.engine.ebpf.tables.addresses import ADDRESSES, AddressKey, AddressValue
from weft.engine.ebpf.tables.macs import MACS, MacKey, MacValue
from weft.engine.ebpf.tables.routes import (
    NO_TABLE,
    ROUTERS,
    ROUTES,
    NextHopValue,
    RouteKey,
    RouterKey,
    RouterTable,
    RouterValue,
    RouteValue,
)
from weft.engine.rows import Row
from weft.kernel.bpf.layouts import RouteKind
from weft.model.addresses import IPNetwork, ip_network
from weft.model.ids import HostId, NetworkId, RouterId, derived_number
from weft.model.records import Host, Network, Place, Router, RouterPort
from weft.model.service_addresses import GATEWAY_MAC
from weft.semantics.guest import mtu_bytes_of
from weft.semantics.routers import (
    Connection,
    Entry,
    Kind,
    NextHop,
    Table,
    connections,
    entries,
    gateway_routers,
    is_led_to,
    networks_of,
    sources,
    subnet_of,
)
from weft.store.interface import View

_KINDS = {
    Kind.CONNECTED: RouteKind.ROUTE_CONNECTED,
    Kind.VIA: RouteKind.ROUTE_VIA,
    Kind.DROPPED: RouteKind.ROUTE_DROPPED,
    Kind.UNREACHABLE: RouteKind.ROUTE_UNREACHABLE,
}
_EVERYWHERE = ip_network("0.0.0.0/0"), ip_network("::/0")


def compile_router(host_id: HostId, router: Router, view: View) -> Iterator[Row]:
    """A router's tables, if something on this host may send by it."""
    near = view.ask(networks_of, router.id)
    if not any(view.ask(is_led_to, Place(id, host_id)) for id in near):
        return
    found = view.ask(sources, router.id)
    for source in (None, *found):
        number = _number(router.id, source)
        for entry in view.ask(entries, Table(router.id, source)):
            if source is None or source.version == entry.prefix.version:
                yield ROUTES.row(RouteKey(number, entry.prefix), _route(host_id, entry, view))
    if found:
        yield from _chooser(router.id, found)


def compile_router_port(host_id: HostId, place: RouterPort, view: View) -> Iterator[Row]:
    """Where a router is no gateway: its own MAC, and its addresses."""
    network = view.get(Network, place.network_id)
    if network is None:
        return
    own = [
        connection.address
        for connection in view.ask(connections, place.router_id)
        if connection.address in place.addresses and not _is_gateway(view, connection)
    ]
    atoms = atoms_of_place(host_id, network, view)
    for address in own:
        yield ADDRESSES.row(
            AddressKey(network.vni, address),
            AddressValue(mac=place.mac, is_gateway=True, atoms=atoms),
        )
    if own:
        table = router_table(view, place.router_id)
        yield MACS.row(MacKey(network.vni, place.mac), MacValue(is_gateway=True))
        yield ROUTERS.row(RouterKey(network.vni, place.mac), RouterValue(table, table))


def routers_of_strangers(network: Network, view: View) -> Iterator[Row]:
    """The routers that decide on what comes from a sender that is in no subnet of a network."""
    first: dict[int, RouterId] = {}
    for found in view.ask(gateway_routers, network.id):
        first.setdefault(found.prefix.version, found.router_id)
    if first:
        tables = {version: router_table(view, id) for version, id in first.items()}
        value = RouterValue(tables.get(4, NO_TABLE), tables.get(6, NO_TABLE))
        yield ROUTERS.row(RouterKey(network.vni, GATEWAY_MAC), value)


def gateway_table(view: View, network_id: NetworkId, cidr: IPNetwork) -> RouterTable:
    """The table of the router that is the gateway of a subnet."""
    for found in view.ask(gateway_routers, network_id):
        if found.prefix == cidr:
            return router_table(view, found.router_id)
    return NO_TABLE


def router_table(view: View, router_id: RouterId) -> RouterTable:
    """Where a router begins to look."""
    if view.ask(sources, router_id):
        return RouterTable(derived_number("router-sources", router_id), is_of_sources=True)
    return RouterTable(_number(router_id, None))


def _chooser(router_id: RouterId, found: tuple[IPNetwork, ...]) -> Iterator[Row]:
    """The table that says which one holds, by the source."""
    chooser = derived_number("router-sources", router_id)
    for prefix in _EVERYWHERE:
        if prefix not in found:
            main = RouteValue(
                prefix.version, RouteKind.ROUTE_SOURCE, table=_number(router_id, None)
            )
            yield ROUTES.row(RouteKey(chooser, prefix), main)
    for source in found:
        table = _number(router_id, source)
        value = RouteValue(source.version, RouteKind.ROUTE_SOURCE, table=table)
        yield ROUTES.row(RouteKey(chooser, source), value)


def _route(host_id: HostId, entry: Entry, view: View) -> RouteValue:
    hops = [_next_hop(view, hop) for hop in entry.next_hops]
    ends = [hop.network_id for hop in entry.next_hops if hop.router_id is None]
    if entry.network_id is not None:
        ends.append(entry.network_id)
    host = view.get(Host, host_id)
    networks = (view.get(Network, id) for id in ends)
    sizes = [mtu_bytes_of(each, host) for each in networks if each is not None]
    return RouteValue(
        entry.prefix.version,
        _KINDS[entry.kind],
        vni=_vni(view, entry.network_id) if entry.network_id is not None else 0,
        next_hops=tuple(hops),
        mtu_bytes=min(sizes, default=0),
    )


def _next_hop(view: View, hop: NextHop) -> NextHopValue:
    table = NO_TABLE if hop.router_id is None else router_table(view, hop.router_id)
    return NextHopValue(_vni(view, hop.network_id), hop.address, table)


def _vni(view: View, network_id: NetworkId) -> int:
    network = view.get(Network, network_id)
    return 0 if network is None else network.vni


def _is_gateway(view: View, connection: Connection) -> bool:
    subnet = subnet_of(view, connection.network_id, connection.address)
    return subnet is not None and subnet.gateway == connection.address


def _number(router_id: RouterId, source: IPNetwork | None) -> int:
    return derived_number("router", router_id, "" if source is None else str(source))
