"""What sharing addresses costs a host on which nothing happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from weft.ipam.occupancy import Occupancy
from weft.ipam.ring import Need, Ring
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import HostId, MacAddress, NetworkId, PortId, SubnetId
from weft.model.records import Host, Owner, Port, Record, Subnet
from weft.store.interface import Put
from weft.store.memory import MemoryStore

ME = HostId("a" * 16)
FOO = NetworkId("f" * 16)
NOBODY: frozenset[HostId] = frozenset()
WALL_S = 1_800_000_000.0


class Counted(MemoryStore):
    """Counts what is asked of it."""

    def __init__(self, records: Iterable[Record]) -> None:
        super().__init__(records)
        self.asked: Counter[type[Record]] = Counter()

    def by(self, kind, field, value):  # type: ignore[no-untyped-def]
        self.asked[kind] += 1
        return super().by(kind, field, value)


def subnet(cidr: str, number: int = 1) -> Subnet:
    prefix = ip_network(cidr)
    gateway = prefix[1]
    return Subnet(id=SubnetId(f"{number:016x}"), cidr=prefix, network_id=FOO, gateway=gateway)


def port(number: int, *addresses: str) -> Port:
    return Port(
        id=PortId(f"{number:016x}"),
        network_id=FOO,
        host_id=ME,
        mac=MacAddress("02:00:00:00:00:01"),
        slot=number,
        owner=Owner(frontend="cli"),
        addresses=tuple(map(ip_address, addresses)),
    )


def at_rest(store: MemoryStore) -> Ring:
    """A ring that has nothing more to write."""
    ring = Ring(ME, lambda count: bytes(count))
    for _ in range(10):
        changes = ring.step(store, 0.0, WALL_S, NOBODY)
        store.apply(Put(change) for change in changes if isinstance(change, Record))
        if not changes:
            return ring
    raise AssertionError("it never comes to rest")


def test_a_quiet_step_looks_at_no_subnet() -> None:
    subnets = [subnet(f"10.0.{number}.0/24", number) for number in range(100)]
    store = Counted([Host(id=ME, name="me"), *subnets])
    ring = at_rest(store)
    store.asked.clear()
    assert not ring.step(store, 5.0, WALL_S + 5, NOBODY, is_quiet=True)
    assert store.asked[Port] == 0


def test_a_quiet_step_serves_who_waits_all_the_same() -> None:
    store = Counted([Host(id=ME, name="me"), subnet("10.0.0.0/24")])
    ring = at_rest(store)
    ring.needs.append(Need(subnet("10.0.0.0/24").id, None))
    store.asked.clear()
    ring.step(store, 5.0, WALL_S + 5, NOBODY, is_quiet=True)
    assert store.asked[Port] > 0


@pytest.mark.parametrize("cidr", ["10.0.0.0/28", "10.0.0.0/24", "fd00::/64"])
@pytest.mark.parametrize("taken", [0, 1, 5, 11, 12, 13])
@pytest.mark.parametrize("enough", [1, 5, 8, 300])
def test_free_addresses_are_counted_as_if_each_were_looked_at(
    cidr: str, taken: int, enough: int
) -> None:
    one = subnet(cidr)
    first = int(one.cidr.network_address) + 2
    names = [str(ip_address(first + n)) for n in range(taken)]
    if ":" in cidr:
        names = [str(one.cidr[2 + n]) for n in range(taken)]
    store = MemoryStore([one, *(port(n, name, f"192.0.2.{n}") for n, name in enumerate(names))])
    occupancy = Occupancy(store, one, WALL_S)
    inside = [(first, first + 11)]
    each = sum(not occupancy.is_taken(number) for number in range(first, first + 12))
    assert occupancy.count_free(inside, enough) == min(each, enough)
