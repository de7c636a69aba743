"""Names over hosts: those of the living, wherever they are."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import dns.message
import pytest
from msgspec.structs import replace

from tests.unit.dns import world
from tests.unit.dns.world import HOST, ask, data, network, port, subnet
from weft.dns.zone import Scope, Zone
from weft.errors import InvalidError
from weft.model.addresses import ip_address
from weft.model.ids import HostId, NetworkId
from weft.model.records import ForgottenHost, Host, Neighbour, Neighbours, Port, Record
from weft.store.interface import Delete, Put
from weft.store.memory import MemoryStore

FAR, FARTHER = HostId("b" * 16), HostId("c" * 16)


def host(id: HostId) -> Host:
    return Host(id=id, name=f"h-{id[0]}")


def neighbours(id: HostId, *others: HostId, mtu_bytes: int = 1500) -> Neighbours:
    links = [
        Neighbour(host_id=other, address=ip_address("192.0.2.1"), path_mtu_bytes=mtu_bytes)
        for other in sorted(others)
    ]
    return Neighbours(id=id, host_id=id, neighbours=tuple(links))


def three_in_a_row() -> list[Record]:
    """HOST - FAR - FARTHER, a container called ``web`` on each."""
    return [
        network("foo"),
        subnet("foo", "192.168.1.0/24"),
        *map(host, (HOST, FAR, FARTHER)),
        neighbours(HOST, FAR),
        neighbours(FAR, HOST, FARTHER),
        neighbours(FARTHER, FAR),
        port("foo", ["web"], "192.168.1.1"),
        port("foo", ["web"], "192.168.1.2", host_id=FAR),
        port("foo", ["web", "last"], "192.168.1.3", host_id=FARTHER),
    ]


class Desk:
    """A zone on HOST over records that change."""

    def __init__(self, *more: Record, order: str = "random") -> None:
        self.store = MemoryStore([*three_in_a_row(), *more])
        self.zone = Zone(self.store, "weft.internal", HOST, order)
        self.store.watch(self.zone.changed)

    @property
    def scope(self) -> Scope:
        return self.zone.scope_of_network(NetworkId("foo"))

    def ask(self, name: str, type: str = "A", seed: int = 0) -> dns.message.Message:
        message = ask(self.zone, self.scope, name, type, seed)
        assert message is not None
        return message

    def web(self) -> list[str]:
        return data(self.ask("web.foo.weft.internal"))

    def in_order(self, seed: int) -> list[str]:
        return [rdata.to_text() for rrset in self.ask("web", seed=seed).answer for rdata in rrset]


def test_a_name_on_several_hosts_leads_to_all_of_them() -> None:
    assert Desk().web() == ["192.168.1.1", "192.168.1.2", "192.168.1.3"]


def test_every_holder_comes_first_as_often_as_the_others() -> None:
    desk = Desk()
    firsts = Counter(desk.in_order(seed)[0] for seed in range(600))
    assert len(firsts) == 3 and min(firsts.values()) > 150


def test_local_holders_come_first_when_asked_for() -> None:
    near = port("foo", ["web"], "192.168.1.11")
    desk = Desk(near, order="local")
    orders = [desk.in_order(seed) for seed in range(40)]
    local = {"192.168.1.1", "192.168.1.11"}
    assert all(set(order[:2]) == local for order in orders)
    assert {order[0] for order in orders} == local
    assert len({order[2] for order in orders}) == 2


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidError, match="setting dns_order 'lokal': say random or local"):
        Desk(order="lokal")


async def test_names_of_a_dead_host_go_and_come_back_with_it() -> None:
    desk = Desk()
    await desk.store.write([Put(neighbours(FAR, HOST))])
    assert desk.web() == ["192.168.1.1", "192.168.1.2"]
    assert data(ask(desk.zone, desk.scope, "last.foo.weft.internal")) == []
    assert data(desk.ask("3.1.168.192.in-addr.arpa", "PTR")) == []
    await desk.store.write([Put(neighbours(FAR, HOST, FARTHER))])
    assert desk.web() == ["192.168.1.1", "192.168.1.2", "192.168.1.3"]
    assert data(desk.ask("3.1.168.192.in-addr.arpa", "PTR")) == ["web.foo.weft.internal."]


async def test_who_is_behind_a_dead_host_is_dead_until_there_is_another_way() -> None:
    desk = Desk()
    await desk.store.write([Put(neighbours(HOST))])
    assert desk.web() == ["192.168.1.1"]
    await desk.store.write([Put(neighbours(HOST, FARTHER)), Put(neighbours(FARTHER, FAR, HOST))])
    assert desk.web() == ["192.168.1.1", "192.168.1.2", "192.168.1.3"]


async def test_names_of_a_forgotten_host_go_at_once() -> None:
    desk = Desk()
    await desk.store.write([Put(ForgottenHost(id=FARTHER))])
    assert desk.web() == ["192.168.1.1", "192.168.1.2"]


async def test_a_host_without_a_record_has_no_names() -> None:
    desk = Desk()
    await desk.store.write([Delete(Host, FARTHER)])
    assert desk.web() == ["192.168.1.1", "192.168.1.2"]


async def test_the_names_of_this_host_need_no_neighbour_and_no_record() -> None:
    desk = Desk()
    await desk.store.write([Delete(Host, HOST), Delete(Neighbours, HOST)])
    assert desk.web() == ["192.168.1.1"]


async def test_what_changes_of_a_way_to_a_host_but_not_the_host_drops_no_answers() -> None:
    desk = Desk()
    scope = desk.scope
    await desk.store.write([Put(neighbours(HOST, FAR, mtu_bytes=9000))])
    assert desk.scope is scope
    await desk.store.write([Put(neighbours(HOST))])
    assert desk.scope is not scope


async def test_a_container_that_moves_is_found_where_it_is_now() -> None:
    desk = Desk()
    before = port("foo", ["db"], "192.168.1.9", host_id=FAR)
    await desk.store.write([Put(before)])
    await desk.store.write(
        [Put(port("foo", ["db"], "192.168.1.9", id="moved")), Delete(Port, before.id)]
    )
    assert data(desk.ask("db")) == ["192.168.1.9"]


async def test_an_answer_costs_the_same_however_many_hosts_there_are() -> None:
    ids = [HOST, *(HostId(f"{n:016x}") for n in range(300))]
    chain: list[Record] = [host(id) for id in ids]
    linked: dict[HostId, list[HostId]] = {id: [] for id in ids}
    for one, other in pairwise(ids):
        linked[one].append(other)
        linked[other].append(one)
    chain += [neighbours(id, *others) for id, others in linked.items()]
    store = MemoryStore([network("foo"), *chain, port("foo", ["end"], "10.0.0.1", host_id=ids[-1])])
    reads: list[type[Record]] = []
    zone = Zone(store, "weft.internal", HOST)
    store.watch(zone.changed)
    real = store.list
    store.list = lambda kind: (reads.append(kind), real(kind))[1]  # type: ignore[func-returns-value, method-assign]
    for seed in range(3):
        scope = zone.scope_of_network(NetworkId("foo"))
        assert data(ask(zone, scope, "end", seed=seed)) == ["10.0.0.1"]
    assert reads == []
    await store.write([Put(world.port("foo", ["more"], "10.0.0.2"))])
    assert reads == []


async def test_who_was_replaced_on_a_dead_host_has_no_name_when_the_host_is_back() -> None:
    desk = Desk()
    before = port("foo", ["db"], "192.168.1.9", host_id=FAR)
    after = port("foo", ["new", "db"], "192.168.1.9", "192.168.1.10", replaces=(before.id,))
    await desk.store.write([Put(replace(before, names=("db", "old")))])
    assert data(desk.ask("old")) == ["192.168.1.9"]
    await desk.store.write([Put(after)])
    assert data(desk.ask("db")) == ["192.168.1.10", "192.168.1.9"]
    assert data(ask(desk.zone, desk.scope, "old.foo.weft.internal")) == []
