"""Programs that keep what they have found in maps learn of each change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, cast

import pytest

from tests.fake_maps import FakeMaps
from weft.engine.ebpf.drivers.addresses import AddressDriver
from weft.engine.ebpf.drivers.macs import MacDriver
from weft.engine.ebpf.drivers.maps import MapDriver
from weft.engine.ebpf.drivers.routes import RouteDriver
from weft.engine.ebpf.edition import Edition
from weft.engine.ebpf.map_table import MapTable, Names
from weft.engine.ebpf.policy.generations import Generations
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.tables.addresses import ADDRESSES, AddressKey, AddressValue
from weft.engine.ebpf.tables.macs import MACS, MacKey, MacValue
from weft.engine.ebpf.tables.routes import (
    ROUTERS,
    ROUTES,
    RouteKey,
    RouterKey,
    RouterTable,
    RouterValue,
    RouteValue,
)
from weft.engine.ebpf.tables.subnets import SUBNETS, SubnetKey, SubnetValue
from weft.engine.plumbing.devices import Devices
from weft.errors import KernelError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RouteKind
from weft.kernel.bpf.maps import Elements
from weft.model.addresses import ip_address, ip_network

MAC = "02:00:00:00:00:01"


class Number:
    """The map of one number."""

    def __init__(self) -> None:
        self.number = 0

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, Exception]:
        ((_, value),) = items.items()
        self.number = layouts.Edition.decode(value).number
        return {}


class Kept:
    """A map, which notes the edition at each of its changes."""

    def __init__(self, edition: Number) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.during: list[int] = []
        self.is_broken = False
        self._edition = edition

    def read(self) -> dict[bytes, bytes]:
        return dict(self.entries)

    def lookup(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, Exception]:
        self.during.append(self._edition.number)
        if self.is_broken:
            raise KernelError("write the map", 5)
        self.entries.update(items)
        return {}

    def delete(self, keys: Iterable[bytes]) -> dict[bytes, Exception]:
        self.during.append(self._edition.number)
        for key in keys:
            del self.entries[key]
        return {}


def edition_in(number: Number) -> Edition:
    return Edition(lambda: cast("Elements", number))


def known_names() -> Names:
    names = Devices.__new__(Devices)
    names.known_way = names.way = lambda host: 0  # type: ignore[attr-defined]
    names.identity = lambda atoms: 0  # type: ignore[attr-defined]
    return cast("Names", names)


def macs(kept: Kept, number: Number) -> MapDriver:
    maps = FakeMaps()
    generations = Generations(maps.__getitem__, Numbering(maps.__getitem__))
    opened = cast("Any", lambda: kept)
    return MacDriver(opened, edition_in(number), known_names(), generations)


def addresses(kept: Kept, number: Number) -> MapDriver:
    opened = cast("Any", lambda: kept)
    return AddressDriver(
        opened, opened, known_names(), edition_in(number), lambda key: None, lambda: 0.0
    )


def ways(table: MapTable[Any, Any]) -> Callable[[Kept, Number], MapDriver]:
    def made(kept: Kept, number: Number) -> MapDriver:
        opened = cast("Any", lambda: kept)
        return RouteDriver(table, opened, known_names(), edition_in(number), lambda: None)

    return made


class Case(NamedTuple):
    """A driver, and a row of its table."""

    driver: Callable[[Kept, Number], MapDriver]
    key: Hashable
    value: Hashable


CASES = {
    MACS.name: Case(macs, MacKey(7, MAC), MacValue(is_host=True)),
    ADDRESSES.name: Case(
        addresses, AddressKey(7, ip_address("10.1.0.2")), AddressValue(MAC, is_host=True)
    ),
    SUBNETS.name: Case(
        ways(SUBNETS), SubnetKey(7, ip_network("10.1.0.0/24")), SubnetValue(None, RouterTable(7))
    ),
    ROUTES.name: Case(
        ways(ROUTES),
        RouteKey(7, ip_network("10.2.0.0/24")),
        RouteValue(4, RouteKind.ROUTE_CONNECTED, vni=20),
    ),
    ROUTERS.name: Case(ways(ROUTERS), RouterKey(7, MAC), RouterValue(RouterTable(7))),
}
each_driver = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@each_driver
def test_the_edition_is_odd_while_the_map_changes_and_another_one_afterwards(case: Case) -> None:
    number = Number()
    kept = Kept(number)
    held = case.driver(kept, number)
    numbers = []
    changes: tuple[tuple[dict[Hashable, Hashable], list[Hashable]], ...] = (
        ({case.key: case.value}, []),
        ({}, [case.key]),
    )
    for upserts, deletes in changes:
        assert not held.write(upserts, deletes)
        numbers.append(number.number)
    assert len(kept.during) == 2
    assert all(each % 2 for each in kept.during)
    assert not any(each % 2 for each in numbers)
    assert len({*numbers}) == 2


@each_driver
def test_a_look_begins_another_one(case: Case) -> None:
    """Whoever changed the map behind weftd's back told nobody."""
    number = Number()
    held = case.driver(Kept(number), number)
    held.read({})
    first = number.number
    held.read({})
    assert first % 2 == 0 and number.number % 2 == 0
    assert number.number != first


@each_driver
def test_a_change_that_fails_may_have_changed_something(case: Case) -> None:
    number = Number()
    kept = Kept(number)
    held = case.driver(kept, number)
    held.read({})
    before = number.number
    kept.is_broken = True
    with pytest.raises(KernelError):
        held.write({case.key: case.value}, [])
    assert number.number % 2 == 0
    assert number.number != before


def test_two_weftds_do_not_begin_alike() -> None:
    numbers = set()
    for _ in range(3):
        number = Number()
        edition_in(number).begin_another()
        numbers.add(number.number)
    assert len(numbers) == 3
