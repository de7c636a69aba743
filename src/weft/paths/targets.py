"""Whom this host probes, where, and what the devices between them carry. Pure.

Probes go the way that packets go: to the address that the tunnel uses, inside WireGuard where that
is encrypted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from weft.engine.ebpf import encryption
from weft.model.addresses import IPAddress
from weft.model.ids import HostId, host_tag
from weft.model.records import ForgottenHost, Host, Neighbours, Place, Port
from weft.model.service_addresses import wireguard_address
from weft.store.interface import View
from weft.topology.encryption import Way, cluster_settings, way_between


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
    wanted = {*_linked(me, view), *_sharing(me, view)}
    found = (_target(here, view.get(Host, other), view) for other in sorted(wanted - {me}))
    return [each for each in found if each is not None]


def destination(me: HostId, target: Target, address: IPAddress, view: View) -> Destination | None:
    """None: nothing may be sent there now."""
    here, there = view.get(Host, me), view.get(Host, target.host_id)
    if here is None or there is None:
        return None
    sources = _of_family(here.underlay, address.version)
    if not sources:
        return None
    how = way_between(cluster_settings(view), here, there, sources[0], address)
    if how is Way.NONE:
        return None
    if how is Way.ENCRYPTED:
        return Destination(wireguard_address(there.id), (wireguard_address(me),), True)
    return Destination(address, sources, False)


def packet_size(size: int, address: IPAddress, place: Destination) -> int:
    """Of the IP packet to send, so that an underlay packet of `size` leaves for `address`."""
    return encryption.inner_mtu_bytes(size, address) if place.is_encrypted else size


def _sharing(me: HostId, view: View) -> Iterator[HostId]:
    """Hosts with a port on a network that has one here."""
    here = {port.network_id for port in view.by(Port, "host_id", me)}
    for host in view.list(Host):
        if any(view.any(Port, "place", Place(network, host.id)) for network in here):
            yield host.id


def _linked(me: HostId, view: View) -> Iterator[HostId]:
    """Neighbours of the mesh: the first steps of any way round a broken path."""
    record = view.get(Neighbours, me)
    return (each.host_id for each in (record.neighbours if record else ()) if each.has_link)


def _target(here: Host, there: Host | None, view: View) -> Target | None:
    if there is None or view.get(ForgottenHost, there.id) is not None:
        return None
    if not here.underlay or not there.underlay:
        return None
    families = {address.version for address in here.underlay}
    usable = tuple(address for address in there.underlay if address.version in families)
    ceiling = min(here.mtu_bytes, there.mtu_bytes)
    if not usable:
        return Target(there.id, host_tag(there.id), there.underlay[:1], True, ceiling)
    first = _published(here.id, there.id, view)
    if first in usable:
        usable = (first, *(address for address in usable if address != first))
    return Target(there.id, host_tag(there.id), usable, False, ceiling)


def _published(me: HostId, other: HostId, view: View) -> IPAddress | None:
    record = view.get(Neighbours, me)
    known = (each for each in (record.neighbours if record else ()) if each.host_id == other)
    return next((each.address for each in known), None)


def _of_family(addresses: Iterable[IPAddress], version: int) -> tuple[IPAddress, ...]:
    return tuple(address for address in addresses if address.version == version)
