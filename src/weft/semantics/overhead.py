"""What a way between hosts puts around a packet of a network, and what is left for the packet.

Pure arithmetic. The tunnels of the engine, the host's record and the probes of paths ask here.
"""

from __future__ import annotations

from collections.abc import Sequence

from weft.model.addresses import IPAddress

VXLAN_BYTES = {4: 50, 6: 70}
"""What VXLAN puts around a packet, by the family of the underlay: outer IP, UDP, VXLAN and the
inner Ethernet header."""
WIREGUARD_BYTES = {4: 60, 6: 80}
"""What WireGuard puts around a packet, by the family of the underlay: outer IP, UDP, its header
and its tag."""
LEAST_MTU_BYTES = 576
"""A path that carries less carries nothing of use (RFC 791: what every host must take)."""
_PADDING_BYTES = 16


def vxlan_mtu_bytes(underlay_mtu_bytes: int, remote: IPAddress) -> int:
    """The largest packet of a network in an underlay packet to that address."""
    return underlay_mtu_bytes - VXLAN_BYTES[remote.version]


def network_mtu_bytes(underlay_mtu_bytes: int, addresses: Sequence[IPAddress]) -> int:
    """The MTU of a network that names none, on a host with these addresses, whose first one is
    used first. Without any, the host is alone, and what IPv4 would leave is taken."""
    family = addresses[0].version if addresses else 4
    return underlay_mtu_bytes - VXLAN_BYTES[family]


def wireguard_mtu_bytes(underlay_mtu_bytes: int, remote: IPAddress) -> int:
    """The largest packet inside WireGuard in an underlay packet to that address.

    WireGuard pads to 16 bytes up to its device's MTU, which knows nothing of a smaller path.
    """
    return underlay_mtu_bytes - WIREGUARD_BYTES[remote.version] & -_PADDING_BYTES


def encrypted_mtu_bytes(underlay_mtu_bytes: int, remote: IPAddress) -> int:
    """The largest packet of a network that fits when it is encrypted: VXLAN, which is over IPv6
    always, and WireGuard around it."""
    return wireguard_mtu_bytes(underlay_mtu_bytes, remote) - VXLAN_BYTES[6]
