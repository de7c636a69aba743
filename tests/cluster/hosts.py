"""Hosts of a cluster in one process: real transports over loopback, quick in all that waits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from weft.cluster.interface import Endpoint, Identity, RefusalOf, Target
from weft.cluster.link import Pace
from weft.cluster.secret import Secrets
from weft.cluster.tls_transport import TlsTransport
from weft.model.ids import HostId

QUICK = Pace(
    ping_s=0.2,
    dead_s=1.5,
    probe_s=0.5,
    clone_probe_s=0.6,
    greeting_s=3.0,
    tls_s=3.0,
    connect_s=1.0,
    stagger_s=0.1,
    first_retry_s=0.05,
    last_retry_s=0.5,
    refused_retry_s=0.5,
    courtesy_s=0.05,
    unwanted_s=0.5,
)
DEADLINE_S = 40.0


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition."""
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, what or "it did not come true in time"
        await asyncio.sleep(0.01)


class Heard:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.messages: list[tuple[str, bytes]] = []
        self.up: set[str] = set()

    def link_up(self, peer: str) -> None:
        assert peer not in self.up, "a second link to one host"
        self.up.add(peer)
        self.events.append(("up", peer))

    def link_down(self, peer: str) -> None:
        self.up.remove(peer)
        self.events.append(("down", peer))

    def receive(self, peer: str, data: bytes) -> None:
        assert peer in self.up, "a message of a link that is not up"
        self.messages.append((peer, data))


class TestHost:
    """One host: its state directory and, while it runs, its transport."""

    __test__ = False

    def __init__(self, folder: Path, host_id: str, secrets: Secrets, **options: object) -> None:
        self.folder = folder
        self.id = HostId(host_id)
        self.secrets = secrets
        self.heard = Heard()
        self.removed: dict[HostId, str] = {}
        refusal_of: RefusalOf = self.removed.get
        values = {
            "port": 0,
            "addresses": ("127.0.0.1",),
            "pace": QUICK,
            "refusal_of": refusal_of,
            "randomness": random.Random(host_id),
            **options,
        }
        identity = Identity(
            host_id=self.id,
            name=f"host-{host_id[:4]}",
            version="1.0",
            instance=os.urandom(8).hex(),
            boot_id="boot",
        )
        self.transport = TlsTransport(identity, secrets, **values)  # type: ignore[arg-type]
        self.transport.listener = self.heard
        self.task: asyncio.Task[None] | None = None

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.transport.port)

    def linked(self) -> set[HostId]:
        return set(self.transport.links())

    def want(self, *hosts: TestHost) -> None:
        self.transport.want([Target(host_id=each.id, endpoints=(each.endpoint,)) for each in hosts])

    def want_at(self, *endpoints: Endpoint) -> None:
        self.transport.want([Target(endpoints=(each,)) for each in endpoints])

    def reasons(self) -> list[str]:
        return [problem.reason for problem in self.transport.problems()]


@contextlib.asynccontextmanager
async def running(*hosts: TestHost) -> AsyncIterator[None]:
    """All of them run, and listen."""
    for host in hosts:
        host.task = asyncio.create_task(host.transport.run())
    try:
        await until(lambda: all(host.transport.port for host in hosts))
        yield
    finally:
        await stop(*hosts)


async def stop(*hosts: TestHost) -> None:
    """End them; what failed in one is raised."""
    tasks = [host.task for host in hosts if host.task is not None]
    for host in hosts:
        host.task = None
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


class Nursery:
    """Makes the hosts of one cluster below a folder."""

    def __init__(self, folder: Path, token: str = "") -> None:
        self.folder = folder
        self.token = token
        self._made = 0

    def host(self, host_id: str = "", **options: object) -> TestHost:
        self._made += 1
        folder = self.folder / f"{self._made}"
        if self.token:
            secrets = Secrets.join(folder, self.token)
        else:
            secrets = Secrets.found(folder, os.urandom, time.time())
            self.token = secrets.token()
        return TestHost(folder, host_id or f"{self._made:016x}", secrets, **options)

    def hosts(self, count: int) -> Sequence[TestHost]:
        return [self.host() for _ in range(count)]
