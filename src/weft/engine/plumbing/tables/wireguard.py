"""`wireguard`: the device that encrypts. `wireguard_peers`: the hosts that it knows."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.table import Rank, Table
from weft.model.addresses import IPAddress


class WireGuardValue(NamedTuple):
    """The device, its address and the route to all others'."""

    public_key: str
    """Base64. The private key is found by it in the state directory, and is in no row."""
    port: int
    """UDP."""
    address: IPAddress | None
    """This host's inside WireGuard; None, which no row ever wants: it does not reach the others."""
    mtu_bytes: int


class WireGuardPeerValue(NamedTuple):
    """Where another host is."""

    address: IPAddress
    """Inside WireGuard: the one source that is taken from it."""
    endpoint: IPAddress
    """On the underlay."""
    port: int


WIREGUARD: Table[str, WireGuardValue] = Table("wireguard", Rank.ENCRYPTION)
"""``weftwg`` -> the device."""
WIREGUARD_PEERS: Table[str, WireGuardPeerValue] = Table("wireguard_peers", Rank.ENCRYPTION_PEERS)
"""Public key of another host -> the host."""
