"""`tunnels`: tag of another host -> how packets get there.

A row alone is no entry: the driver finds next hops in the kernel's routes and neighbours, and
writes two maps (`kernel.tunnel_traffic`).
"""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.table import Rank, Table
from weft.model.addresses import IPAddress


class TunnelValue(NamedTuple):
    """Says nothing of next hops."""

    remote: IPAddress
    """Outer destination: an address of the host, of the relay, or inside WireGuard."""
    sources: tuple[IPAddress, ...]
    """This host's addresses of the same family: the outer source is the one that the route to
    `remote` names if it is among them, else the first. Never empty."""
    mtu_bytes: int
    """The largest packet of a network that goes through."""
    is_device: bool = False
    """The VXLAN device encapsulates, because the setting says so."""
    destination_tag: int = 0
    """Not 0: `remote` is a relay, which is told this tag."""
    is_encrypted: bool = False
    """`remote` is inside WireGuard: packets go by its device and by no other."""


TUNNELS: Table[int, TunnelValue] = Table("tunnels", Rank.TUNNELS, is_read_by_programs=True)
