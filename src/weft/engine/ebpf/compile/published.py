"""Published ports as rows: where a port of the host leads. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine.ebpf.tables.nftables import NFTABLES, NftKey, PublishKey, PublishTarget
from weft.engine.rows import Row
from weft.model.addresses import first_of_family
from weft.model.choices import TransportProtocol
from weft.model.records import Port
from weft.semantics.proxied import proxied_ports
from weft.store.interface import View
from weft.topology.prefixes import addresses_with_a_way_out


def published(port: Port, view: View) -> Iterator[Row]:
    """By the kernel's rules where the workload has an address of the clients' family, by a process
    of Weft's for the others."""
    addresses = addresses_with_a_way_out(view, port) if port.published else ()
    for one in port.published:
        if one.protocol is TransportProtocol.OTHER:
            continue
        for address in addresses:
            wanted = one.host_address
            if wanted is not None and wanted.version != address.version:
                continue
            if first_of_family(address.version, port.addresses) != address:
                continue
            key = PublishKey(
                one.protocol,
                one.host_port,
                wanted,
                address.version,
                one.count,
            )
            target = PublishTarget(address, one.port)
            yield NFTABLES.row(NftKey("publish", key), target)
    for proxied in proxied_ports(port, tuple(addresses)) if addresses else ():
        key = PublishKey(
            proxied.protocol, proxied.first, proxied.host_address, proxied.family, proxied.count
        )
        yield NFTABLES.row(NftKey("proxy", key), True)
