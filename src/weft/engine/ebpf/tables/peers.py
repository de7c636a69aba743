"""`peers`: outer source -> whose packets come from there.

This host's own addresses are here as well: what claims to come from them is forged. A shorter map,
`OWN_MAP`, has them once more.
"""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.map_table import ADDRESS, Coding, Flags, MapTable, Names
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import PeerFlag
from weft.model.addresses import IPAddress


class PeerValue(NamedTuple):
    """A host, and what is taken from it by this address."""

    tag: int
    is_encrypted: bool = False
    """An address inside WireGuard: never taken off an underlay device."""
    is_refused: bool = False
    """The plain address of a host that must encrypt: nothing is taken from it."""


_FLAGS = Flags(is_encrypted=PeerFlag.PEER_ENCRYPTED.value, is_refused=PeerFlag.PEER_REFUSED.value)


def _encode(value: PeerValue, _: Names) -> bytes:
    return layouts.Peer(tag=value.tag, flags=_FLAGS.encode(value)).encode()


def _decode(raw: bytes, _: Names) -> PeerValue:
    peer = layouts.Peer.decode(raw)
    return PeerValue(tag=peer.tag, **_FLAGS.decode(peer.flags))


OWN_MAP = "own_addresses_v1"

PEERS: MapTable[IPAddress, PeerValue] = MapTable(
    "peers",
    Rank.TUNNELS,
    map_name="peers_v1",
    keys=ADDRESS,
    values=Coding(_encode, _decode),
)
