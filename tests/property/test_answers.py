"""A remembered answer is a fresh one, after any changes, of every question that there is."""

from __future__ import annotations

import pkgutil
from collections.abc import Hashable, Iterator
from importlib import import_module
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.property.strategies import (
    HOSTS,
    addresses,
    group_ids,
    labels,
    prefixes,
    prefixes_of_peers,
    security_rules,
    tenant_ids,
)
from tests.property.test_compiler import applied
from tests.property.worlds import batches
from weft.engine.compiler import Compiler
from weft.engine.ebpf.compile import subjects
from weft.engine.ebpf.policy.atoms import Atom, meant_by
from weft.engine.questions import Questions
from weft.engine.reads import Asked, Beginning, FoundBy
from weft.engine.rows import Each, Row
from weft.model.addresses import IPNetwork
from weft.model.ids import (
    HostId,
    MacAddress,
    NetworkId,
    PortId,
    RouterId,
    SubnetId,
    TenantId,
    Vni,
)
from weft.model.records import Host, Network, Owner, Place, Port, SecurityRule
from weft.semantics import members
from weft.semantics.places import hosts_on, slot_count
from weft.semantics.routers import (
    Table,
    connections,
    domain,
    entries,
    gateway_routers,
    is_led_to,
    networks_of,
    prefixes_beyond,
    sources,
)
from weft.store.asking import Failed
from weft.store.interface import Change, Delete, Put, Question, QuestionError, View, question
from weft.store.memory import MemoryStore
from weft.topology.neighbours import Path, neighbour, says_neighbours
from weft.topology.prefixes import (
    HostPrefix,
    is_contested,
    is_cut_off,
    is_on_a_link,
    prefixes_cut_off,
    takes_underlay,
)
from weft.topology.routes import data_routes, routes

hosts = st.sampled_from((*HOSTS, HOSTS[0], HOSTS[0]))
networks = st.integers(0, 3).map(lambda n: NetworkId(f"net{n}"))
routers = st.integers(0, 3).map(lambda n: RouterId(f"router{n}"))
of_a_host = st.builds(HostPrefix, hosts, prefixes)
places = st.builds(Place, networks, hosts)
port_ids = st.integers(0, 7).map(lambda n: PortId(f"port{n}"))
shares = st.builds(subjects.Share, hosts, tenant_ids)


def _named(rule: SecurityRule, tenant_id: TenantId) -> st.SearchStrategy[Atom]:
    meant = meant_by(rule, tenant_id)
    return st.nothing() if meant is None or meant.atom is None else st.just(meant.atom)


named_atoms = st.builds(_named, security_rules, tenant_ids).flatmap(lambda found: found)
"""Whom rules can name."""


def _number_of(thing: Hashable) -> int:
    """Of the bucket in which it is."""
    return hash(thing) % subjects._BUCKETS


def _bucket_of(host_id: HostId, atom: Hashable) -> subjects._Bucket:
    return subjects._Bucket(host_id, _number_of(atom))


def _block_of(share: subjects.Share, prefix: IPNetwork) -> subjects._Block:
    return subjects._Block(share, subjects._block(prefix, prefix.prefixlen))


KEYS: dict[Question[Any, Any], st.SearchStrategy[Hashable]] = {
    members._all_selecting: tenant_ids,
    members._selecting: st.builds(members.Labelled, tenant_ids, st.none() | labels),
    members.groups_of: port_ids,
    members.tenant_of_group: group_ids,
    subjects._all_naming: shares,
    subjects._bucket: st.builds(_bucket_of, hosts, named_atoms),
    subjects._buckets: hosts,
    subjects._cidrs: shares,
    subjects._cidrs_in: st.builds(_block_of, shares, prefixes_of_peers),
    subjects._has_groups: st.just(""),
    subjects._named_on: hosts,
    subjects._names_ports: hosts,
    subjects._network_buckets: st.just(""),
    subjects._networks_in: st.builds(_number_of, networks),
    subjects._naming: st.builds(subjects._Labelled, hosts, tenant_ids, st.none() | labels),
    subjects._subjects_at: places,
    subjects._subjects_in: st.builds(_bucket_of, hosts, networks),
    subjects.atoms_of_prefix: st.builds(
        subjects.Covered, hosts, tenant_ids, prefixes_of_peers | addresses.map(ip_network)
    ),
    subjects.is_judging: places,
    subjects.is_named: st.builds(subjects.Named, hosts, named_atoms),
    subjects.peers_of: group_ids,
    subjects.policy_of: port_ids,
    subjects.subjects_on: hosts,
    connections: routers,
    data_routes: hosts,
    domain: networks,
    entries: st.builds(Table, routers, st.none() | prefixes),
    gateway_routers: networks,
    hosts_on: networks,
    is_contested: of_a_host,
    is_cut_off: st.integers(0, 3).map(lambda n: SubnetId(f"sub{n}")),
    is_led_to: places,
    is_on_a_link: of_a_host,
    networks_of: routers,
    neighbour: st.builds(Path, hosts, hosts),
    prefixes_beyond: networks,
    prefixes_cut_off: networks,
    routes: hosts,
    says_neighbours: hosts,
    sources: routers,
    slot_count: places,
    takes_underlay: of_a_host,
}
"""Of every question keys that its answer may hang on."""


def registered() -> Iterator[object]:
    """All questions in the modules of records, and of what follows from them."""
    for part in ("semantics", "topology", "engine"):
        inside = import_module(f"weft.{part}")
        for found in pkgutil.walk_packages(inside.__path__, f"weft.{part}."):
            yield from vars(import_module(found.name)).values()


def test_every_question_is_tried() -> None:
    found = {each for each in registered() if isinstance(each, Question)}
    assert found == set(KEYS), "say in KEYS what the new question may be asked about"


def remembered(questions: Questions, asked: Asked) -> object:
    try:
        return questions.answer(asked)
    except QuestionError as error:
        return Failed(str(error))


def fresh(store: MemoryStore, asked: Asked) -> object:
    try:
        return store.ask(asked.question, asked.key)
    except QuestionError as error:
        return Failed(str(error))


def follow(batches: list[list[Change]], wanted: list[Asked]) -> None:
    """Every answer stays as it would be from nothing, and whoever has read it hears of another."""
    store = MemoryStore()
    questions = Questions(store)
    reader = {(Host, str(number)): asked for number, asked in enumerate(wanted)}
    for key, asked in reader.items():
        remembered(questions, asked)
        questions.note(key, {asked: None})
    former = {key: fresh(store, asked) for key, asked in reader.items()}
    for batch in batches:
        stale = questions.update(store.apply(batch))
        now = {key: fresh(store, asked) for key, asked in reader.items()}
        assert stale.readers == {key for key in reader if now[key] != former[key]}
        assert {key: remembered(questions, asked) for key, asked in reader.items()} == now
        questions.forget_unread()
        former = now
    for key in reader:
        questions.note(key, {})
    questions.forget_unread()


@pytest.mark.parametrize("asked", KEYS, ids=str)
@given(data=st.data())
@settings(max_examples=40)
def test_a_remembered_answer_is_a_fresh_one(asked: Question[Any, Any], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(KEYS[asked], min_size=1, max_size=8, unique=True))
    follow(data.draw(batches), [Asked(asked, key) for key in wanted])


_names = st.sampled_from("abcd")


def network(name: str, vni: int, refers: list[str]) -> Network:
    """One whose answers rest on those of others, which may not be there, or rest on it."""
    labels = tuple((str(n), other) for n, other in enumerate(refers))
    return Network(id=NetworkId(name), name=name, vni=Vni(vni), labels=labels)


_networks = st.builds(network, _names, st.integers(1, 4), st.lists(_names, max_size=2))
_graphs = st.lists(
    st.lists(
        st.one_of(
            st.builds(Put, _networks),
            st.builds(Put, _networks),
            st.builds(Delete, st.just(Network), _names),
        ),
        min_size=1,
        max_size=3,
    ),
    max_size=20,
)


@question
def total(name: str, view: View) -> int:
    """Of a network's VNI and those of all that it refers to; only as far as these are even."""
    found = view.get(Network, name)
    if found is None:
        raise LookupError(name)
    if found.vni % 2:
        return found.vni
    return found.vni + sum(view.ask(total, other) for _, other in found.labels)


@question
def is_large(name: str, view: View) -> bool:
    return view.ask(total, name) > 4


@question
def large(_: None, view: View) -> frozenset[str]:
    return frozenset(each.id for each in view.list(Network) if view.ask(is_large, each.id))


@given(_graphs)
@settings(max_examples=200)
def test_failures_and_circles_are_remembered_and_heal(batches: list[list[Change]]) -> None:
    with capture_logs():
        follow(batches, [*(Asked(is_large, name) for name in "abcd"), Asked(total, "a")])
        follow(batches, [Asked(large, None)])
        follow(batches, [*(Asked(total, name) for name in "dcba")])


def port(number: int, on: str, labels: tuple[tuple[str, str], ...]) -> Port:
    return Port(
        id=PortId(f"p{number}"),
        network_id=NetworkId(on),
        mac=MacAddress("02:00:00:00:00:01"),
        slot=number,
        labels=labels,
        owner=Owner(frontend="cli"),
    )


_ports = st.builds(
    port,
    st.integers(0, 3),
    _names,
    st.lists(st.tuples(_names, _names), max_size=2, unique_by=lambda each: each[0]).map(tuple),
)
_worlds = st.lists(
    st.lists(
        st.one_of(
            st.builds(Put, _networks),
            st.builds(Put, _ports),
            st.builds(Put, _ports),
            st.builds(Delete, st.just(Network), _names),
            st.integers(0, 3).map(lambda n: Delete(Port, f"p{n}")),
        ),
        min_size=1,
        max_size=3,
    ),
    max_size=20,
)


def sets_of_network(found: Network, view: View) -> Iterator[Row | Each]:
    """Rows for elements of each kind of set; what several of them want is one row."""

    def member(id: str, view: View) -> Iterator[Row]:
        here = view.get(Port, id)
        assert here is not None
        yield Row("members", id, (found.id, here.slot))
        if here.slot == 2:
            raise ValueError(id)

    def label(value: Hashable, view: View) -> Iterator[Row]:
        yield Row("labels", found.vni, value)
        yield Row("known", value, view.any(Port, "labels", (found.id, "a")))

    def bigger(id: str, view: View) -> Iterator[Row]:
        yield Row("known", id, found.vni)
        yield Row("large", id, view.ask(total, id))

    yield Row("labels", found.vni, None)
    yield Each(FoundBy(Port, "network_id", found.id), member)
    yield Each(Beginning(Port, "labels", found.id), label)
    if found.vni == 3:
        yield Each(Asked(large, None), bigger)


@given(_worlds)
@settings(max_examples=200)
def test_rows_of_the_elements_of_sets_are_those_from_nothing(batches: list[list[Change]]) -> None:
    with capture_logs():
        store = MemoryStore()
        compiler = Compiler({Network: sets_of_network}, store)
        for batch in batches:
            rows = applied(compiler.rows(), compiler.update(store.apply(batch)))
            anew = Compiler({Network: sets_of_network}, store)
            assert rows == compiler.rows() == anew.rows()
            assert compiler.faults.keys() == anew.faults.keys()
