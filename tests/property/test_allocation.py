"""No schedule of adding, removing, reserving and waiting gives one address twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from ipaddress import ip_address, ip_network
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.surroundings import AtOnce, NothingRuns, WholeSpace, control_alone
from weft.config import Settings
from weft.control.context import Context
from weft.control.specs import NetworkSpec, PortSpec, SubnetSpec
from weft.errors import ConflictError, ExhaustedError, InvalidError
from weft.ipam.allocation import next_subnet
from weft.ipam.intervals import merge, subtract
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.choices import ReservationReason
from weft.model.ids import HostId
from weft.model.records import AddressRange, Owner, Port, Reservation, Subnet
from weft.store.memory import MemoryStore

T = TypeVar("T")
CIDRS = ("10.0.0.0/29", "10.0.1.0/30", "fd00::/125")
picked = st.sampled_from([a for cidr in CIDRS for a in ip_network(cidr)])


class Allocation(RuleBasedStateMachine):
    @initialize(is_docker=st.booleans(), excluded=st.none() | st.integers(2, 5))
    def begin(self, is_docker: bool, excluded: int | None) -> None:
        self.now_s = 1e9
        self.store = MemoryStore()
        self.loop = asyncio.new_event_loop()
        self.control = control_alone(
            Context(
                store=self.store,
                settler=AtOnce(),
                settings=Settings(name="h1", rest_s=10),
                host_id=HostId("h" * 16),
                wall_s=lambda: self.now_s,
                random_bytes=random.Random(3).randbytes,
                host_routes=tuple,
                targets=NothingRuns(),
                space=WholeSpace,
            )
        )
        hole = ip_address("10.0.0.0") + (excluded or 0)
        excludes = (AddressRange(first=hole, last=hole),) if excluded else ()
        subnets = tuple(
            SubnetSpec(cidr=ip_network(cidr), excludes=excludes if cidr == CIDRS[0] else ())
            for cidr in CIDRS
        )
        self.run(self.control.networks.create(NetworkSpec(name="n", subnets=subnets)))
        self.excluded = {hole} if excluded else set()
        self.given_unasked: set[IPAddress] = set()

    def run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    @rule(wanted=st.none() | picked)
    def add(self, wanted: IPAddress | None) -> None:
        held = self._held()
        spec = PortSpec(
            network="n",
            addresses=(wanted,) if wanted else (),
            is_exact=wanted is not None,
            owner=Owner(frontend="cli"),
        )
        try:
            port = self.run(self.control.ports.add(spec))
        except (ConflictError, ExhaustedError, InvalidError):
            return
        assert not held & set(port.addresses)
        if wanted is None:
            assert not self.excluded & set(port.addresses)

    @rule(choice=st.integers(0, 30))
    def remove(self, choice: int) -> None:
        ports = self.control.ports.list()
        if ports:
            self.run(self.control.ports.remove(ports[choice % len(ports)].id))

    @rule(wanted=st.none() | picked, subnet=st.integers(0, 2))
    def reserve(self, wanted: IPAddress | None, subnet: int) -> None:
        held = self._held()
        subnet_id = self._subnets()[subnet].id
        try:
            got = self.run(
                self.control.reservations.reserve(subnet_id, wanted, ReservationReason.DOCKER)
            )
        except (ConflictError, ExhaustedError, InvalidError):
            return
        assert got.address not in held

    @rule(choice=st.integers(0, 30))
    def release(self, choice: int) -> None:
        held = [r for r in self.store.list(Reservation) if r.reason == "docker"]
        if held:
            one = held[choice % len(held)]
            self.run(self.control.reservations.release(one.subnet_id, one.address))

    @rule(wait_s=st.floats(0, 20))
    def wait(self, wait_s: float) -> None:
        self.now_s += wait_s
        self.run(self.control.reservations.wake_rested())

    @invariant()
    def nobody_shares_an_address(self) -> None:
        if not hasattr(self, "store"):
            return
        addresses = [a for port in self.store.list(Port) for a in port.addresses]
        addresses += [r.address for r in self.store.list(Reservation) if r.reason != "rest"]
        assert len(addresses) == len(set(addresses))
        gateways = {subnet.gateway for subnet in self._subnets()}
        assert not gateways & set(addresses)

    def _held(self) -> set[IPAddress]:
        held = {a for port in self.store.list(Port) for a in port.addresses}
        return held | {r.address for r in self.store.list(Reservation) if r.reason != "rest"}

    def _subnets(self) -> list[Subnet]:
        return sorted(self.store.list(Subnet), key=lambda subnet: str(subnet.cidr))


TestAllocation = Allocation.TestCase
TestAllocation.settings = settings(max_examples=40, stateful_step_count=40)

_bits = st.integers(0, 60)
_intervals = st.lists(st.tuples(_bits, _bits), max_size=6)


@given(_intervals, _intervals)
def test_intervals_are_the_sets_they_stand_for(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    def members(intervals: list[tuple[int, int]]) -> set[int]:
        return {n for first, last in intervals for n in range(first, last + 1)}

    left = subtract(merge(one), merge(other))
    assert members(left) == members(one) - members(other)
    assert left == merge(left)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(20, 32)), max_size=12))
def test_a_cut_subnet_overlaps_nothing(found: list[tuple[int, int]]) -> None:
    pool: IPNetwork = ip_network("10.32.0.0/20")
    used = [ip_network((0x0A200000 + (n << 4), length), strict=False) for n, length in found]
    cut = next_subnet(pool, 24, used)
    free = [s for s in pool.subnets(new_prefix=24) if not any(s.overlaps(u) for u in used)]
    assert cut == (free[0] if free else None)
