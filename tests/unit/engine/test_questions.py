"""Questions: what is answered again, and what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from weft.engine.compiler import Compiler
from weft.engine.reads import Asked, FoundBy
from weft.engine.rows import Each, Row, RowKey
from weft.model.ids import HostId, MacAddress, NetworkId, PortId, Vni
from weft.model.records import Host, Network, Owner, Port
from weft.store.interface import Delete, Put, Question, QuestionError, View, question
from weft.store.memory import MemoryStore

FOO = Network(id=NetworkId("foo"), name="foo", vni=Vni(1))
BAR = Network(id=NetworkId("bar"), name="bar", vni=Vni(2))
ME = Host(id=HostId("h" * 16), name="one")
CALLS: Counter[str] = Counter()


def port(number: int, tier: str = "web") -> Port:
    return Port(
        id=PortId(f"port{number:05}"),
        network_id=FOO.id,
        host_id=ME.id,
        mac=MacAddress(f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"),
        slot=number,
        labels=(("tier", tier),),
        owner=Owner(frontend="cli"),
    )


@pytest.fixture(autouse=True)
def _nothing_is_called_yet() -> None:
    CALLS.clear()


@question
def length(id: NetworkId, view: View) -> int:
    CALLS["length"] += 1
    network = view.get(Network, id)
    if network is None:
        raise LookupError(f"no network {id}")
    return len(network.name)


@question
def is_long(id: NetworkId, view: View) -> bool:
    CALLS["is_long"] += 1
    return view.ask(length, id) > 5


@question
def longest(_: None, view: View) -> int:
    CALLS["longest"] += 1
    return max(view.ask(length, FOO.id), view.ask(length, BAR.id))


def host_rows(*asked: Callable[[View], Hashable]) -> Callable[[Host, View], Iterator[Row]]:
    def rows(host: Host, view: View) -> Iterator[Row]:
        CALLS["rows"] += 1
        for number, ask in enumerate(asked):
            yield Row("answers", (host.id, number), ask(view))

    return rows


def test_an_answer_that_is_the_same_again_makes_nobody_stale() -> None:
    store = MemoryStore([ME, FOO])
    compiler = Compiler({Host: host_rows(lambda view: view.ask(is_long, FOO.id))}, store)
    assert compiler.rows() == {"answers": {(ME.id, 0): False}}
    CALLS.clear()
    assert compiler.update(store.apply([Put(replace(FOO, name="fox"))])) == ({}, set())
    assert CALLS == {"length": 1}
    assert compiler.update(store.apply([Put(replace(FOO, name="food"))])) == ({}, set())
    assert CALLS == {"length": 2, "is_long": 1}
    changes = compiler.update(store.apply([Put(replace(FOO, name="longer"))]))
    assert changes == ({RowKey("answers", (ME.id, 0)): True}, set())
    assert CALLS == {"length": 3, "is_long": 2, "rows": 1}


def test_a_question_is_answered_once_however_many_ask_it() -> None:
    others = [Host(id=HostId(f"{n:016x}"), name=f"h{n}") for n in range(50)]
    store = MemoryStore([*others, FOO, BAR])
    function = host_rows(
        lambda view: view.ask(longest, None), lambda view: view.ask(is_long, FOO.id)
    )
    compiler = Compiler({Host: function}, store)
    assert CALLS == {"rows": 50, "longest": 1, "is_long": 1, "length": 2}
    CALLS.clear()
    compiler.update(store.apply([Put(replace(FOO, name="food")), Put(replace(BAR, name="barn"))]))
    assert CALLS == {"rows": 50, "longest": 1, "is_long": 1, "length": 2}


def test_a_question_that_nobody_asks_any_more_is_forgotten() -> None:
    store = MemoryStore([ME, FOO])
    compiler = Compiler({Host: host_rows(lambda view: view.ask(is_long, FOO.id))}, store)
    compiler.update(store.apply([Delete(Host, ME.id)]))
    CALLS.clear()
    compiler.update(store.apply([Put(replace(FOO, name="longer"))]))
    assert not CALLS


def test_a_question_that_fails_costs_its_readers_their_rows_until_it_has_an_answer() -> None:
    store = MemoryStore([ME, FOO])

    def network_rows(network: Network, view: View) -> Iterator[Row]:
        yield Row("networks", network.vni, view.ask(length, network.id))

    functions = {Host: host_rows(lambda view: view.ask(longest, None)), Network: network_rows}
    with capture_logs() as logs:
        compiler = Compiler(functions, store)  # type: ignore[arg-type]
    assert compiler.rows() == {"networks": {1: 3}}
    reason = "length('bar'): LookupError: no network bar"
    assert compiler.faults == {(Host, ME.id): f"not compiled: QuestionError: {reason}"}
    assert [(each["event"], each["question"]) for each in logs] == [
        ("question not answered", "length")
    ]
    with pytest.raises(QuestionError) as raised:
        store.ask(longest, None)
    assert str(raised.value) == reason
    assert compiler.update(store.apply([Put(BAR)])).upserts == {
        RowKey("networks", 2): 3,
        RowKey("answers", (ME.id, 0)): 3,
    }
    assert not compiler.faults
    gone = compiler.update(store.apply([Delete(Network, BAR.id)]))
    assert gone.deletes == {RowKey("networks", 2), RowKey("answers", (ME.id, 0))}
    assert compiler.faults


@question
def depth(id: NetworkId, view: View) -> int:
    """1 more than the deepest of the networks that its labels name."""
    network = view.get(Network, id)
    assert network is not None
    return 1 + max((view.ask(depth, NetworkId(name)) for _, name in network.labels), default=0)


def depth_of(id: NetworkId) -> Callable[[View], Hashable]:
    return lambda view: view.ask(depth, id)


def test_questions_that_wait_for_each_other_are_named() -> None:
    foo = replace(FOO, labels=(("on", "bar"),))
    bar = replace(BAR, labels=(("on", "foo"),))
    store = MemoryStore([ME, foo, bar])
    for first in (FOO.id, BAR.id):
        circle = "questions go round in a circle: depth('bar') -> depth('foo') -> depth('bar')"
        with pytest.raises(QuestionError) as raised:
            store.ask(depth, first)
        assert str(raised.value) == circle
        compiler = Compiler({Host: host_rows(depth_of(first))}, store)
        assert compiler.faults == {(Host, ME.id): f"not compiled: QuestionError: {circle}"}
        compiler.update(store.apply([Put(BAR)]))
        assert compiler.rows() == {"answers": {(ME.id, 0): 2 if first == FOO.id else 1}}
        compiler.update(store.apply([Put(bar)]))
        assert compiler.faults


@question
def members(tier: str, view: View) -> frozenset[str]:
    CALLS["members"] += 1
    ports = view.by(Port, "labels", ("tier", tier))
    return frozenset(port.id for port in ports if port.device is None)


def member_rows(id: str, view: View) -> Iterator[Row]:
    CALLS["member_rows"] += 1
    member = view.get(Port, id)
    assert member is not None
    yield Row("members", id, member.mac)


@pytest.mark.parametrize("of", [FoundBy(Port, "labels", ("tier", "web")), Asked(members, "web")])
def test_a_member_that_comes_or_goes_costs_its_own_rows_of_ten_thousand(
    of: FoundBy | Asked,
) -> None:
    def network_rows(network: Network, view: View) -> Iterator[Row | Each]:
        CALLS["network_rows"] += 1
        yield Each(of, member_rows)

    ports = [port(number) for number in range(10_000)]
    store = MemoryStore([FOO, *ports])
    compiler = Compiler({Network: network_rows}, store)
    assert len(compiler.rows()["members"]) == 10_000
    CALLS.clear()
    moved = replace(ports[7], labels=(("tier", "db"),))
    row = RowKey("members", moved.id)
    assert compiler.update(store.apply([Put(moved)])) == ({}, {row})
    assert CALLS["member_rows"] == 0
    assert compiler.update(store.apply([Put(ports[7])])) == ({row: ports[7].mac}, set())
    assert CALLS["member_rows"] == 1
    other = replace(ports[9], mac=MacAddress("02:00:00:00:ff:ff"))
    changes = compiler.update(store.apply([Put(other), Delete(Port, ports[8].id)]))
    assert changes.upserts == {RowKey("members", other.id): other.mac}
    assert changes.deletes == {RowKey("members", ports[8].id)}
    assert CALLS["member_rows"] == 2
    assert CALLS["network_rows"] == 0
    compiler.update(store.apply([Delete(Network, FOO.id)]))
    assert compiler.rows() == {}
    CALLS.clear()
    compiler.update(store.apply([Put(moved)]))
    assert not CALLS


def test_an_element_whose_rows_fail_costs_these_alone_and_is_shown() -> None:
    def rows_of(id: str, view: View) -> Iterator[Row]:
        yield from member_rows(id, view)
        if view.any(Network, "name", "bad"):
            raise ValueError(id)

    def network_rows(network: Network, view: View) -> Iterator[Row | Each]:
        yield Row("networks", network.vni, True)
        if network.id == FOO.id:
            yield Each(Asked(members, "web"), rows_of)

    store = MemoryStore([FOO, port(1)])
    compiler = Compiler({Network: network_rows}, store)
    assert set(compiler.rows()) == {"networks", "members"}
    bad = replace(BAR, name="bad")
    assert compiler.update(store.apply([Put(bad)])).deletes == {RowKey("members", "port00001")}
    reason = "not compiled: ValueError: port00001"
    assert compiler.faults == {(Network, FOO.id): reason}
    compiler.update(store.apply([Delete(Network, BAR.id)]))
    assert set(compiler.rows()) == {"networks", "members"}
    assert not compiler.faults


def test_the_rows_of_a_set_that_is_none_or_comes_twice_are_a_fault() -> None:
    no_set: Question[NetworkId, int] = length

    def twice(network: Network, view: View) -> Iterator[Each]:
        yield Each(Asked(members, "web"), member_rows)
        yield Each(Asked(members, "web"), member_rows)

    def nothing(network: Network, view: View) -> Iterator[Each]:
        yield Each(Asked(no_set, FOO.id), member_rows)

    for function in (twice, nothing):
        store = MemoryStore([FOO, port(1)])
        compiler = Compiler({Network: function}, store)
        assert compiler.rows() == {}
        assert "TypeError" in compiler.faults[Network, FOO.id]
