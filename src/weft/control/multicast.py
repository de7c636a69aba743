"""Multicast: which ports are members of a group, by hand or by their own reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from weft.control.context import Context
from weft.control.references import find_network, find_port, host_name, port_label
from weft.errors import InvalidError, NotFoundError
from weft.model.addresses import IPAddress
from weft.model.multicast_groups import in_order, is_flooded, is_multicast_group
from weft.model.records import MulticastMembership, Network, Port
from weft.semantics.tenants import tenant_of
from weft.store.interface import Put, View


class MulticastGroupReport(NamedTuple):
    """A group of a network, and its members."""

    network: Network
    group: IPAddress
    is_static: bool
    """Somebody made all ports of the network members."""
    joined: Sequence[Port]
    """Ports that have joined by themselves, by id."""
    static: Sequence[Port]
    """Ports that somebody made members, by id."""


class Multicast:
    """The members of multicast groups."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def groups(self, reference: str | None = None) -> Sequence[MulticastGroupReport]:
        """Groups with members, of all networks or one, by network. Linear in their ports."""
        view = self._context.view
        networks = view.list(Network) if reference is None else [find_network(view, reference)]
        return [
            report
            for network in sorted(
                networks, key=lambda each: (tenant_of(view, each), each.name, each.id)
            )
            for report in self._of_network(network)
        ]

    def multicast_group_counts(self) -> Mapping[Network, int]:
        """For each network with members, the number of groups that have some."""
        view = self._context.view
        found: dict[Network, int] = {}
        for network in view.list(Network):
            groups = set(network.multicast_groups)
            for kind in (MulticastMembership, Port):
                places = view.beginning(kind, "multicast_places", network.id)
                groups.update(place[1] for place in places)  # type: ignore[index]
            if groups:
                found[network] = len(groups)
        return found

    async def add(self, network: str, group: IPAddress, port: str | None = None) -> None:
        """Make a port of this host a member of a group, whatever it reports; None: all ports of the
        network, on all hosts. If it is one already, nothing happens."""
        async with self._context.lock:
            found = find_network(self._context.view, network)
            check_group(group)
            record = self._holder(found, port)
            groups = tuple(sorted({*record.multicast_groups, group}, key=in_order))
            if groups != record.multicast_groups:
                await self._context.commit([Put(replace(record, multicast_groups=groups))])

    async def remove(self, network: str, group: IPAddress, port: str | None = None) -> None:
        """Undo `add`; a membership that a port reports stays. NotFoundError: none was added by
        hand."""
        async with self._context.lock:
            found = find_network(self._context.view, network)
            record = self._holder(found, port)
            if group not in record.multicast_groups:
                label = f"network {found.name}"
                if isinstance(record, Port):
                    label = f"port {port_label(self._context.view, record)}"
                raise NotFoundError(f"group {group}: nobody added it to {label}")
            left = tuple(each for each in record.multicast_groups if each != group)
            await self._context.commit([Put(replace(record, multicast_groups=left))])

    def _holder(self, network: Network, reference: str | None) -> Network | Port:
        if reference is None:
            return network
        view = self._context.view
        port = _port_on(view, network, reference)
        label = port_label(view, port)
        if port.network_id != network.id:
            raise InvalidError(f"port {label}: is not on network {network.name}")
        if port.host_id not in (None, self._context.host_id):
            host = host_name(view, port.host_id)
            raise InvalidError(f"port {label}: is on host {host}; change it there")
        if port.is_host:
            raise InvalidError(f"port {label}: is a host's own place, which gets no multicast")
        return port

    def _of_network(self, network: Network) -> Sequence[MulticastGroupReport]:
        view = self._context.view
        joined: dict[IPAddress, list[Port]] = defaultdict(list)
        static: dict[IPAddress, list[Port]] = defaultdict(list)
        for port in sorted(view.by(Port, "network_id", network.id), key=lambda each: each.id):
            learnt = view.get(MulticastMembership, port.id)
            for group in learnt.multicast_groups if learnt is not None else ():
                joined[group].append(port)
            for group in port.multicast_groups:
                static[group].append(port)
        return [
            MulticastGroupReport(
                network, group, group in network.multicast_groups, joined[group], static[group]
            )
            for group in sorted({*network.multicast_groups, *joined, *static}, key=in_order)
        ]


def _port_on(view: View, network: Network, reference: str) -> Port:
    """A port by its name on the network, or as any port is named."""
    named = view.by(Port, "names", reference.lower())
    there = [port for port in named if port.network_id == network.id]
    return there[0] if len(there) == 1 else find_port(view, reference)


def check_group(group: IPAddress) -> None:
    """InvalidError: no address of a multicast group."""
    if is_flooded(group):
        raise InvalidError(f"group {group}: every port of a network gets what is sent to it anyway")
    if not is_multicast_group(group):
        raise InvalidError(
            f"group {group}: no multicast address that goes beyond one interface, such as "
            "239.1.1.1 or ff05::1:3"
        )
