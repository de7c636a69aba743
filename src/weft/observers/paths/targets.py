"""Which hosts this one probes, at which address, and how large a packet the devices between carry.
Pure.

Probes go the way that packets go: to the address that the tunnel uses, inside WireGuard where the
tunnel is encrypted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from weft.model.addresses import IPAddress
from weft.model.ids import HostId, host_tag
from weft.model.records import ForgottenHost, Host, Neighbour, Neighbours, Place, Port
from weft.model.service_addresses import wireguard_address
from weft.semantics.overhead import wireguard_mtu_bytes
from weft.store.interface import View
from weft.topology.encryption import Way, cluster_settings, party, way_between


class Target(NamedTuple):
    """A host to probe, and its addresses that this one can send to."""

    host_id: HostId
    tag: int
    addresses: tuple[IPAddress, ...]
    """On the underlay; the one that the tunnel uses first. Never empty."""
    is_apart: bool
    """None of them is of a family that this host has: there is nothing to probe."""
    ceiling: int
    """The largest underlay packet that the devices at both ends take."""
    is_linked: bool = False
    """A link of the mesh to it is up."""


class Destination(NamedTuple):
    """Where the probes of a target go."""

    address: IPAddress
    sources: tuple[IPAddress, ...]
    """One of these must be the source; the first unless the route says otherwise."""
    is_encrypted: bool


def targets(me: HostId, view: View) -> list[Target]:
    """All of them, by id. About a microsecond for each host and network with a port here."""
    here = view.get(Host, me)
    if here is None:
        return []
    record = view.get(Neighbours, me)
    known = {each.host_id: each for each in (record.neighbours if record else ())}
    wanted = {*_linked(known.values()), *_sharing(me, view)}
    found = (
        _target(here, view.get(Host, other), known.get(other), view)
        for other in sorted(wanted - {me})
    )
    return [each for each in found if each is not None]


def destination(me: HostId, target: Target, address: IPAddress, view: View) -> Destination | None:
    """None: nothing may be sent there now."""
    here, there = view.get(Host, me), view.get(Host, target.host_id)
    if here is None or there is None:
        return None
    sources = _of_family(here.underlay, address.version)
    if not sources:
        return None
    how = way_between(
        cluster_settings(view), party(view, here), party(view, there), sources[0], address
    )
    if how is Way.NONE:
        return None
    if how is Way.ENCRYPTED:
        return Destination(wireguard_address(there.id), (wireguard_address(me),), True)
    return Destination(address, sources, False)


def packet_size(size: int, address: IPAddress, place: Destination) -> int:
    """Of the IP packet to send, so that an underlay packet of `size` leaves for `address`."""
    return wireguard_mtu_bytes(size, address) if place.is_encrypted else size


def _sharing(me: HostId, view: View) -> Iterator[HostId]:
    """Hosts with a port on a network that has one here."""
    here = {port.network_id for port in view.by(Port, "host_id", me)}
    for host in view.list(Host):
        if any(view.any(Port, "place", Place(network, host.id)) for network in here):
            yield host.id


def _linked(known: Iterable[Neighbour]) -> Iterator[HostId]:
    """Neighbours of the mesh: the first steps of any way round a broken path."""
    return (each.host_id for each in known if each.has_link)


def _target(here: Host, there: Host | None, known: Neighbour | None, view: View) -> Target | None:
    """known: the other host, as this one has published it."""
    if there is None or view.get(ForgottenHost, there.id) is not None:
        return None
    if not here.underlay or not there.underlay:
        return None
    families = {address.version for address in here.underlay}
    usable = tuple(address for address in there.underlay if address.version in families)
    ceiling = min(here.mtu_bytes, there.mtu_bytes)
    if not usable:
        return Target(there.id, host_tag(there.id), there.underlay[:1], True, ceiling)
    if known is not None and known.address in usable:
        first = known.address
        usable = (first, *(address for address in usable if address != first))
    is_linked = known is not None and known.has_link
    return Target(there.id, host_tag(there.id), usable, False, ceiling, is_linked)


def _of_family(addresses: Iterable[IPAddress], version: int) -> tuple[IPAddress, ...]:
    return tuple(address for address in addresses if address.version == version)
