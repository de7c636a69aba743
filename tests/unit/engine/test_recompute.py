"""What the compiler computes anew, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from weft.engine.compiler import Compiler
from weft.engine.rows import Row, RowKey
from weft.model.ids import HostId, MacAddress, NetworkId, PortId, Vni
from weft.model.records import Network, Owner, Port
from weft.store.interface import Delete, Put, View, question
from weft.store.memory import MemoryStore

HOST, OTHER = HostId("h" * 16), HostId("i" * 16)
FOO = Network(id=NetworkId("foo"), name="foo", vni=Vni(1))


def port(number: int, host: HostId = HOST) -> Port:
    return Port(
        id=PortId(f"port{number}"),
        network_id=FOO.id,
        host_id=host,
        mac=MacAddress("02:00:00:00:00:01"),
        slot=number,
        owner=Owner(frontend="cli"),
    )


class Presence:
    """A compile function that asks whether a network has a port on a host, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, network: Network, view: View) -> Iterator[Row]:
        self.calls += 1
        if view.any(Port, "place", (network.id, HOST)):
            yield Row("present", network.vni, True)


def test_who_asks_for_any_is_computed_anew_only_when_the_answer_flips() -> None:
    store, presence = MemoryStore([FOO]), Presence()
    compiler = Compiler({Network: presence}, store)
    row = RowKey("present", FOO.vni)
    assert compiler.update(store.apply([Put(port(1, OTHER))])) == ({}, set())
    assert compiler.update(store.apply([Put(port(2))])) == ({row: True}, set())
    calls = presence.calls
    assert compiler.update(store.apply([Put(port(3)), Put(port(4))])) == ({}, set())
    assert compiler.update(store.apply([Delete(Port, "port2"), Delete(Port, "port3")])) == (
        {},
        set(),
    )
    assert presence.calls == calls
    assert compiler.update(store.apply([Delete(Port, "port4")])) == ({}, {row})
    assert presence.calls == calls + 1


def test_a_place_that_is_left_and_taken_in_one_write_is_no_change() -> None:
    store, presence = MemoryStore([FOO, port(1)]), Presence()
    compiler = Compiler({Network: presence}, store)
    calls = presence.calls
    changed = store.apply([Delete(Port, "port1"), Put(port(2))])
    assert compiler.update(changed) == ({}, set())
    assert presence.calls == calls


def test_nobody_is_kept_in_mind_who_asks_no_more() -> None:
    store, presence = MemoryStore([FOO, port(1)]), Presence()
    compiler = Compiler({Network: presence}, store)
    compiler.update(store.apply([Delete(Network, FOO.id)]))
    assert compiler.update(store.apply([Delete(Port, "port1")])) == ({}, set())
    compiler.update(store.apply([Put(FOO)]))
    assert compiler.rows() == {}


class Length:
    """A compile function that asks whether a network's name is as long as a port's number, and
    counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, port: Port, view: View) -> Iterator[Row]:
        self.calls += 1
        yield Row("lengths", port.slot, view.ask(has_letters, port.slot or 0))


@question
def has_letters(least: int, view: View) -> bool:
    network = view.get(Network, FOO.id)
    return network is not None and len(network.name) >= least


def test_who_asks_a_question_is_computed_anew_only_when_that_is_another() -> None:
    store, length = MemoryStore([FOO, port(2), port(4), port(6)]), Length()
    compiler = Compiler({Port: length}, store)
    calls = length.calls
    longer = replace(FOO, name="food")
    assert compiler.update(store.apply([Put(longer)])) == ({RowKey("lengths", 4): True}, set())
    assert compiler.update(store.apply([Put(replace(longer, name="fool"))])) == ({}, set())
    assert length.calls == calls + 1
    gone = {RowKey("lengths", 2): False, RowKey("lengths", 4): False}
    assert compiler.update(store.apply([Delete(Network, FOO.id)])) == (gone, set())
    compiler.update(store.apply([Delete(Port, "port2"), Delete(Port, "port4")]))
    calls = length.calls
    assert compiler.update(store.apply([Put(replace(FOO, name="foobar"))])) == (
        {RowKey("lengths", 6): True},
        set(),
    )
    assert length.calls == calls + 1


def members(network: Network, view: View) -> Iterator[Row]:
    """A compile function that lists the hosts with a port on a network."""
    places = view.beginning(Port, "place", network.id)
    yield Row("members", network.vni, tuple(sorted(place[1] for place in places)))  # type: ignore[index]


def test_who_asks_which_values_begin_so_is_computed_anew_only_when_one_comes_or_goes() -> None:
    calls = 0

    def counted(network: Network, view: View) -> Iterator[Row]:
        nonlocal calls
        calls += 1
        return members(network, view)

    store = MemoryStore([FOO, port(1)])
    compiler = Compiler({Network: counted}, store)
    row = RowKey("members", FOO.vni)
    assert compiler.rows() == {"members": {FOO.vni: (HOST,)}}
    calls = 0
    assert compiler.update(store.apply([Put(port(2)), Put(port(3))])) == ({}, set())
    assert compiler.update(store.apply([Delete(Port, "port1")])) == ({}, set())
    assert calls == 0
    assert compiler.update(store.apply([Put(port(4, OTHER))])) == ({row: (HOST, OTHER)}, set())
    moved = [Put(port(4)), Put(port(5, OTHER))]
    assert compiler.update(store.apply(moved)) == ({}, set())
    gone = [Delete(Port, "port5"), Delete(Port, "port2")]
    assert compiler.update(store.apply(gone)) == ({row: (HOST,)}, set())
    assert calls == 2
    everything = [Delete(Port, f"port{number}") for number in (3, 4)]
    assert compiler.update(store.apply(everything)) == ({row: ()}, set())
