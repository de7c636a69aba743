"""Ways from one host to the others, over neighbours that both ends confirm.

Every host publishes its neighbours, so every host computes the same graph; the control plane's
messages pass along its links by themselves, the data plane is relayed along the routes found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from weft.model.addresses import IPAddress
from weft.model.ids import HostId
from weft.model.records import ForgottenHost, Host, Neighbour, Neighbours
from weft.store.interface import View, question

Graph = Mapping[HostId, Mapping[HostId, Neighbour]]
"""Host -> its confirmed neighbours, as it sees them."""


class Route(NamedTuple):
    """A way to a host."""

    host: HostId
    via: HostId
    """The neighbour that takes it first; `host` itself when there is a direct path."""
    address: IPAddress
    """Underlay address of `via`."""
    hops: int
    """1: direct."""
    path_mtu_bytes: int
    """Largest underlay packet on all the way; 0: not known."""


def graph(view: View, *, is_data: bool = False) -> Graph:
    """Confirmed neighbours: both say so, neither is forgotten. Linear in the links.

    is_data: also those without a link, of which only the data path is known.
    """
    stated = {
        record.id: {each.host_id: each for each in record.neighbours if each.has_link or is_data}
        for record in view.list(Neighbours)
        if view.get(ForgottenHost, record.id) is None and view.get(Host, record.id) is not None
    }
    return {
        host: {other: each for other, each in neighbours.items() if host in stated.get(other, ())}
        for host, neighbours in stated.items()
    }


@question
def routes(me: HostId, view: View) -> Mapping[HostId, Route]:
    """From a host the shortest way to every host that can be reached; among equals, by the smallest
    ids. Of what the mesh sends, over its links."""
    return _shortest(me, graph(view), is_data=False)


@question
def data_routes(me: HostId, view: View) -> Mapping[HostId, Route]:
    """The same of packets, over neighbours whose data path works, as far as is known."""
    return _shortest(me, graph(view, is_data=True), is_data=True)


def _shortest(me: HostId, known: Graph, *, is_data: bool) -> Mapping[HostId, Route]:
    found: dict[HostId, Route] = {}
    frontier = [me]
    while frontier:
        following: list[HostId] = []
        for host in sorted(frontier):
            for other, link in sorted(known.get(host, {}).items()):
                if other == me or other in found:
                    continue
                back = known[other][host]
                if is_data and (link.is_path_broken or back.is_path_broken):
                    continue
                mtu_bytes = _least(link.path_mtu_bytes, back.path_mtu_bytes)
                found[other] = _further(found.get(host), other, link.address, mtu_bytes)
                following.append(other)
        frontier = following
    return found


def _further(before: Route | None, other: HostId, address: IPAddress, mtu_bytes: int) -> Route:
    """One hop more than the way that led here; None: it led nowhere yet."""
    if before is None:
        return Route(other, other, address, 1, mtu_bytes)
    mtu_bytes = _least(before.path_mtu_bytes, mtu_bytes)
    return Route(other, before.via, before.address, before.hops + 1, mtu_bytes)


def _least(*mtus_bytes: int) -> int:
    return min((each for each in mtus_bytes if each), default=0)
