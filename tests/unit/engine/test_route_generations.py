"""What rules have decided about flows is decided anew when gateways or routers lead elsewhere, and
when a port may send other things."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, cast

import pytest

from tests.fake_maps import FakeMaps
from weft.engine.ebpf.drivers.routes import RouteDriver
from weft.engine.ebpf.drivers.sources import SourceDriver
from weft.engine.ebpf.edition import OF_ROUTES, Edition
from weft.engine.ebpf.map_table import MapTable, Names
from weft.engine.ebpf.policy.generations import Generations
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.policy.slots import network_slot, port_slot
from weft.engine.ebpf.tables.allowed import ALLOWED, AllowedKey, AllowedValue
from weft.engine.ebpf.tables.port_rules import PortRules
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
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RouteKind
from weft.model.addresses import ip_network
from weft.model.ids import TenantId, Vni

ROWS: list[tuple[MapTable[Any, Any], Hashable, Hashable, Hashable]] = [
    (
        ROUTES,
        RouteKey(7, ip_network("10.2.0.0/24")),
        RouteValue(4, RouteKind.ROUTE_CONNECTED, vni=20),
        RouteValue(4, RouteKind.ROUTE_CONNECTED, vni=21),
    ),
    (
        ROUTERS,
        RouterKey(20, "02:00:00:00:00:09"),
        RouterValue(RouterTable(7)),
        RouterValue(RouterTable(8)),
    ),
    (
        SUBNETS,
        SubnetKey(20, ip_network("10.2.0.0/24")),
        SubnetValue(None),
        SubnetValue(None, RouterTable(7)),
    ),
]
"""A row of each table, and another value of it."""
RED = 10


class Told:
    """A driver of ways, and what programs are told."""

    def __init__(self, table: MapTable[Any, Any] = ROUTES) -> None:
        self.maps = FakeMaps()
        self.numbering = Numbering(self.maps.__getitem__)
        self.generations = Generations(self.maps.__getitem__, self.numbering)
        self.driver = RouteDriver(
            table,
            lambda: self.maps[table.map_name],
            cast("Names", None),
            Edition(lambda: self.maps[OF_ROUTES]),
            self.generations.ways_change,
        )

    def number(self) -> int:
        """Of the network with the judged port."""
        return self.number_in(network_slot(self.numbering.number(Kind.NETWORK, RED)))

    def number_of_port(self) -> int:
        """Of the judged port."""
        return self.number_in(port_slot(self.numbering.number(Kind.PORT, "p1")))

    def number_in(self, slot: int) -> int:
        raw = self.maps["generations_v1"].lookup(slot.to_bytes(4, "little"))
        return layouts.Generation.decode(raw).number if raw else 0


@pytest.fixture
def told() -> Told:
    return judging(Told())


def judging(made: Told) -> Told:
    made.generations.port_comes(PortRules("p1", (), True, True, False, TenantId("t"), Vni(RED)))
    made.generations.raise_due()
    return made


@pytest.mark.parametrize(
    ("table", "key", "value", "other"), ROWS, ids=[each[0].name for each in ROWS]
)
def test_a_row_that_comes_changes_or_goes_is_told(
    table: MapTable[Any, Any], key: Hashable, value: Hashable, other: Hashable
) -> None:
    told = judging(Told(table))
    numbers = [told.number()]
    changes: list[dict[Hashable, Hashable]] = [{key: value}, {key: other}, {}]
    for upserts in changes:
        assert not told.driver.write(upserts, () if upserts else [key])
        told.generations.raise_due()
        numbers.append(told.number())
    assert len(set(numbers)) == 4


@pytest.mark.parametrize(("ifname", "is_told"), [("p1", True), ("p2", False)])
def test_what_a_judged_port_may_send(told: Told, ifname: str, is_told: bool) -> None:
    names = cast("Names", Numbered())
    driver = SourceDriver(
        ALLOWED, lambda: told.maps[ALLOWED.map_name], names, told.generations.port_changed
    )
    key = AllowedKey(ifname, ip_network("10.1.0.9"))
    changes: list[dict[Hashable, Hashable]] = [{key: AllowedValue()}, {}]
    for upserts in changes:
        before = told.number_of_port()
        assert not driver.write(upserts, () if upserts else [key])
        told.generations.raise_due()
        assert (told.number_of_port() != before) == is_told


class Numbered:
    """Devices that are called p1, p2, …"""

    def ifindex(self, name: str) -> int:
        return int(name[1:])


def test_nothing_to_write_is_nothing_to_tell(told: Told) -> None:
    before = told.number()
    assert not told.driver.write({}, [])
    told.generations.raise_due()
    assert told.number() == before
