"""The engine's loop over a sink in memory."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Collection, Hashable, Iterable, Mapping

import pytest
from structlog.testing import capture_logs

from weft.engine import engine as engine_module
from weft.engine.engine import Counters, Engine, Tables, periodic_pause_s
from weft.engine.rows import Row, RowFailure, RowKey
from weft.model.ids import NetworkId, Vni
from weft.model.records import Network, Record
from weft.store.interface import Put, View
from weft.store.memory import MemoryStore

DEADLINE_S = 5.0


class SlowSink:
    """Rows in a dict. A look at them waits until it is let through."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Hashable, Hashable]] = {}
        self.is_looking = threading.Event()
        self.may_look = threading.Event()
        self.may_look.set()

    def start(self) -> None:
        pass

    def actual(self, desired: Tables) -> dict[str, dict[Hashable, Hashable]]:
        self.is_looking.set()
        assert self.may_look.wait(DEADLINE_S)
        return {table: dict(rows) for table, rows in self.rows.items()}

    def apply(
        self, upserts: Tables, deletes: Mapping[str, Collection[Hashable]]
    ) -> list[RowFailure]:
        for table, rows in upserts.items():
            self.rows.setdefault(table, {}).update(rows)
        return []

    def follow(self) -> list[RowFailure]:
        return []

    @property
    def follow_in_s(self) -> float | None:
        return None

    def counters(self) -> Mapping[str, Counters]:
        return {}

    def stop(self) -> None:
        pass


def network_rows(record: Record, view: View) -> Iterable[Row]:
    assert isinstance(record, Network)
    return [Row("networks", record.vni, record.name)]


@pytest.fixture
async def running() -> AsyncIterator[tuple[MemoryStore, SlowSink, Engine]]:
    store, sink = MemoryStore(), SlowSink()
    engine = Engine(store, {Network: network_rows}, sink, reconcile_s=3600)
    task = asyncio.create_task(engine.run())
    async with asyncio.timeout(DEADLINE_S):
        await engine.ready.wait()
    yield store, sink, engine
    sink.may_look.set()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_settle_waits_for_a_change_that_a_look_at_the_kernel_took_over(
    running: tuple[MemoryStore, SlowSink, Engine],
) -> None:
    store, sink, engine = running
    sink.may_look.clear()
    sink.is_looking.clear()
    engine.repair_soon()
    await store.write([Put(Network(id=NetworkId("1" * 16), name="foo", vni=Vni(7)))])
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.to_thread(sink.is_looking.wait, DEADLINE_S)
        settled = asyncio.ensure_future(engine.settle())
        await asyncio.sleep(0)
        assert not settled.done()
        sink.may_look.set()
        await settled
    assert sink.rows == {"networks": {7: "foo"}}


async def test_being_asked_to_look_during_a_slow_look_never_puts_the_next_one_off(
    running: tuple[MemoryStore, SlowSink, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sink, engine = running
    monkeypatch.setattr(engine, "_reconcile_s", 0.01)
    monkeypatch.setattr(engine_module, "SPACING_FACTOR", 1_000_000)
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(2):
            sink.may_look.clear()
            sink.is_looking.clear()
            engine.repair_soon()
            await asyncio.to_thread(sink.is_looking.wait, DEADLINE_S)
            engine.repair_soon()
            sink.may_look.set()
        looked = asyncio.Event()
        engine.on_reconciled = looked.set
        for _ in range(3):
            looked.clear()
            await looked.wait()


async def test_rows_that_one_reason_stops_are_one_line_of_the_log(
    running: tuple[MemoryStore, SlowSink, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sink, engine = running

    def full(upserts: Tables, deletes: Mapping[str, Collection[Hashable]]) -> list[RowFailure]:
        return [
            RowFailure(RowKey(table, key), "the map is full")
            for table, rows in upserts.items()
            for key in rows
        ]

    monkeypatch.setattr(sink, "apply", full)
    with capture_logs() as lines:
        await store.write(
            [Put(Network(id=NetworkId(f"n{n}"), name=f"n{n}", vni=Vni(n))) for n in range(1, 1001)]
        )
        await engine.settle()
    assert len(engine.failures()) == 1000
    (line,) = [line for line in lines if line["event"] == "rows not applied"]
    assert (line["table"], line["reason"], line["count"]) == ("networks", "the map is full", 1000)


@pytest.mark.parametrize(
    ("took_s", "pause_s"), [(0.0, 30.0), (0.1, 30.0), (0.3, 60.0), (1.0, 200.0), (60.0, 300.0)]
)
def test_looks_that_take_long_are_made_less_often_but_made(took_s: float, pause_s: float) -> None:
    assert periodic_pause_s(30.0, took_s) == pytest.approx(pause_s)


async def test_rows_that_failed_are_tried_again_at_the_usual_pace_however_long_a_look_takes(
    running: tuple[MemoryStore, SlowSink, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sink, engine = running

    def refused(upserts: Tables, deletes: Mapping[str, Collection[Hashable]]) -> list[RowFailure]:
        return [RowFailure(RowKey("networks", 7), "busy")] if upserts else []

    monkeypatch.setattr(sink, "apply", refused)
    assert engine._pause_s(60.0) == 10 * 3600
    await store.write([Put(Network(id=NetworkId("1" * 16), name="foo", vni=Vni(7)))])
    await engine.settle()
    assert engine._pause_s(60.0) == 3600


async def test_a_look_that_mended_something_is_followed_by_one_at_the_usual_pace(
    running: tuple[MemoryStore, SlowSink, Engine],
) -> None:
    """What it mended may have upset something else, such as a device that was made anew."""
    store, sink, engine = running
    await store.write([Put(Network(id=NetworkId("1" * 16), name="foo", vni=Vni(7)))])
    await engine.settle()
    for is_damaged, pause_s in ((True, 3600), (False, 10 * 3600)):
        if is_damaged:
            sink.rows.clear()
        looks = engine.reconciles_total
        engine.repair_soon()
        async with asyncio.timeout(DEADLINE_S):
            while engine.reconciles_total == looks or engine._is_busy:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert engine._pause_s(60.0) == pause_s
