"""Hosts as rows: this host's own plumbing, and the ways to the others. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine.ebpf.compile import encryption, policy, tunnels
from weft.engine.ebpf.compile.host_routes import own_route
from weft.engine.ebpf.tables.filters import FILTERS, FilterKey, FilterValue
from weft.engine.ebpf.tables.overlay_devices import OVERLAY_DEVICES, OverlayDeviceValue
from weft.engine.ebpf.tables.resolvers import RESOLVERS, ResolverValue
from weft.engine.ebpf.tables.wires import WIRES, WireValue
from weft.engine.plumbing.device_names import WEFT1, WEFTX
from weft.engine.plumbing.tables.host_addresses import HOST_ADDRESSES, HostAddressValue
from weft.engine.plumbing.tables.host_routes import HOST_ROUTES, HostRouteValue
from weft.engine.plumbing.tables.rules import RULES, RuleValue
from weft.engine.rows import Each, Row
from weft.model.ids import HostId
from weft.model.records import Host
from weft.model.service_addresses import ALIAS4, ALIAS6, DNS4, DNS6, WIREGUARD6
from weft.store.interface import View
from weft.topology.encryption import cluster_settings, party
from weft.topology.prefixes import HostPrefix, is_contested


def compile_host(
    host_id: HostId, host: Host, view: View, *, is_device: bool = False
) -> Iterator[Row | Each]:
    """The host's own plumbing: Weft's addresses, the ports' aliases, whose queries are Weft's.
    Of another host, the way there."""
    yield from tunnels.peers(host_id, host, view)
    if host.id != host_id:
        yield from tunnels.direct(host_id, host, view, is_device=is_device)
        return
    yield from encryption.device(cluster_settings(view), party(view, host))
    yield FILTERS.row(FilterKey(WEFT1), FilterValue("from_host"))
    for address in (DNS4, DNS6):
        yield HOST_ADDRESSES.row(address, HostAddressValue(address.max_prefixlen))
    yield HOST_ROUTES.row(ALIAS4, HostRouteValue(DNS4))
    yield HOST_ROUTES.row(ALIAS6, HostRouteValue(DNS6))
    for aliases in (ALIAS4, ALIAS6):
        if view.ask(is_contested, HostPrefix(host_id, aliases)):
            yield from own_route(aliases)
    if view.ask(is_contested, HostPrefix(host_id, WIREGUARD6)):
        yield RULES.row(WIREGUARD6, RuleValue())
    yield OVERLAY_DEVICES.row(WEFTX, OverlayDeviceValue())
    yield FILTERS.row(FilterKey(WEFTX), FilterValue("from_overlay"))
    for address in host.underlay:
        yield WIRES.row(address, WireValue())
    yield policy.subjects(host_id)
    for resolver in (*host.resolvers, *host.former_resolvers):
        yield RESOLVERS.row(resolver, ResolverValue())
