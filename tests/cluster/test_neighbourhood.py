"""What a host publishes of whom it reaches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from tests.cluster.fake_links import FakeHostLinks, link
from tests.cluster.hosts import until
from weft.cluster import neighbourhood
from weft.cluster.neighbourhood import Neighbourhood
from weft.cluster.neighbourhood import Path as DataPath
from weft.model.addresses import ip_address
from weft.model.ids import HostId
from weft.model.records import ForgottenHost, Neighbour, Neighbours
from weft.store.interface import Changed, Put
from weft.store.memory import MemoryStore

ME, B, C = HostId("a"), HostId("b"), HostId("c")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """One host that publishes its neighbours."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.clock = Clock()
        self.links = FakeHostLinks()
        self.written: list[Changed] = []
        store.watch(self.written.extend)
        self.neighbourhood = Neighbourhood(
            store, ME, lambda: self.links.links().values(), self.clock
        )
        self.links.changed.append(self.neighbourhood.look_again)

    def published(self) -> tuple[Neighbour, ...]:
        record = self.store.get(Neighbours, ME)
        return record.neighbours if record is not None else ()

    def hosts(self) -> list[str]:
        return [one.host_id for one in self.published()]

    def has(self, *hosts: str) -> Callable[[], bool]:
        return lambda: self.hosts() == list(hosts)

    async def passes(self, seconds: float) -> None:
        """Time goes by, and it has looked again."""
        self.clock.now_s += seconds
        self.neighbourhood.look_again()
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(store: MemoryStore | None = None) -> AsyncIterator[World]:
    world = World(store or MemoryStore())
    task = asyncio.ensure_future(world.neighbourhood.run())
    try:
        yield world
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbourhood, "COALESCE_S", 0.001)


async def test_links_are_published_by_host_and_only_when_they_change() -> None:
    async with running() as world:
        world.links.put(link(C, "192.0.2.3"), link(B, "192.0.2.2"))
        await until(world.has(B, C))
        assert world.published()[0].address == ip_address("192.0.2.2")
        assert all(one.has_link for one in world.published())
        writes = len(world.written)
        world.links.put(link(B, "192.0.2.2", rtt_s=1.0), link(C, "192.0.2.3"))
        await world.passes(1.0)
        assert len(world.written) == writes


async def test_a_link_that_went_counts_for_a_while_and_one_that_came_back_was_never_gone() -> None:
    async with running() as world:
        world.links.put(link(B), link(C))
        await until(world.has(B, C))
        writes = len(world.written)
        world.links.put(link(C))
        await world.passes(neighbourhood.GRACE_S - 1.0)
        assert world.hosts() == [B, C]
        world.links.put(link(B), link(C))
        await world.passes(neighbourhood.GRACE_S * 3)
        assert len(world.written) == writes
        world.links.put(link(C))
        await world.passes(0.0)
        await world.passes(neighbourhood.GRACE_S + 1.0)
        await until(world.has(C))


async def test_a_weftd_that_starts_again_takes_nobody_away_before_it_had_time_to_link() -> None:
    stated = Neighbour(
        host_id=B, address=ip_address("192.0.2.2"), path_mtu_bytes=9000, is_path_broken=False
    )
    store = MemoryStore([Neighbours(id=ME, host_id=ME, neighbours=(stated,))])
    async with running(store) as world:
        await world.passes(neighbourhood.GRACE_S - 1.0)
        assert world.published() == (stated,)
        world.links.put(link(B, "192.0.2.2"))
        await world.passes(2.0)
        assert world.published() == (stated,)
        # Its path was not measured again.
        await world.passes(neighbourhood.PATHS_AT_START_S)
        await until(lambda: world.published()[0].path_mtu_bytes == 0)


async def test_paths_are_published_with_and_without_a_link() -> None:
    async with running() as world:
        world.links.put(link(B, "192.0.2.2"))
        world.neighbourhood.paths = lambda: {
            B: DataPath(ip_address("192.0.2.22"), 1500, False),
            C: DataPath(ip_address("192.0.2.3"), 0, True),
        }
        world.neighbourhood.look_again()
        await until(world.has(B, C))
        assert world.published() == (
            Neighbour(host_id=B, address=ip_address("192.0.2.22"), path_mtu_bytes=1500),
            Neighbour(
                host_id=C, address=ip_address("192.0.2.3"), is_path_broken=True, has_link=False
            ),
        )


async def test_a_host_that_was_removed_is_no_neighbour() -> None:
    async with running() as world:
        world.links.put(link(B), link(C))
        await until(world.has(B, C))
        await world.store.write([Put(ForgottenHost(id=B))])
        world.neighbourhood.look_again()
        await until(world.has(C))
