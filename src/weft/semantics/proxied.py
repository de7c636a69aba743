"""Published ports whose clients have a family that the workload has no address of.

No rule of the kernel translates between families, so these clients go by a process of Weft's.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.model.addresses import IPAddress
from weft.model.records import Part, Port, PublishedPort

PROTOCOLS = ("tcp", "udp")


class ProxiedPorts(Part, frozen=True, kw_only=True):
    """Ports of the host, in a row, whose clients have another family than the workload."""

    protocol: str
    family: int
    """Of the clients: 4 or 6."""
    first: int
    count: int
    host_address: IPAddress | None
    """None: every address of the host's of the family."""
    target: IPAddress
    """Of the workload, of the other family."""
    target_port: int
    """Where the first leads; the next leads to the next."""

    def leads_to(
        self, protocol: str, address: IPAddress, port: int
    ) -> tuple[IPAddress, int] | None:
        """Where a client is led that asked for this port of this address of the host's."""
        is_meant = (
            protocol == self.protocol
            and address.version == self.family
            and self.host_address in (None, address)
            and self.first <= port < self.first + self.count
        )
        return (self.target, self.target_port + port - self.first) if is_meant else None


def proxied_ports(port: Port, addresses: tuple[IPAddress, ...]) -> Iterator[ProxiedPorts]:
    """Of a port; `addresses` are those of its addresses that the host can reach."""
    held = {address.version for address in port.addresses}
    for published in port.published:
        for family, other in ((4, 6), (6, 4)):
            target = next((each for each in addresses if each.version == other), None)
            if target is not None and family not in held and _is_for(published, family):
                yield ProxiedPorts(
                    protocol=published.protocol,
                    family=family,
                    first=published.host_port,
                    count=published.count,
                    host_address=published.host_address,
                    target=target,
                    target_port=published.port,
                )


def _is_for(published: PublishedPort, family: int) -> bool:
    address = published.host_address
    return published.protocol in PROTOCOLS and (address is None or address.version == family)
