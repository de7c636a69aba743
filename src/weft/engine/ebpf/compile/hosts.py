"""Hosts as rows: this host's own plumbing, and the ways to the others. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine.ebpf import rows
from weft.engine.ebpf.compile import encryption, tunnels
from weft.engine.ebpf.compile.host_routes import own_route
from weft.engine.rows import Row
from weft.model.ids import HostId
from weft.model.records import Host, HostPrefixes
from weft.model.service_addresses import ALIAS4, ALIAS6, DNS4, DNS6, WIREGUARD6
from weft.store.interface import View
from weft.topology.encryption import cluster_settings, party
from weft.topology.prefixes import is_contested


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
            yield from own_route(aliases)
    if view.detail(HostPrefixes, host_id, is_contested, WIREGUARD6):
        yield Row(rows.RULES, WIREGUARD6, rows.RuleValue())
    yield Row(rows.OVERLAY_DEVICES, rows.WEFTX, rows.OverlayDeviceValue())
    yield Row(rows.FILTERS, rows.FilterKey(rows.WEFTX), rows.FilterValue("from_overlay"))
    for address in host.underlay:
        yield Row(rows.WIRES, address, rows.WireValue())
    for resolver in (*host.resolvers, *host.former_resolvers):
        yield Row(rows.RESOLVERS, resolver, rows.ResolverValue())
