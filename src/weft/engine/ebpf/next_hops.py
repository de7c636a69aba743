"""Next hops on the underlay: which device, which MAC and which source lead to an address.

The kernel's routes and neighbours decide, looked up for the very address. A neighbour that is not
resolved is asked for, and its MAC is there a moment later; the kernel tells (see
`kernel.underlay_events`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from weft.engine.plumbing.device_names import WEFT0, WEFTX
from weft.kernel import neighbours
from weft.kernel.links import Link, find_link
from weft.kernel.neighbours import Hop
from weft.kernel.netlink import Netlink
from weft.kernel.routes import Way, ways
from weft.kernel.underlay_events import Interest
from weft.model.addresses import IPAddress

_MAC_LETTERS = 17


class NextHop(NamedTuple):
    """The way to an address."""

    ifindex: int = 0
    """0: no route leads there."""
    source: IPAddress | None = None
    """What the route would send from."""
    mac: str = ""
    """Of the neighbour; empty: not known (yet), or the device has none."""
    own_mac: str = ""


class NextHops:
    """Those of one host. Remembers what it asked the kernel for, to give it back."""

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink
        self._kept: set[Hop] | None = None
        """None: not looked yet what an earlier weftd has left."""
        self.interest = Interest()
        """What must be heard of: replaced with each `resolve`, for any thread to read."""

    def resolve(self, addresses: Iterable[IPAddress]) -> Mapping[IPAddress, NextHop]:
        """The next hop of each. Linear in their number, about 20 us each."""
        wanted = list(dict.fromkeys(addresses))
        found = ways(self._netlink, wanted)
        links = {way.ifindex: self._usable(way.ifindex) for way in found.values()}
        hops = {
            address: Hop(way.ifindex, way.gateway or address)
            for address, way in found.items()
            if _has_mac(links[way.ifindex])
        }
        self.interest = Interest(frozenset(links), frozenset(hops.values()))
        macs = self._macs(set(hops.values()))
        return {
            address: _next_hop(found.get(address), links, macs, hops.get(address))
            for address in wanted
        }

    def give_back(self) -> None:
        """Leave the neighbours to the kernel."""
        neighbours.give_back(self._netlink, neighbours.kept(self._netlink))
        self._kept = None

    def _usable(self, ifindex: int) -> Link | None:
        """A device, unless it is Weft's own: what leads into the overlay is no underlay."""
        link = find_link(self._netlink, ifindex)
        return None if link is None or link.name in (WEFT0, WEFTX) else link

    def _macs(self, hops: set[Hop]) -> Mapping[Hop, str]:
        """MACs of neighbours; those that are not kept fresh yet are asked for."""
        if self._kept is None:
            self._kept = set(neighbours.kept(self._netlink))
        neighbours.give_back(self._netlink, self._kept - hops)
        known = neighbours.find(self._netlink, list(hops))
        missing = [hop for hop in hops if hop not in known or not known[hop].is_ours]
        if missing:
            neighbours.keep(self._netlink, missing)
            known |= neighbours.find(self._netlink, missing)
        self._kept = hops
        stale = [
            hop
            for hop, each in known.items()
            if not each.is_managed and (each.is_stale or not each.mac)
        ]
        if stale:
            neighbours.use(self._netlink, stale)
        return {hop: each.mac for hop, each in known.items()}


def _next_hop(
    way: Way | None, links: Mapping[int, Link | None], macs: Mapping[Hop, str], hop: Hop | None
) -> NextHop:
    link = links[way.ifindex] if way is not None else None
    if way is None or link is None:
        return NextHop()
    if hop is None:
        return NextHop(way.ifindex, way.source)
    return NextHop(way.ifindex, way.source, macs.get(hop, ""), link.mac)


def _has_mac(link: Link | None) -> bool:
    """Whether Ethernet frames are what it sends."""
    return link is not None and link.has_arp and len(link.mac) == _MAC_LETTERS
