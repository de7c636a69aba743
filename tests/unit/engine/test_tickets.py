"""A commit waits for the rows of its own write, and for no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Hashable, Iterable, Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from tests.unit.engine.fake_sink import FakeSink, came, look_begins, network, network_rows, running
from weft.engine.compiler import Compiler
from weft.engine.engine import Engine
from weft.engine.failures import Failure
from weft.engine.intake import MOST_AT_ONCE
from weft.engine.rows import Row, RowChanges, RowFailure, RowKey
from weft.engine.sink import Tables
from weft.model.records import Network, Record
from weft.store.interface import Changed, Delete, Key, Put, View
from weft.store.memory import MemoryStore


class World:
    """A store, an engine, and commits."""

    def __init__(self, store: MemoryStore, sink: FakeSink, engine: Engine) -> None:
        self.store, self.sink, self.engine = store, sink, engine

    async def commit(
        self, *changes: Put | Delete, beneath: Iterable[Key] = ()
    ) -> Sequence[Failure]:
        """Write, and wait for what came of it."""
        keys = [
            (type(each.record), each.record.id) if isinstance(each, Put) else (each.kind, each.id)
            for each in changes
        ]
        with self.engine.ticket(keys, beneath) as ticket:
            await self.store.write(changes)
            return await ticket.settled()

    async def look_begins(self) -> None:
        """The engine's thread is busy until `sink.may_look`."""
        await look_begins(self.engine, self.sink)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    store, sink = MemoryStore(), FakeSink()
    async with running(store, sink) as engine:
        yield World(store, sink, engine)


async def test_a_commit_returns_when_its_rows_are_in_force(world: World) -> None:
    assert not await world.commit(Put(network(1)), Put(network(2)))
    assert world.sink.rows == {"networks": {1: "n1", 2: "n2"}}
    assert not await world.commit(Delete(Network, "n1"))
    assert world.sink.rows == {"networks": {2: "n2"}}


async def test_a_commit_that_changes_nothing_waits_for_nothing(world: World) -> None:
    await world.commit(Put(network(1)))
    await world.look_begins()
    assert not await world.commit(Put(network(1)))
    assert not world.sink.may_look.is_set()


async def test_slow_rows_of_another_record_do_not_hold_a_commit(world: World) -> None:
    world.sink.slow = {1}
    await world.look_begins()
    await world.store.write([Put(network(1))])
    commit = asyncio.ensure_future(world.commit(Put(network(2))))
    await asyncio.sleep(0)
    await world.store.write([Put(network(3))])
    world.sink.may_look.set()
    assert not await commit
    assert world.sink.rows == {"networks": {2: "n2"}}
    await came(world.sink.is_slow)
    world.sink.may_go_on.set()
    await world.engine.settle()
    assert world.sink.rows == {"networks": {1: "n1", 2: "n2", 3: "n3"}}


async def test_failing_rows_of_another_record_do_not_fail_a_commit(world: World) -> None:
    world.sink.refused = {1: "device busy"}
    await world.look_begins()
    await world.store.write([Put(network(1))])
    commit = asyncio.ensure_future(world.commit(Put(network(2))))
    await asyncio.sleep(0)
    world.sink.may_look.set()
    assert not await commit
    await world.engine.settle()
    assert [failure.reason for failure in world.engine.failures()] == ["device busy"]


async def test_a_row_of_its_own_that_fails_is_named_with_its_record_and_cause(
    world: World,
) -> None:
    world.sink.refused = {1: "device busy"}
    assert await world.commit(Put(network(1)), Put(network(2))) == (
        Failure(RowKey("networks", 1), [("network", "n1")], "device busy"),
    )
    assert world.sink.rows == {"networks": {2: "n2"}}


async def test_a_row_that_failed_before_is_no_failure_of_a_later_write_that_leaves_it_alone() -> (
    None
):
    def rows(record: Record, view: View) -> Iterable[Row]:
        assert isinstance(record, Network)
        return [Row("networks", record.vni, True), Row("names", record.name, True)]

    store, sink = MemoryStore(), FakeSink()
    async with running(store, sink, rows) as engine:
        world = World(store, sink, engine)
        sink.refused = {1: "device busy"}
        (failure,) = await world.commit(Put(network(1)))
        assert failure.row == RowKey("networks", 1)
        assert not await world.commit(Put(network(1, "other")))


async def test_commits_that_wait_together_fail_each_for_itself(world: World) -> None:
    """Even where one row that is refused has all be refused that come with it."""
    world.sink.is_whole, world.sink.refused = True, {1: "no"}
    await world.look_begins()
    commits = [asyncio.ensure_future(world.commit(Put(network(n)))) for n in (1, 2, 3)]
    await asyncio.sleep(0)
    world.sink.may_look.set()
    failures = await asyncio.gather(*commits)
    assert [[each.reason for each in of_one] for of_one in failures] == [["no"], [], []]
    assert world.sink.rows == {"networks": {2: "n2", 3: "n3"}}


async def test_what_stands_in_the_way_and_is_to_go_fails_no_commit() -> None:
    """A commit goes before what was written earlier, so it is tried once more after that."""

    class OneAtATime(FakeSink):
        def apply(
            self, upserts: Tables, deletes: Mapping[str, Collection[Hashable]]
        ) -> list[RowFailure]:
            self.refused = {2: "1 is in the way"} if 1 in self.rows.get("networks", {}) else {}
            return super().apply(upserts, deletes)

    store, sink = MemoryStore([network(1)]), OneAtATime()
    async with running(store, sink) as engine:
        world = World(store, sink, engine)
        await world.look_begins()
        await store.write([Delete(Network, "n1")])
        commit = asyncio.ensure_future(world.commit(Put(network(2))))
        await asyncio.sleep(0)
        with capture_logs() as lines:
            sink.may_look.set()
            assert not await commit
        assert sink.rows == {"networks": {2: "n2"}}
        assert sink.applied[-3:] == [{2}, {1}, {2}]
        assert not [line for line in lines if line["event"] == "rows not applied"]


async def test_rows_beneath_go_along(world: World) -> None:
    world.sink.slow = {3}
    await world.look_begins()
    await world.store.write([Put(network(1))])
    await world.store.write([Put(network(3))])
    commit = asyncio.ensure_future(world.commit(Put(network(2)), beneath=[(Network, "n1")]))
    await asyncio.sleep(0)
    world.sink.may_look.set()
    assert not await commit
    assert world.sink.rows == {"networks": {1: "n1", 2: "n2"}}


async def test_a_write_while_rows_are_applied_waits_for_its_own_turn(world: World) -> None:
    world.sink.slow = {1}
    first = asyncio.ensure_future(world.commit(Put(network(1))))
    await came(world.sink.is_slow)
    second = asyncio.ensure_future(world.commit(Put(network(1, "later")), Put(network(2))))
    await asyncio.sleep(0)
    assert not first.done() and not second.done()
    world.sink.may_go_on.set()
    assert not await first
    assert not await second
    assert world.sink.rows == {"networks": {1: "later", 2: "n2"}}


async def test_of_many_changes_a_commit_waits_for_few(world: World) -> None:
    """What is slow of them comes after those that were taken before the commit came."""
    world.sink.slow = {1}
    for number in range(1, 4 * MOST_AT_ONCE):
        await world.store.write([Put(network(number))])
    await came(world.sink.is_slow)
    assert len(world.sink.applied[-1]) == MOST_AT_ONCE
    commit = asyncio.ensure_future(world.commit(Put(network(5000))))
    await asyncio.sleep(0)
    world.sink.may_go_on.set()
    await commit
    assert world.sink.applied[-1] == {5000} or world.sink.applied[-2] == {5000}
    await world.engine.settle()
    assert len(world.sink.rows["networks"]) == 4 * MOST_AT_ONCE


async def test_a_commit_is_told_of_a_look_that_failed(world: World) -> None:
    world.sink.problem = OSError("no such device")
    await world.look_begins()
    commit = asyncio.ensure_future(world.commit(Put(network(1))))
    await asyncio.sleep(0)
    world.sink.may_look.set()
    (failure,) = await commit
    assert failure.records == [("network", "n1")]
    assert failure.reason == "OSError: no such device"


async def test_a_record_that_is_not_compiled_fails_its_commit_alone() -> None:
    def rows(record: Record, view: View) -> Iterable[Row]:
        if record.id == "n1":
            raise RecursionError("deep")
        return network_rows(record, view)

    store, sink = MemoryStore(), FakeSink()
    async with running(store, sink, rows) as engine:
        world = World(store, sink, engine)
        bad, good = await asyncio.gather(
            world.commit(Put(network(1))), world.commit(Put(network(2)))
        )
    assert [each.reason for each in bad] == ["not compiled: RecursionError: deep"]
    assert not good


async def test_a_compiler_that_fails_compiles_all_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(changed: Iterable[Changed]) -> RowChanges:
        monkeypatch.undo()
        raise ZeroDivisionError

    monkeypatch.setattr(world.engine._compiler, "update", fail)
    with capture_logs() as lines:
        assert not await world.commit(Put(network(1)))
    assert world.sink.rows == {"networks": {1: "n1"}}
    assert str(lines[0]["event"]).startswith("fault in weftd: changes not compiled")
    assert not await world.commit(Put(network(2)))


async def test_nothing_is_compiled_while_the_store_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was written is compiled in the order in which it was."""
    compiled: list[Sequence[Changed]] = []
    update = world.engine._compiler.update

    def counted(changed: Sequence[Changed]) -> RowChanges:
        compiled.append(changed)
        return update(changed)

    monkeypatch.setattr(world.engine._compiler, "update", counted)
    for number in range(1, 20):
        await world.store.write([Put(network(1, f"name-{number}"))])
    assert not compiled
    await world.engine.settle()
    names = [change.new.name for (change,) in compiled if isinstance(change.new, Network)]
    assert names == [f"name-{number}" for number in range(1, 20)]
    assert world.sink.rows == {"networks": {1: "name-19"}}


async def test_whatever_commits_come_together_the_kernel_ends_as_a_compile_from_nothing(
    world: World,
) -> None:
    world.sink.refused = {13: "unlucky"}

    async def live(number: int) -> None:
        for round in range(5):
            if round % 2:
                await world.commit(Delete(Network, f"n{number}"))
            else:
                failures = await world.commit(Put(network(number, f"{number}-{round}")))
                assert bool(failures) == (number == 13)

    await asyncio.gather(*(live(number) for number in range(1, 30)))
    fresh = Compiler({Network: network_rows}, world.store).rows()["networks"]
    assert world.sink.rows["networks"] == {k: v for k, v in fresh.items() if k != 13}
