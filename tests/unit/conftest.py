"""A weftd without a kernel: the real API and the real control over records in memory."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from tests.surroundings import Alone, AtOnce, OtherHosts, SoundRecords, WholeSpace
from weft.api.client import Client
from weft.api.context import Context as ApiContext
from weft.api.server import ApiServer
from weft.api.watching import Feed
from weft.cluster.interface import LinkInfo, Problem
from weft.config import Settings
from weft.control.context import Context, Target
from weft.control.control import Control
from weft.dns.lookup import LookupAnswer, LookupRecord
from weft.engine.failures import Failure
from weft.engine.sink import Counters
from weft.errors import InvalidError, NotFoundError
from weft.metrics import Metrics
from weft.model.addresses import ip_address
from weft.model.ids import HostId
from weft.model.records import Host
from weft.observers.flows.following import Followers
from weft.observers.flows.interface import Follower, News, RuleCount, Table, Told
from weft.observers.flows.seen import FlowsAsked, FlowSeen
from weft.observers.traces.seen import Asked, Moved
from weft.store.memory import MemoryStore
from weft.topology.encryption import Hindrance
from weft.topology.routes import Route

T = TypeVar("T")
DEADLINE_S = 10.0


PUBLIC_KEY = "s/U1UP4ptPuQ7Nh0rntQCJGICoGp1CDqWN64bpWUrwQ="


class FakeCounters(NamedTuple):
    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    drops: Mapping[str, int] = {}


class FakeEngine:
    """Says what a test tells it to say."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.ready.set()
        self.reconciles_total = 3
        self.repairs_total = 1
        self.failed: list[Failure] = []
        self.traffic: dict[str, Counters] = {}
        self.delay_s = 0.0

    def failures(self) -> Sequence[Failure]:
        return self.failed

    async def counters(self) -> Mapping[str, Counters]:
        await asyncio.sleep(self.delay_s)
        return self.traffic


class FakeDns:
    """Knows one name and one address."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        self.ready = asyncio.Event()
        self.ready.set()

    def upstreams(self) -> Sequence[str]:
        return ["192.0.2.53"]

    def statistics(self) -> Mapping[str, int]:
        return {"queries": 7}

    def questions(self) -> Mapping[str, int]:
        return {"asked": 3, "waiting": 0}

    async def lookup(self, name: str, type: str, network_id: str | None) -> LookupAnswer:
        if type not in ("A", "AAAA", "PTR", "SRV"):
            raise InvalidError(f"type {type}: unknown")
        if type == "PTR" and name == "2.0.9.10.in-addr.arpa":
            return LookupAnswer(name, "NOERROR", [LookupRecord(name, "PTR", 1, "web.foo.")])
        if name != "web":
            return LookupAnswer(name, "NXDOMAIN", [])
        return LookupAnswer(
            name, "NOERROR", [LookupRecord("web.foo.weft.internal.", type, 1, "10.9.0.2")]
        )


class FakeTargets:
    """Two containers run: web and db."""

    async def resolve(self, target: str) -> Target:
        if target not in ("web", "db"):
            raise NotFoundError(f"attach {target}: no container, process or namespace is called so")
        container_id = target.encode().hex().ljust(64, "0")
        return Target(f"/run/netns/{target}", hash(target), frozenset({"lo"}), container_id, target)


class FakeEncryption:
    """This host's part in encryption, waiting for a neighbour."""

    obstacle = ""
    problem = ""
    waits_for = ("host h2 does not answer WireGuard on UDP port 6783: is a firewall between?",)
    key_made_s = 1000.0

    def hindrances(self) -> Sequence[Hindrance]:
        return ()

    async def rotate(self) -> str:
        """New keys, the same each time."""
        return PUBLIC_KEY


class FakeSnooping:
    """This host's part in multicast: it has heard nothing."""

    def statistics(self) -> dict[str, int]:
        return {}


class LastNews(NamedTuple):
    """A follower that hears this and no more."""

    its_news: News
    is_behind: bool = False

    async def news(self) -> AsyncGenerator[News, None]:
        yield self.its_news

    def close(self) -> None:
        """It has ended."""


class FakeFlows:
    """This host's connections, as a test says that they are."""

    def __init__(self) -> None:
        self.table = Table()
        self.seen: list[FlowSeen] = []
        self.asked: list[FlowsAsked] = []
        self.followers = Followers()
        self.counts: list[RuleCount] = []
        self.last: News | None = None
        """What whoever follows hears, and no more; None: what the followers are told."""

    async def told(self, asked: FlowsAsked) -> Told:
        self.asked.append(asked)
        return Told(self.seen[: asked.most], len(self.seen) <= asked.most)

    async def rule_counts(self) -> Sequence[RuleCount]:
        return self.counts

    def follow(self) -> Follower:
        return self.followers.add() if self.last is None else LastNews(self.last)


class FakeTraces:
    """This host's part of traces, as a test says. See `observers.traces.interface.Traces`."""

    def __init__(self) -> None:
        self.moved: Sequence[Moved] = ()
        self.asked: list[Asked] = []

    async def told(self, asked: Asked) -> Sequence[Moved]:
        """See `Traces.told`."""
        self.asked.append(asked)
        return self.moved


class FakeMembers(Alone):
    """Other hosts, as a test says that they are."""

    def __init__(self) -> None:
        self.links: dict[HostId, LinkInfo] = {}
        self.problems: list[Problem] = []
        self.reached: dict[HostId, Route] = {}
        self.since_s: dict[HostId, float] = {}
        self.is_removed = False
        self.has_passed_on = True
        self.rotations = 0

    def rotate(self) -> None:
        self.rotations += 1


class FakeRecords(SoundRecords):
    """One of them cannot be used."""

    def __init__(self) -> None:
        self.mended: list[tuple[str, str]] = []

    async def mend(self, kind: str, id: str) -> None:
        if (kind, id) != ("network", "bad"):
            await super().mend(kind, id)
        self.mended.append((kind, id))


class Weftd:
    """One served API, its event loop in a thread of its own."""

    def __init__(self, folder: Path, deadline_s: float = DEADLINE_S) -> None:
        self.settings = Settings(
            name="h1",
            run_dir=str(folder / "run"),
            state_dir=str(folder / "state"),
            docker_plugin_dir=str(folder / "plugins"),
        )
        self.store = MemoryStore(
            [Host(id=HostId("a" * 16), name="h1", underlay=(ip_address("192.0.2.10"),))]
        )
        self.engine = FakeEngine()
        self.dns = FakeDns()
        self.members = FakeMembers()
        self.records = FakeRecords()
        self.others = OtherHosts()
        self.flows = FakeFlows()
        self.traces = FakeTraces()
        self.control = Control(
            Context(
                store=self.store,
                settler=AtOnce(),
                settings=self.settings,
                host_id=HostId("a" * 16),
                wall_s=time.time,
                random_bytes=random.Random(7).randbytes,
                targets=FakeTargets(),
                space=WholeSpace,
                host_routes=tuple,
            ),
            self.members,
            self.records,
        )
        self.feed = Feed(self.store, self.control.watch, "run1")
        self.is_stopped = threading.Event()
        self._deadline_s = deadline_s
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def client(self) -> Client:
        return Client(self.settings.api_socket, timeout_s=DEADLINE_S)

    def start(self) -> None:
        self._thread.start()
        assert self._listening.wait(DEADLINE_S)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await something on the daemon's loop."""

        async def call() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(DEADLINE_S)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self) -> None:
        dns, started_s = self.dns, time.time()
        metrics = Metrics(self.control, self.engine, dns, started_s, FakeSnooping(), self.flows)
        server = ApiServer(
            ApiContext(
                settings=self.settings,
                control=self.control,
                engine=self.engine,
                dns=dns,
                started_s=started_s,
                stop=self.is_stopped.set,
                metrics=metrics.text,
                encryption=FakeEncryption(),
                multicast=FakeSnooping(),
                flows=self.flows,
                traces=self.traces,
                others=self.others,
                feed=self.feed,
            ),
            deadline_s=self._deadline_s,
        )
        self._task = asyncio.ensure_future(server.run())
        try:
            await server.listening.wait()
            self._listening.set()
            await self._task
        except asyncio.CancelledError:
            pass


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a name short enough for a socket in it."""
    path = Path(tempfile.mkdtemp(prefix="api-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def weftd(folder: Path) -> Iterator[Weftd]:
    daemon = Weftd(folder)
    daemon.start()
    yield daemon
    daemon.stop()
