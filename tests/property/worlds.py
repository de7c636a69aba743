"""Worlds in which most is there and fits together, and changes of them.

Records that are drawn one by one seldom meet: a rule whose group, network, tenant and plugged-in
port are all there is rarer than a run of a test. So a batch that fills the store goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from tests.property import strategies
from tests.property.strategies import HOSTS
from weft.model.ids import GroupId, NetworkId, PortId, RouterId, RouterPortId, SubnetId
from weft.model.records import Port, Record, Veth
from weft.store.interface import Change, Delete, Put


def _plugged(port: Port, host_id: str, slot: int) -> Port:
    """The port with a device on a host."""
    device = port.device or Veth(ifname="weft00000000001", peer_ifname="eth0")
    return replace(port, host_id=host_id, slot=slot, device=device)


_plugged_ports = st.builds(
    _plugged, strategies.ports, st.sampled_from((*HOSTS, HOSTS[0], HOSTS[0])), st.integers(0, 5)
)
_DRAWN: tuple[tuple[st.SearchStrategy[Any], int], ...] = (
    (strategies.ports, 2),
    (_plugged_ports, 3),
    (strategies.networks, 2),
    (strategies.subnets, 2),
    (strategies.tenants, 1),
    (strategies.security_groups, 2),
    (strategies.security_rules, 4),
    (strategies.routers, 1),
    (strategies.router_ports, 2),
    (strategies.router_routes, 2),
    (strategies.multicast_memberships, 2),
    (strategies.hosts, 2),
    (strategies.neighbours, 2),
    (strategies.host_prefixes, 2),
    (strategies.forgotten_hosts, 1),
    (strategies.clusters, 1),
)
"""Kinds that rows and answers follow from, and how often each is drawn."""
_kinds = st.sampled_from([kind for kind, times in _DRAWN for _ in range(times)])
"""Not one_of: of strategies that are alike it keeps one, and of a `.map` it makes a branch for each
kind, so that hardly any puts were left."""
_records: st.SearchStrategy[Record] = _kinds.flatmap(lambda kind: kind)


def _change(record: Record, is_put: bool) -> Change:
    return Put(record) if is_put else Delete(type(record), record.id)


changes = st.builds(_change, _records, st.sampled_from([True, True, False]))


def _each(kind: st.SearchStrategy[Any], ids: Sequence[str]) -> st.SearchStrategy[list[Record]]:
    """A record of every id."""
    return st.tuples(*(kind for _ in ids)).map(
        lambda found: [replace(one, id=id) for one, id in zip(found, ids, strict=True)]
    )


_worlds = st.tuples(
    _each(strategies.hosts, HOSTS),
    st.lists(strategies.neighbours, max_size=3, unique_by=lambda each: each.id),
    _each(strategies.networks, [NetworkId(f"net{n}") for n in range(4)]),
    _each(strategies.subnets, [SubnetId(f"sub{n}") for n in range(4)]),
    _each(_plugged_ports, [PortId(f"port{n}") for n in range(5)]),
    _each(strategies.security_groups, [GroupId(f"group{n}") for n in range(4)]),
    _each(strategies.routers, [RouterId(f"router{n}") for n in range(2)]),
    _each(strategies.router_ports, [RouterPortId(f"rp{n}") for n in range(4)]),
    st.lists(strategies.security_rules, min_size=4, max_size=8, unique_by=lambda rule: rule.id),
    st.lists(strategies.router_routes, max_size=3, unique_by=lambda route: route.id),
    st.lists(strategies.tenants, max_size=2, unique_by=lambda tenant: tenant.id),
).map(lambda parts: [Put(record) for record in reduce(add, parts)])
_following = st.lists(st.lists(changes, min_size=1, max_size=3), min_size=3, max_size=12)
batches: st.SearchStrategy[list[list[Change]]] = st.builds(
    lambda world, following: [world, *following], _worlds, _following
)
"""A world, and what becomes of it."""
