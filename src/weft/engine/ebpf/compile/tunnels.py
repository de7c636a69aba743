"""Ways to other hosts, as rows: whom to take packets from, and where to send them. Pure.

A host that is known has a tunnel whether its weftd can be reached or not, for the programs there
go on without it. Only a path that one of its two ends calls broken is gone round, and only when
there is a way round.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from weft.engine.ebpf.compile import encryption
from weft.engine.ebpf.tables.nftables import NFTABLES, Door, NftKey
from weft.engine.ebpf.tables.peers import PEERS, PeerValue
from weft.engine.ebpf.tables.tunnels import TUNNELS, TunnelValue
from weft.engine.rows import Row
from weft.model.addresses import IPAddress, ip_network
from weft.model.ids import HostId, host_tag
from weft.model.records import ForgottenHost, Host, Neighbour, Neighbours
from weft.model.service_addresses import wireguard_address
from weft.semantics.overhead import (
    LEAST_MTU_BYTES,
    VXLAN_BYTES,
    encrypted_mtu_bytes,
    vxlan_mtu_bytes,
)
from weft.store.interface import View
from weft.topology.encryption import Party, Way, cluster_settings, party, way_between
from weft.topology.neighbours import Path, neighbour, neighbour_in, says_neighbours
from weft.topology.routes import Route, data_routes


def peers(host_id: HostId, host: Host, view: View) -> Iterator[Row]:
    """From which addresses packets of a host come, this one's own included."""
    if view.get(ForgottenHost, host.id) is not None:
        return
    for address in host.underlay:
        yield NFTABLES.row(NftKey("hosts", ip_network(address)), True)
        for protocol, port in _doors(party(view, host)):
            door = Door(address, protocol, port)
            yield NFTABLES.row(NftKey("doors", door), True)
        if host.id == host_id:
            yield NFTABLES.row(NftKey("underlay", ip_network(address)), True)
    me = view.get(Host, host_id)
    if me is not None and host.id != host_id:
        yield from encryption.peers(cluster_settings(view), party(view, me), party(view, host))
        return
    for address in host.underlay:
        yield PEERS.row(address, PeerValue(host_tag(host.id)))


def _doors(host: Party) -> Iterator[tuple[str, int]]:
    """(protocol, port) where the host waits for others."""
    yield "tcp", host.host.mesh_port
    if host.wireguard is not None:
        yield "udp", host.wireguard.port


def compile_neighbours(
    host_id: HostId, neighbours: Neighbours, view: View, *, is_device: bool = False
) -> Iterator[Row]:
    """Ways to hosts whose direct path is broken."""
    if neighbours.id == host_id:
        yield from _around(host_id, neighbours, view, is_device=is_device)


def direct(host_id: HostId, host: Host, view: View, *, is_device: bool) -> Iterator[Row]:
    """The tunnel to another host, unless its direct path is broken.

    Of the two hosts' neighbours it asks for one each: this host's change with every path.
    """
    there = view.ask(neighbour, Path(host_id, host.id))
    back = view.ask(neighbour, Path(host.id, host_id))
    yield from _known(host_id, host, view, there)
    is_broken = _is_broken(there) or _is_broken(back)
    if is_broken and view.ask(says_neighbours, host_id):
        return
    yield from _direct(host_id, host, view, (there, back), is_device=is_device)


def _around(host_id: HostId, mine: Neighbours, view: View, *, is_device: bool) -> Iterator[Row]:
    """Tunnels to the hosts to which the direct path is broken: through a relay, or as if it were
    not broken when there is none."""
    broken = {*mine.broken, *(record.id for record in view.by(Neighbours, "broken", host_id))}
    if not broken:
        return
    ways = view.ask(data_routes, host_id)
    for other in sorted(broken - {host_id}):
        host = view.get(Host, other)
        if host is None:
            continue
        way = ways.get(other)
        if way is not None and way.via != other:
            yield from _relayed(host_id, host, way, view, is_device=is_device)
        else:
            ends = (neighbour_in(mine, other), None)
            yield from _direct(host_id, host, view, ends, is_device=is_device)


def _direct(
    host_id: HostId,
    host: Host,
    view: View,
    ends: tuple[Neighbour | None, Neighbour | None],
    *,
    is_device: bool,
) -> Iterator[Row]:
    me = view.get(Host, host_id)
    if me is None or view.get(ForgottenHost, host.id) is not None:
        return
    remote = _remote(me, host, ends[0])
    if remote is None:
        return
    known = [end.path_mtu_bytes for end in ends if end is not None and end.path_mtu_bytes]
    underlay_mtu_bytes = min(me.mtu_bytes, *known) if known else min(me.mtu_bytes, host.mtu_bytes)
    hop = _Hop(me, host, remote, underlay_mtu_bytes)
    yield from _tunnel(host, hop, view, is_device=is_device)


def _relayed(
    host_id: HostId, host: Host, way: Route, view: View, *, is_device: bool
) -> Iterator[Row]:
    me, relay = view.get(Host, host_id), view.get(Host, way.via)
    if me is None or relay is None or view.get(ForgottenHost, host.id) is not None:
        return
    remote = _remote(me, relay, None) if way.address not in relay.underlay else way.address
    if remote is None or not _sources(me, remote):
        return
    least = min(way.path_mtu_bytes or me.mtu_bytes, me.mtu_bytes, relay.mtu_bytes, host.mtu_bytes)
    yield from _tunnel(host, _Hop(me, relay, remote, least), view, is_device=is_device)


class _Hop(NamedTuple):
    """From this host to the next that unpacks or passes on."""

    me: Host
    other: Host
    remote: IPAddress
    """On the underlay."""
    underlay_mtu_bytes: int


def _tunnel(host: Host, hop: _Hop, view: View, *, is_device: bool) -> Iterator[Row]:
    """The tunnel to `host` by this hop, encrypted where it must be; none where that cannot be."""
    me, other, remote, underlay_mtu_bytes = hop
    sources = _sources(me, remote)
    cluster = cluster_settings(view)
    how = way_between(cluster, party(view, me), party(view, other), sources[0], remote)
    if how is Way.NONE:
        return
    inside = wireguard_address(other.id)
    destination_tag = host_tag(host.id) if host is not other else 0
    is_encrypted = how is Way.ENCRYPTED
    if is_encrypted or (destination_tag and cluster.is_encrypted):
        mtu_bytes = encrypted_mtu_bytes(underlay_mtu_bytes, remote)
    else:
        mtu_bytes = vxlan_mtu_bytes(underlay_mtu_bytes, _widest(remote, host))
    mtu_bytes = max(LEAST_MTU_BYTES, mtu_bytes)
    if is_encrypted:
        own = (wireguard_address(me.id),)
        value = TunnelValue(inside, own, mtu_bytes, is_device, destination_tag, True)
    else:
        value = TunnelValue(remote, sources, mtu_bytes, is_device, destination_tag)
    yield TUNNELS.row(host_tag(host.id), value)


def _widest(remote: IPAddress, host: Host) -> IPAddress:
    """Of the ends of a way, the address with the longer header: a relay may change the family."""
    has_family = any(address.version == remote.version for address in host.underlay)
    ends = (remote,) if has_family else (remote, *host.underlay[:1])
    return max(ends, key=lambda address: VXLAN_BYTES[address.version])


def _known(host_id: HostId, host: Host, view: View, there: Neighbour | None) -> Iterator[Row]:
    """Another host as a peer of the WireGuard device, broken path or not: it may mend."""
    me = view.get(Host, host_id)
    if me is None or view.get(ForgottenHost, host.id) is not None:
        return
    remote = _remote(me, host, there)
    if remote is not None:
        ends = party(view, me), party(view, host)
        yield from encryption.known(cluster_settings(view), *ends, remote)


def _remote(me: Host, host: Host, known: Neighbour | None) -> IPAddress | None:
    """The address at which its data path answered, else its first of a family that both have."""
    usable = [address for address in host.underlay if _sources(me, address)]
    if known is not None and known.address in usable:
        return known.address
    return usable[0] if usable else None


def _sources(me: Host, remote: IPAddress) -> tuple[IPAddress, ...]:
    return tuple(address for address in me.underlay if address.version == remote.version)


def _is_broken(end: Neighbour | None) -> bool:
    return end is not None and end.is_path_broken
