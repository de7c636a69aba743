"""A kernel of dicts under the engine's loop, which can be slow, refuse rows and fail."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Collection, Hashable, Iterable, Mapping

from weft.engine.compiler import CompileFunction
from weft.engine.engine import Engine
from weft.engine.rows import Row, RowFailure, RowKey
from weft.engine.sink import Counters, Tables
from weft.model.ids import NetworkId, Vni
from weft.model.records import Network, Record
from weft.store.interface import View
from weft.store.memory import MemoryStore

DEADLINE_S = 5.0


class FakeSink:
    """See `engine.sink.Sink`."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Hashable, Hashable]] = {}
        self.is_looking = threading.Event()
        self.may_look = threading.Event()
        self.may_look.set()
        self.is_slow = threading.Event()
        """It has come to a row of `slow`."""
        self.may_go_on = threading.Event()
        self.slow: set[Hashable] = set()
        """Keys at whose rows it waits until it may go on."""
        self.refused: dict[Hashable, str] = {}
        """Keys whose rows it refuses, and why."""
        self.is_whole = False
        """Refuses all rows if it refuses one, as nftables does."""
        self.applied: list[set[Hashable]] = []
        """The keys of each call."""
        self.problem: Exception | None = None
        """What a look raises."""

    def start(self) -> None:
        """Nothing to prepare."""

    def actual(self, desired: Tables) -> dict[str, dict[Hashable, Hashable]]:
        """Waits until it may look."""
        self.is_looking.set()
        assert self.may_look.wait(DEADLINE_S)
        if self.problem is not None:
            raise self.problem
        return {table: dict(rows) for table, rows in self.rows.items()}

    def apply(
        self, upserts: Tables, deletes: Mapping[str, Collection[Hashable]]
    ) -> list[RowFailure]:
        """Takes what it does not refuse."""
        changes = (*upserts.values(), *deletes.values())
        keys = {key for rows in changes for key in rows}
        self.applied.append(keys)
        if keys & self.slow:
            self.is_slow.set()
            assert self.may_go_on.wait(DEADLINE_S)
        failures = []
        refused = keys & self.refused.keys()
        for table, rows in upserts.items():
            for key, value in rows.items():
                if key in refused or (refused and self.is_whole):
                    reason = self.refused.get(key, "beside a row that is refused")
                    failures.append(RowFailure(RowKey(table, key), reason))
                else:
                    self.rows.setdefault(table, {})[key] = value
        for table, gone in deletes.items():
            for key in gone:
                self.rows.get(table, {}).pop(key, None)
        return failures

    def follow(self) -> list[RowFailure]:
        """Nothing rests on others."""
        return []

    @property
    def follow_in_s(self) -> float | None:
        """Nothing is due."""
        return None

    def counters(self) -> Mapping[str, Counters]:
        """No traffic."""
        return {}

    def stop(self) -> None:
        """Nothing to give back."""


def network(number: int, name: str = "") -> Network:
    """A record whose only row has its number as key and its name as value."""
    return Network(id=NetworkId(f"n{number}"), name=name or f"n{number}", vni=Vni(number))


def network_rows(record: Record, view: View) -> Iterable[Row]:
    """One row a network."""
    assert isinstance(record, Network)
    return [Row("networks", record.vni, record.name)]


@contextlib.asynccontextmanager
async def running(
    store: MemoryStore, sink: FakeSink, function: CompileFunction = network_rows
) -> AsyncIterator[Engine]:
    """An engine that has looked once."""
    engine = Engine(store, {Network: function}, sink, reconcile_s=3600)
    task = asyncio.create_task(engine.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await engine.ready.wait()
            yield engine
        assert not task.done()
    finally:
        sink.may_look.set()
        sink.may_go_on.set()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def look_begins(engine: Engine, sink: FakeSink) -> None:
    """The engine's thread is busy until `sink.may_look`."""
    sink.may_look.clear()
    sink.is_looking.clear()
    engine._looks.need()
    engine.repair_soon()
    await came(sink.is_looking)


async def came(event: threading.Event) -> None:
    """Wait for what happens in the engine's thread."""
    assert await asyncio.to_thread(event.wait, DEADLINE_S)
