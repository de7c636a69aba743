"""UDP flows to published ports that lead elsewhere than the port does now."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeAlias

from weft.engine.ebpf.tables.nftables import NftKey, PublishKey, PublishTarget
from weft.kernel import conntrack
from weft.kernel.addresses import addresses
from weft.kernel.netlink import Netlink
from weft.model.addresses import IPAddress
from weft.model.service_addresses import DNS4, DNS6, PROXY_PORT

Published = Mapping[PublishKey, PublishTarget]
_Place: TypeAlias = tuple[IPAddress | None, int]
"""An address of the host, or every one, and a port."""


def published_udp(rows: Mapping[Hashable, Hashable]) -> dict[PublishKey, PublishTarget]:
    """The published UDP ports among the rows of nftables, also those that lead to the proxy."""
    found: dict[PublishKey, PublishTarget] = {}
    for key, value in rows.items():
        if not isinstance(key, NftKey) or not isinstance(key.element, PublishKey):
            continue
        ports = key.element
        if ports.protocol != "udp":
            continue
        if isinstance(value, PublishTarget):
            found[ports] = value
            continue
        proxy = PublishTarget(DNS4 if ports.family == 4 else DNS6, PROXY_PORT)
        for number in range(ports.host_port, ports.host_port + ports.length):
            found[ports._replace(host_port=number, length=1)] = proxy
    return found


def forget_stale(before: Published, after: Published) -> None:
    """Drop the flows to ports whose target has changed, that came, or that went.

    Flows that lead where they should stay, so after a restart of weftd nothing is dropped.
    """
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    for family in sorted({key.family for key in changed}):
        ports = {
            number
            for key in changed
            if key.family == family
            for number in range(key.host_port, key.host_port + key.length)
        }
        targets = _targets(after, family)
        with Netlink() as netlink:
            own = {entry.address for entry in addresses(netlink)}
        with conntrack.open_netlink() as netlink:
            flows = conntrack.udp_flows(netlink, family, ports)
            conntrack.forget(
                netlink,
                family,
                [
                    flow
                    for flow in flows
                    if (flow.destination in own or flow.destination.is_loopback)
                    and _target(targets, flow.destination, flow.port)
                    != (flow.target, flow.target_port)
                ],
            )


def _targets(published: Published, family: int) -> dict[_Place, tuple[IPAddress, int]]:
    """Port by port."""
    return {
        (key.host_address, key.host_port + offset): (target.address, target.port + offset)
        for key, target in published.items()
        if key.family == family
        for offset in range(key.length)
    }


def _target(
    targets: Mapping[_Place, tuple[IPAddress, int]], destination: IPAddress, port: int
) -> tuple[IPAddress, int]:
    """Where a new flow would lead: a port of this very address goes before one of every."""
    for address in (destination, None):
        target = targets.get((address, port))
        if target is not None:
            return target
    return destination, port
