"""Encryption as rows: the WireGuard device, the hosts that it knows, and whose packets are taken.

Pure. Who encrypts to whom is decided in `topology.encryption`; here it is said in tables.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine.ebpf.tables.peers import PEERS, PeerValue
from weft.engine.ebpf.tables.wires import WIRES, WireValue
from weft.engine.plumbing.device_names import WEFTWG
from weft.engine.plumbing.tables.wireguard import (
    WIREGUARD,
    WIREGUARD_PEERS,
    WireGuardPeerValue,
    WireGuardValue,
)
from weft.engine.rows import Row
from weft.model.addresses import IPAddress
from weft.model.ids import host_tag
from weft.model.records import Cluster
from weft.model.service_addresses import wireguard_address
from weft.semantics.overhead import WIREGUARD_BYTES
from weft.topology.encryption import Party, knows_key, needs_device, takes_plain


def device(cluster: Cluster, me: Party) -> Iterator[Row]:
    """The device of this host, when its own stage wants one."""
    if needs_device(cluster, me):
        yield from _device(me)


def peers(cluster: Cluster, me: Party, host: Party) -> Iterator[Row]:
    """From which addresses packets of another host come, and which of them are taken."""
    tag = host_tag(host.id)
    for address in host.underlay:
        is_refused = not takes_plain(cluster, me, host, address)
        yield PEERS.row(address, PeerValue(tag, is_refused=is_refused))
    if knows_key(cluster, me, host):
        yield PEERS.row(wireguard_address(host.id), PeerValue(tag, is_encrypted=True))


def known(cluster: Cluster, me: Party, host: Party, remote: IPAddress) -> Iterator[Row]:
    """Another host in the WireGuard device, and with the first one the device itself."""
    if me.wireguard is None or host.wireguard is None or not knows_key(cluster, me, host):
        return
    yield from _device(me)
    address, own_key = wireguard_address(host.id), me.wireguard.public_key
    value = WireGuardPeerValue(address, remote, host.wireguard.port, own_key)
    yield WIREGUARD_PEERS.row(host.wireguard.public_key, value)


def _device(me: Party) -> Iterator[Row]:
    """The device, the program on it, and its address as one at which VXLAN is this host's."""
    assert me.wireguard is not None
    inside = wireguard_address(me.id)
    first = next(iter(me.underlay), None)
    value = WireGuardValue(
        public_key=me.wireguard.public_key,
        port=me.wireguard.port,
        address=inside,
        mtu_bytes=me.host.mtu_bytes - WIREGUARD_BYTES[first.version if first is not None else 6],
    )
    yield WIREGUARD.row(WEFTWG, value)
    yield WIRES.row(inside, WireValue())
    yield PEERS.row(inside, PeerValue(host_tag(me.id), is_encrypted=True))
