"""Who is at the ends of a connection that was seen on one network: on that one, or where routers
lead from there.

An address is somebody in one network alone, so tenants with the same addresses are told apart by
the way.
"""

from __future__ import annotations

from typing import NamedTuple

from weft.model.addresses import IPAddress
from weft.model.ids import NetworkId
from weft.model.records import Port
from weft.semantics.routers import subnet_of
from weft.semantics.routing import ways
from weft.store.interface import View


class FarEnd(NamedTuple):
    """One end."""

    network_id: NetworkId | None = None
    """None: it is outside, or no record says any more where it was."""
    port: Port | None = None
    """The port that has the address there now."""


NOBODY = FarEnd()


def ends_of(
    view: View, network_id: NetworkId, source: IPAddress, destination: IPAddress
) -> tuple[FarEnd, FarEnd]:
    """The two ends of a connection on a network. What both ends have on it is looked up; where one
    has no place there, routers say where it is, for who has one."""
    near = _end_on(view, network_id, source), _end_on(view, network_id, destination)
    match near:
        case (FarEnd() as one, None):
            return one, _end_beyond(view, network_id, source, destination)
        case (None, FarEnd() as one):
            return _end_beyond(view, network_id, destination, source), one
        case (one, other):
            return one or NOBODY, other or NOBODY


def _end_on(view: View, network_id: NetworkId, address: IPAddress) -> FarEnd | None:
    port = _holder(view, network_id, address)
    if port is None and subnet_of(view, network_id, address) is None:
        return None
    return FarEnd(network_id, port)


def _end_beyond(view: View, network_id: NetworkId, near: IPAddress, far: IPAddress) -> FarEnd:
    if not view.any(Port, "addresses", far):
        return NOBODY
    for way in ways(view, network_id, near, far):
        if way.network_id is not None:
            port = _holder(view, way.network_id, far)
            if port is not None:
                return FarEnd(way.network_id, port)
    return NOBODY


def _holder(view: View, network_id: NetworkId, address: IPAddress) -> Port | None:
    """Of several, which hosts made apart, the one that is reached."""
    found = [p for p in view.by(Port, "addresses", address) if p.network_id == network_id]
    return min(found, key=lambda p: (view.any(Port, "replaces", p.id), p.id), default=None)
