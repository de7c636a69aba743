"""Conflicts: two halves of a partition, or two hosts within a moment, made things that do not go
together.

A conflict stops nothing: both networks, both subnets forward, and `weft status conflicts` shows
them with the command that mends it. Pure functions of the records, so all hosts see the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from weft.control.answers.conflict import Conflict
from weft.control.answers.group_conflicts import group_conflicts
from weft.control.answers.router_conflicts import router_conflicts
from weft.control.references import host_name, network_label, workload_and_host
from weft.ipam.records import is_forgotten
from weft.model.addresses import IPAddress
from weft.model.ids import NetworkId, TenantId
from weft.model.records import Network, Port, Subnet
from weft.semantics.networks import is_apart_from_hosts
from weft.store.interface import View
from weft.topology.prefixes import contests, goes_before


def conflicts(view: View) -> tuple[Conflict, ...]:
    """All of them. Linear in networks, subnets, ports, routers and rules (but for sorting)."""
    return (
        *_names(view),
        *_subnets(view),
        *_host_prefixes(view),
        *_addresses(view),
        *_lost_networks(view),
        *router_conflicts(view),
        *group_conflicts(view),
    )


def _names(view: View) -> Iterator[Conflict]:
    called: dict[tuple[TenantId, str], list[Network]] = defaultdict(list)
    for network in view.list(Network):
        called[network.tenant_id, network.name].append(network)
    for (_, name), networks in sorted(called.items()):
        if len(networks) > 1:
            ids = tuple(sorted(network.id for network in networks))
            yield Conflict(
                "name",
                ids,
                name,
                f"{len(ids)} networks are called {name}: {', '.join(ids)}; "
                "by its name alone none of them can be used",
                f"weft network rename {ids[-1]} NEW-NAME",
            )


def _subnets(view: View) -> Iterator[Conflict]:
    families: dict[int, list[Subnet]] = defaultdict(list)
    for subnet in view.list(Subnet):
        if subnet.network_id is not None and view.get(Network, subnet.network_id) is not None:
            families[subnet.cidr.version].append(subnet)
    for _, subnets in sorted(families.items()):
        for one, other in _overlapping(view, subnets):
            ids = sorted({_network_of(one), _network_of(other)})
            first, second = (_described(view, subnet) for subnet in (one, other))
            winner = one if goes_before(view, one, other) else other
            yield Conflict(
                "subnet",
                tuple(ids),
                str(other.cidr),
                f"subnet {first} overlaps {second}; only {network_label(view, _network_of(winner))}"
                " has a way out, published ports and the host in there",
                f"remove one of the networks, and make it again with another subnet: "
                f"weft network rm {ids[-1]}",
            )


def _overlapping(view: View, subnets: Iterable[Subnet]) -> Iterator[tuple[Subnet, Subnet]]:
    """Pairs of different networks: each subnet with the widest one that it lies in, or equals."""
    around: list[Subnet] = []
    for subnet in sorted(
        subnets,
        key=lambda s: (int(s.cidr.network_address), s.cidr.prefixlen, _network_of(s), s.id),
    ):
        first = int(subnet.cidr.network_address)
        around = [s for s in around if int(s.cidr.broadcast_address) >= first]
        for other in around:
            if other.network_id != subnet.network_id and not _may_overlap(view, subnet, other):
                yield other, subnet
                break
        around.append(subnet)


def _may_overlap(view: View, one: Subnet, other: Subnet) -> bool:
    """Subnets of different tenants where it is settled which has a way out: the one that was there
    first, or the only one that needs it."""
    if one.tenant_id == other.tenant_id:
        return False
    found = [view.get(Network, _network_of(subnet)) for subnet in (one, other)]
    apart = [each for each in found if each is None or is_apart_from_hosts(view, each)]
    return one.is_latecomer != other.is_latecomer or bool(apart)


def _host_prefixes(view: View) -> Iterator[Conflict]:
    for host_id, subnet, prefix in contests(view):
        network_id, host = _network_of(subnet), host_name(view, host_id)
        yield Conflict(
            "host-prefix",
            (network_id, host_id),
            str(subnet.cidr),
            f"subnet {_described(view, subnet)}: host {host} has {prefix} beside it, on a bridge, "
            "a link or a route of its own; containers on the network have their way out and their "
            f"published ports there, but do not reach what {host} has under these addresses",
            f"make the network again with another subnet: weft network rm {network_id}; or give "
            f"what {host} has another prefix",
        )


def _addresses(view: View) -> Iterator[Conflict]:
    held: dict[tuple[NetworkId, IPAddress], list[Port]] = defaultdict(list)
    for port in view.list(Port):
        for address in port.addresses:
            held[port.network_id, address].append(port)
    for (network_id, address), ports in held.items():
        if len(ports) > 1:
            ports.sort(key=lambda port: port.id)
            replaced = [port for port in ports if view.any(Port, "replaces", port.id)]
            if replaced and len(replaced) == len(ports) - 1:
                yield from _taken_over(view, str(address), ports, replaced)
                continue
            holders = " and ".join(workload_and_host(view, port) for port in ports)
            yield Conflict(
                "address",
                tuple(port.id for port in ports),
                str(address),
                f"address {address} on network {network_label(view, network_id)}: held by "
                f"{holders}; what is sent to it reaches only one of them",
                f"start {workload_and_host(view, ports[-1])} again with another address",
            )


def _taken_over(
    view: View, address: str, ports: Iterable[Port], replaced: Iterable[Port]
) -> Iterator[Conflict]:
    """Should the host live, its workload is cut off."""
    (holder,) = (port for port in ports if port not in replaced)
    for port in replaced:
        if not is_forgotten(view, port.host_id):
            yield Conflict(
                "address",
                tuple(sorted((holder.id, port.id))),
                address,
                f"address {address} on network {network_label(view, port.network_id)}: "
                f"{workload_and_host(view, holder)} took it over from "
                f"{workload_and_host(view, port)} while that host was away",
                f"remove {workload_and_host(view, port)}, or give it another address",
            )


def _lost_networks(view: View) -> Iterator[Conflict]:
    there = {network.id for network in view.list(Network)}
    orphans: dict[NetworkId, list[Port]] = defaultdict(list)
    for port in view.list(Port):
        if port.network_id not in there and not port.is_host:
            orphans[port.network_id].append(port)
    for network_id, ports in sorted(orphans.items()):
        holders = ", ".join(sorted(workload_and_host(view, port) for port in ports))
        yield Conflict(
            "lost-network",
            (network_id,),
            network_id,
            f"network {network_id}: was removed while {holders} came to be on it",
            "start it again, on a network that is there",
        )


def _network_of(subnet: Subnet) -> NetworkId:
    assert subnet.network_id is not None
    return subnet.network_id


def _described(view: View, subnet: Subnet) -> str:
    return f"{subnet.cidr} of network {network_label(view, _network_of(subnet))}"
