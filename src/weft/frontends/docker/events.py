"""Follows Docker's event stream, and looks at everything whenever the stream begins.

The plugin protocol says neither what a network nor what a container is called, and nothing at all
about what happened while weftd or dockerd was away. This is where Weft learns it: in the
background, never while a plugin call waits for the answer.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from weft.cancellation import raise_if_cancelled
from weft.errors import UnavailableError, WeftError
from weft.frontends.docker.answers import DRIVER, Event
from weft.frontends.docker.dockerd import Dockerd, connect, now_s
from weft.frontends.docker.following import RecordFollower
from weft.frontends.docker.reconcile.looks import Looks
from weft.frontends.docker.state import DockerState

log = structlog.get_logger()

_FIRST_RETRY_S = 0.25
_LAST_RETRY_S = 1.0
_AT_ONCE = 8
_QUEUE_SIZE = 1024
"""Events that wait for their turn. When it is full they are dropped: the next look mends it."""


class EventFollower:
    """Keeps a connection to Docker as long as there is one to be had."""

    def __init__(
        self,
        socket: str,
        state: DockerState,
        looks: Looks,
        records: RecordFollower,
        interval_s: float,
    ) -> None:
        self._socket = socket
        self._state = state
        self._looks = looks
        self._records = records
        self._interval_s = interval_s
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self.is_connected = False

    async def run(self) -> None:
        """Follow until cancelled."""
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                await self._follow()
                retry_s = _FIRST_RETRY_S
            except* WeftError as errors:
                log.debug("docker cannot be followed", reason=str(errors.exceptions[0]))
            except* Exception:
                log.exception("following docker failed", retry_s=retry_s)
            finally:
                self._leave()
            raise_if_cancelled()
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, _LAST_RETRY_S)

    async def _follow(self) -> None:
        """One connection: from its making until Docker ends it.

        Hosts without Docker look for its socket for ever, so that must cost next to nothing.
        """
        if not is_there(self._socket):
            raise UnavailableError(f"docker: there is no socket {self._socket}")
        async with connect(self._socket) as docker:
            queue: asyncio.Queue[Event | None] = asyncio.Queue(_QUEUE_SIZE)
            since_s = now_s()
            await self._looks.at_everything(docker, is_first=True)
            self.is_connected = True
            log.info("docker followed", socket=self._socket)
            reader = asyncio.create_task(_read(docker, since_s, queue), name="docker event reader")
            watcher = asyncio.create_task(docker.ending(), name="docker end")
            watcher.add_done_callback(lambda _: reader.cancel())
            try:
                async with asyncio.TaskGroup() as tasks:
                    revival = tasks.create_task(self._looks.at_stopped(docker))
                    mirroring = tasks.create_task(self._records.run(docker))
                    await self._handle(docker, queue, tasks)
                    mirroring.cancel()
                    revival.cancel()
            finally:
                watcher.cancel()
                reader.cancel()
                await asyncio.gather(watcher, reader, return_exceptions=True)

    async def _handle(
        self, docker: Dockerd, queue: asyncio.Queue[Event | None], tasks: asyncio.TaskGroup
    ) -> None:
        """Each event in a task of its own: Docker answers about a container that it is starting
        only when that is done."""
        loop = asyncio.get_running_loop()
        next_look = loop.time() + self._interval_s
        while True:
            try:
                async with asyncio.timeout_at(next_look):
                    event = await queue.get()
            except TimeoutError:
                await self._looks.at_everything(docker, is_first=False)
                next_look = loop.time() + self._interval_s
                continue
            if event is None:
                return
            tasks.create_task(self._follow_up(docker, event))

    async def _follow_up(self, docker: Dockerd, event: Event) -> None:
        async with self._at_once:
            try:
                await self._learn(docker, event)
            except WeftError as error:
                log.debug("docker event not followed up", action=event.action, reason=str(error))

    async def _learn(self, docker: Dockerd, event: Event) -> None:
        actor = event.actor
        if (event.type, event.action) == ("network", "destroy"):
            self._records.look_again()
        elif event.type == "network" and actor.attributes.get("type") == DRIVER:
            if event.action == "create":
                await self._looks.at_network(docker, actor.id)
            elif event.action == "connect":
                container_id = actor.attributes.get("container", "")
                await self._looks.at_container(docker, container_id)
        elif (event.type, event.action) == ("container", "rename") and any(
            port.owner.container_id == actor.id for port in self._state.records.ports()
        ):
            await self._looks.at_container(docker, actor.id)

    def _leave(self) -> None:
        if self.is_connected:
            self._state.lose_docker()
            log.info("docker is gone", socket=self._socket)
        self.is_connected = False


def is_there(socket: str) -> bool:
    """Whether there is an engine's socket, of one that runs or has ended."""
    return Path(socket).exists()


async def _read(docker: Dockerd, since_s: float, queue: asyncio.Queue[Event | None]) -> None:
    """Move events into the queue; None at the end of the stream."""
    try:
        async for event in docker.events(since_s):
            if queue.full():
                log.warning("docker events dropped", waiting=queue.qsize())
                queue.get_nowait()
            queue.put_nowait(event)
    except WeftError as error:
        log.debug("docker event stream ended", reason=str(error))
    finally:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(None)
