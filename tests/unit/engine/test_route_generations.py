"""What rules have decided about flows is decided anew when routers lead elsewhere."""

from __future__ import annotations

from collections.abc import Hashable
from typing import cast

import pytest

from tests.fake_maps import FakeMaps
from weft.engine.ebpf.drivers.routes import RouteDriver
from weft.engine.ebpf.map_table import Names
from weft.engine.ebpf.policy.generations import Generations
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.policy.slots import network_slot
from weft.engine.ebpf.tables.port_rules import PortRules
from weft.engine.ebpf.tables.routes import ROUTES, RouteKey, RouteValue
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RouteKind
from weft.model.addresses import ip_network
from weft.model.ids import TenantId, Vni

KEY = RouteKey(7, ip_network("10.2.0.0/24"))
VALUE = RouteValue(4, RouteKind.ROUTE_CONNECTED, vni=20)
RED = 10


class Told:
    """A driver of routes, and what programs are told."""

    def __init__(self) -> None:
        self.maps = FakeMaps()
        self.numbering = Numbering(self.maps.__getitem__)
        self.generations = Generations(self.maps.__getitem__, self.numbering)
        self.driver = RouteDriver(
            ROUTES,
            lambda: self.maps["routes_v1"],
            cast("Names", None),
            self.generations.ways_change,
        )

    def number(self) -> int:
        """Of the network with the judged port."""
        slot = network_slot(self.numbering.number(Kind.NETWORK, RED))
        raw = self.maps["generations_v1"].lookup(slot.to_bytes(4, "little"))
        return layouts.Generation.decode(raw).number if raw else 0


@pytest.fixture
def told() -> Told:
    made = Told()
    made.generations.port_comes(PortRules("p1", (), True, True, False, TenantId("t"), Vni(RED)))
    made.generations.raise_due()
    return made


def test_a_route_that_comes_changes_or_goes_is_told(told: Told) -> None:
    numbers = [told.number()]
    changes: list[dict[Hashable, Hashable]] = [{KEY: VALUE}, {KEY: VALUE._replace(vni=21)}, {}]
    for upserts in changes:
        assert not told.driver.write(upserts, () if upserts else [KEY])
        told.generations.raise_due()
        numbers.append(told.number())
    assert len(set(numbers)) == 4


def test_nothing_to_write_is_nothing_to_tell(told: Told) -> None:
    before = told.number()
    assert not told.driver.write({}, [])
    told.generations.raise_due()
    assert told.number() == before
