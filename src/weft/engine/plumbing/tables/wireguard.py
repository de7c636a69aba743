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
    own_key: str
    """This host's public key, base64: sessions are of a pair of keys, and end when either changes.
    Empty, which no row ever wants: the device has none that is known."""


WIREGUARD: Table[str, WireGuardValue] = Table("wireguard", Rank.ENCRYPTION)
"""``weftwg`` -> the device."""
WIREGUARD_PEERS: Table[str, WireGuardPeerValue] = Table(
    "wireguard_peers", Rank.ENCRYPTION_PEERS, are_deletes_last=True
)
"""Public key of another host -> the host. A new key comes with the going of the former one, so that
it is seen to be the same host."""
