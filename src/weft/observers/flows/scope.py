"""Which connections are on networks that somebody asks for: with either end, also where a router
leads them there from a network on which this host has seen them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import NetworkId
from weft.model.records import Network, Subnet
from weft.semantics.routers import domain
from weft.store.interface import View


class Scope(NamedTuple):
    """Networks, and from where routers lead to them. Without networks: all that there is."""

    networks: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()
    """Networks from which routers lead there."""
    prefixes: tuple[IPNetwork, ...] = ()
    """Of the networks' subnets."""

    def may_have(self, network_id: str | None) -> bool:
        """Whether a connection that was seen on a network may have an end on one of these."""
        return not self.networks or network_id in self.networks or network_id in self.near

    def has(self, network_id: str | None, *ends: IPAddress) -> bool:
        """Whether one has that was seen there between these addresses."""
        if not self.networks or network_id in self.networks:
            return True
        return network_id in self.near and any(
            end in prefix for end in ends for prefix in self.prefixes
        )


def scope_of(view: View, network_ids: Collection[str]) -> Scope:
    """Of networks, or of all if there is none."""
    networks = frozenset(network_ids)
    known = [NetworkId(id) for id in networks if view.get(Network, id) is not None]
    near = frozenset[str]().union(*(view.ask(domain, id) for id in known)) - networks
    prefixes = [subnet.cidr for id in known for subnet in view.by(Subnet, "network_id", id)]
    return Scope(networks, near, tuple(prefixes) if near else ())
