"""A fault over one record costs what that record wants, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from structlog.testing import capture_logs

from tests.unit.engine.fake_sink import FakeSink, running
from weft.config import Settings
from weft.engine.compiler import Compiler
from weft.engine.ebpf.drivers.maps import MapDriver
from weft.engine.ebpf.sink import Sink
from weft.engine.ebpf.tables.networks import NETWORKS, NetworkValue
from weft.engine.ebpf.tables.resolvers import RESOLVERS
from weft.engine.plumbing.devices import Devices
from weft.engine.rows import Row, RowFailure, RowKey
from weft.engine.sink import Tables
from weft.engine.steps import Step
from weft.errors import KernelError
from weft.model.ids import NetworkId, Vni
from weft.model.records import Network, Record, Subnet
from weft.store.interface import Changed, Put, View
from weft.store.memory import MemoryStore

GOOD = Network(id=NetworkId("good"), name="good", vni=Vni(5000))
BAD = Network(id=NetworkId("bad"), name="bad", vni=Vni(5001))


def network_rows(record: Record, view: View) -> Iterable[Row]:
    assert isinstance(record, Network)
    yield Row("networks", record.vni, record.name)
    tuple(view.list(Subnet))
    if record.name == "bad":
        raise RecursionError("deep")


def test_a_record_that_cannot_be_compiled_has_no_rows_and_is_compiled_again_when_it_changes() -> (
    None
):
    store = MemoryStore([GOOD, BAD])
    with capture_logs() as logs:
        compiler = Compiler({Network: network_rows}, store)
    assert compiler.rows() == {"networks": {5000: "good"}}
    assert compiler.faults == {(Network, "bad"): "not compiled: RecursionError: deep"}
    assert [each["id"] for each in logs if each["event"] == "record not compiled"] == ["bad"]
    mended = Network(id=BAD.id, name="mended", vni=BAD.vni)
    changes = compiler.update(store.apply([Put(mended)]))
    assert changes.upserts == {RowKey("networks", 5001): "mended"}
    assert not compiler.faults
    compiler.update(store.apply([Put(BAD)]))
    assert compiler.rows() == {"networks": {5000: "good"}}


def test_a_listener_that_fails_is_logged_and_the_others_are_told() -> None:
    store = MemoryStore()
    heard: list[Sequence[Changed]] = []

    def failing(changed: Sequence[Changed]) -> None:
        raise ZeroDivisionError

    store.watch(failing)
    store.watch(heard.append)
    with capture_logs() as logs:
        asyncio.run(store.write([Put(GOOD)]))
    assert heard == [[Changed(None, GOOD)]]
    assert [each["event"] for each in logs].count("fault in weftd: a listener failed") == 1


async def test_what_is_not_compiled_is_shown_with_its_record() -> None:
    store = MemoryStore([GOOD, BAD])
    async with running(store, FakeSink(), network_rows) as engine:
        (failure,) = engine.failures()
    assert failure.records == [("network", "bad")]
    assert failure.reason == "not compiled: RecursionError: deep"


class FailingSink(FakeSink):
    def apply(
        self, upserts: Tables, deletes: Mapping[str, Collection[Hashable]]
    ) -> list[RowFailure]:
        raise OverflowError("int too big to convert")


async def test_the_engine_goes_on_whatever_its_sink_raises() -> None:
    store = MemoryStore([GOOD])
    async with running(store, FailingSink(), network_rows) as engine:
        await store.write([Put(Network(id=GOOD.id, name="other", vni=GOOD.vni))])
        await engine.settle()
        (failure,) = engine.failures()
    assert failure.records == [("network", "good")]
    assert failure.reason == "OverflowError: int too big to convert"


class FakeMap:
    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}

    def read(self) -> dict[bytes, bytes]:
        return dict(self.held)

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, KernelError]:
        self.held.update(items)
        return {}

    def delete(self, keys: Iterable[bytes]) -> dict[bytes, KernelError]:
        for key in keys:
            self.held.pop(key, None)
        return {}


def test_a_row_that_cannot_be_encoded_fails_alone() -> None:
    held = FakeMap()
    table = MapDriver(NETWORKS, lambda: held, Devices.__new__(Devices))  # type: ignore[arg-type,return-value]
    value = NetworkValue(False, 1, False)
    wanted: dict[Hashable, Hashable] = {
        -1: value,
        2**40: value,
        7: value,
        8: NetworkValue(False, 2**40, False),
    }
    failures = table.write(wanted, [2**40])
    assert {failure.row.key for failure in failures} == {-1, 2**40, 8}
    assert table.read(wanted) == {7: value}


class OneBadRow:
    """A table that knows no row of its own from another, and fails over one."""

    name = RESOLVERS.name

    def __init__(self) -> None:
        self.rows: dict[Hashable, Hashable] = {}

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        raise RecursionError

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        if 3 in upserts:
            raise ValueError("three")
        self.rows.update(upserts)
        for key in deletes:
            self.rows.pop(key, None)
        return []


def test_rows_of_a_table_that_fails_over_one_are_written_one_by_one(tmp_path: Path) -> None:
    sink, table = Sink(Settings(state_dir=str(tmp_path))), OneBadRow()
    table.rows = {IPv4Address("192.0.2.1"): 0}
    sink._drivers[table.name] = table
    assert sink._read(table.name, {}) == {}
    failures = sink._write(Step(RESOLVERS, {1: 1, 3: 3, 4: 4}, [IPv4Address("192.0.2.1")]))
    assert table.rows == {1: 1, 4: 4}
    assert failures == [RowFailure(RowKey(table.name, 3), "ValueError: three")]
