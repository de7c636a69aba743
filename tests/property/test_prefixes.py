"""Subnets that overlap: found whatever their lengths, and never two of them in the host's stack."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from tests.property.strategies import HOSTS
from weft.engine.compiler import Compiler
from weft.engine.ebpf.compile import functions
from weft.engine.ebpf.tables.host_prefixes import HOST_PREFIXES
from weft.engine.ebpf.tables.nftables import NFTABLES, NftKey
from weft.engine.ebpf.tables.subnets import SUBNETS, SubnetKey, SubnetValue
from weft.engine.plumbing.tables.host_routes import HOST_ROUTES
from weft.model.addresses import IPNetwork, ip_network
from weft.model.ids import NetworkId, SubnetId, Vni
from weft.model.records import HostPrefixes, Network, Record, Subnet
from weft.store.memory import MemoryStore
from weft.topology.prefixes import (
    contests,
    is_cut_off,
    overlapping_subnets,
    overlaps,
    prefix_in_the_way,
)

HOST = HOSTS[0]
four = st.builds(
    lambda number, length: ip_network((number << 8, length), strict=False),
    st.integers(0, 0xFFFFFF),
    st.integers(0, 32),
)
six = st.builds(
    lambda number, length: ip_network((number << 56, length), strict=False),
    st.integers(0xFD << 64, (0xFE << 64) - 1),
    st.integers(1, 128),
)
near = st.one_of(
    st.builds(
        lambda number, length: ip_network((0x0A000000 | number, length), strict=False),
        st.integers(0, 0x3FFF),
        st.integers(8, 32),
    ),
    st.builds(
        lambda number, length: ip_network(((0xFD << 120) | number << 52, length), strict=False),
        st.integers(0, 0xFFFF),
        st.integers(8, 128),
    ),
)


def records_of(cidrs: list[IPNetwork]) -> list[Record]:
    """Each subnet on a network of its own."""
    made: list[Record] = []
    for number, cidr in enumerate(cidrs):
        network = Network(id=NetworkId(f"n{number}"), name=f"n{number}", vni=Vni(number + 1))
        subnet = Subnet(
            id=SubnetId(f"s{number}"), cidr=cidr, network_id=network.id, gateway=cidr[0]
        )
        made += [network, subnet]
    return made


@given(st.lists(st.one_of(near, near, four, six), max_size=8))
def test_what_overlaps_is_found_whatever_its_length(cidrs: list[IPNetwork]) -> None:
    store = MemoryStore(records_of(cidrs))
    for subnet in store.list(Subnet):
        found = {other.id for other in overlapping_subnets(store, subnet)}
        others = (other for other in store.list(Subnet) if other.id != subnet.id)
        assert found == {other.id for other in others if overlaps(other.cidr, subnet.cidr)}


@given(st.lists(near, max_size=8), st.lists(near, max_size=4), st.lists(near, max_size=4))
def test_what_a_host_has_in_the_way_is_found_among_all(
    cidrs: list[IPNetwork], links: list[IPNetwork], routes: list[IPNetwork]
) -> None:
    record = HostPrefixes(id=HOST, host_id=HOST, links=tuple(links), routes=tuple(routes))
    store = MemoryStore([*records_of(cidrs), record])
    found = {(subnet.id, prefix) for _, subnet, prefix in contests(store)}
    each = ((s.id, prefix_in_the_way(record, s.cidr)) for s in store.list(Subnet))
    assert found == {(id, prefix) for id, prefix in each if prefix is not None}


@given(st.lists(near, max_size=8))
def test_of_two_that_overlap_one_has_a_way_out_at_most(cidrs: list[IPNetwork]) -> None:
    store = MemoryStore(records_of(cidrs))
    is_open = {s.id: s for s in store.list(Subnet) if not store.ask(is_cut_off, s.id)}
    for one, other in combinations(is_open.values(), 2):
        assert not overlaps(one.cidr, other.cidr)
    for subnet in store.list(Subnet):
        alone = not any(overlapping_subnets(store, subnet))
        assert subnet.id in is_open or not alone


@given(st.lists(near, max_size=8))
def test_the_host_knows_of_no_prefix_that_two_networks_have(cidrs: list[IPNetwork]) -> None:
    """So nothing that it routes, translates or publishes can be for the other."""
    store = MemoryStore(records_of(cidrs))
    tables = Compiler(functions(HOST), store).rows()
    facts = tables.get(NFTABLES.name, {})
    for known in (
        [key for key in tables.get(HOST_PREFIXES.name, {}) if isinstance(key, IPNetwork)],
        [key for key in tables.get(HOST_ROUTES.name, {}) if isinstance(key, IPNetwork)],
        [cidr for cidr in cidrs if NftKey("masquerade", cidr) in facts],
        [cidr for cidr in cidrs if NftKey("gateway", cidr) in facts],
    ):
        assert not any(overlaps(one, other) for one, other in combinations(set(known), 2))
    for key, value in tables.get(SUBNETS.name, {}).items():
        assert isinstance(key, SubnetKey) and isinstance(value, SubnetValue)
        subnet = store.get(Subnet, f"s{key.vni - 1}")
        assert subnet is not None
        assert value.is_cut_off == store.ask(is_cut_off, subnet.id)
