"""The engine's loop over a sink in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from tests.unit.engine.fake_sink import FakeSink, look_begins, network, running
from weft.engine import looks as looks_module
from weft.engine.engine import Engine
from weft.store.interface import Put
from weft.store.memory import MemoryStore

World = tuple[MemoryStore, FakeSink, Engine]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    store, sink = MemoryStore(), FakeSink()
    async with running(store, sink) as engine:
        yield store, sink, engine


async def test_settle_waits_for_a_change_that_a_look_at_the_kernel_took_over(world: World) -> None:
    store, sink, engine = world
    await look_begins(engine, sink)
    await store.write([Put(network(7, "foo"))])
    settled = asyncio.ensure_future(engine.settle())
    await asyncio.sleep(0)
    assert not settled.done()
    sink.may_look.set()
    await settled
    assert sink.rows == {"networks": {7: "foo"}}


async def test_being_asked_to_look_during_a_slow_look_never_puts_the_next_one_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sink, engine = world
    monkeypatch.setattr(engine._looks, "_reconcile_s", 0.01)
    monkeypatch.setattr(looks_module, "SPACING_FACTOR", 1_000_000)
    for _ in range(2):
        await look_begins(engine, sink)
        engine.repair_soon()
        sink.may_look.set()
    looked = asyncio.Event()
    engine.on_reconciled.append(looked.set)
    for _ in range(3):
        looked.clear()
        await looked.wait()


async def test_rows_that_one_reason_stops_are_one_line_of_the_log(world: World) -> None:
    store, sink, engine = world
    sink.refused = dict.fromkeys(range(1, 1001), "the map is full")
    with capture_logs() as lines:
        await store.write([Put(network(n)) for n in range(1, 1001)])
        await engine.settle()
    assert len(engine.failures()) == 1000
    (line,) = [line for line in lines if line["event"] == "rows not applied"]
    assert (line["table"], line["reason"], line["count"]) == ("networks", "the map is full", 1000)


async def test_what_is_not_well_is_looked_at_again_at_the_usual_pace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a look mended may have upset something else, such as a device that was made anew."""
    store, sink, engine = world
    told: list[bool] = []
    end = engine._looks.end

    def noted(now_s: float, took_s: float, *, is_well: bool) -> None:
        told.append(is_well)
        end(now_s, took_s, is_well=is_well)

    monkeypatch.setattr(engine._looks, "end", noted)
    looked = asyncio.Event()
    engine.on_reconciled.append(looked.set)

    async def look() -> bool:
        looked.clear()
        engine._looks.need()
        engine.repair_soon()
        await looked.wait()
        return told[-1]

    await store.write([Put(network(7))])
    await engine.settle()
    assert await look()
    sink.rows.clear()
    assert not await look()
    assert await look()
    sink.refused = {8: "busy"}
    await store.write([Put(network(8))])
    await engine.settle()
    assert not await look()


async def test_a_look_that_fails_is_shown_and_keeps_no_row_from_coming_in_force(
    world: World,
) -> None:
    store, sink, engine = world
    sink.problem = OSError("no such device")
    await look_begins(engine, sink)
    await store.write([Put(network(7))])
    sink.may_look.set()
    await engine.settle()
    assert engine.problem == "OSError: no such device"
    assert sink.rows == {"networks": {7: "n7"}}
