"""Whose an address is that no port has for its own: of the ports that may use it as a source. Pure.

So a group's rules are about what a member sends from any address that it is allowed to use, a
virtual one or one that it routes for, until some port has that address for its own.
"""

from __future__ import annotations

from weft.model.addresses import IPAddress, IPNetwork, contains, ip_network
from weft.model.ids import NetworkId
from weft.model.records import Port
from weft.semantics.policy import Remote, gateways
from weft.semantics.routers import subnet_of
from weft.store.interface import View


def users_of(view: View, network_id: NetworkId, prefix: IPNetwork) -> tuple[Port, ...]:
    """The ports of a network that may use all addresses of a prefix, by id."""
    found = (
        port
        for port in view.by(Port, "unknown_on", network_id)
        if any(contains(each.cidr, prefix) for each in port.allowed)
    )
    return tuple(sorted(found, key=lambda port: port.id))


def remote_at(view: View, network_id: NetworkId, address: IPAddress) -> Remote:
    """Who is at the other end, by the address and the network that the way to it leads to; of an
    address outside the network where the way to the outside begins."""
    owners = (port for port in view.by(Port, "addresses", address) if port.network_id == network_id)
    owner = min(owners, key=lambda port: port.id, default=None)
    if owner is not None or address in gateways(view, network_id):
        return Remote(address, network_id, owner)
    users = users_of(view, network_id, ip_network(address))
    is_there = users or subnet_of(view, network_id, address) is not None
    return Remote(address, network_id if is_there else None, None, users)
