"""What Weft asks of a Docker engine's API.

Only background work comes here, never the answer to a plugin call: dockerd may be waiting for it.
The one module that knows aiodocker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import aiohttp
import msgspec
from aiodocker import Docker, DockerError

from weft.errors import UnavailableError
from weft.frontends.docker.answers import (
    DRIVER,
    ContainerFacts,
    Event,
    ImageFacts,
    ListedContainer,
    NetworkFacts,
    NetworkRequest,
)
from weft.readiness import ready

TIMEOUT_S = 10.0
_BRIEF_S = 1.0
"""For a connection on which nothing is asked: so long it should last at least."""


F = TypeVar("F")


class Dockerd:
    """A connection to an engine. Every method raises UnavailableError when it does not answer."""

    def __init__(self, docker: Docker, socket: str) -> None:
        self._docker = docker
        self._socket = socket

    async def ending(self) -> None:
        """Return when the engine ends, or is about to.

        An engine that is asked to end (`systemctl restart docker`) closes connections on which
        nothing is asked at once, and then waits up to 5 s for what is open, such as the stream of
        events (Docker 23 and later). So one connection is kept on which nothing is asked. A proxy
        before the engine may close idle connections as well; then the engine still answers on the
        next one.
        """
        now_s = asyncio.get_running_loop().time
        patience_s = TIMEOUT_S
        while True:
            began_s = now_s()
            if not await self._is_held(patience_s):
                return
            if now_s() - began_s < _BRIEF_S:
                await asyncio.sleep(_BRIEF_S)
            patience_s = _BRIEF_S

    async def _is_held(self, patience_s: float) -> bool:
        """Hold a connection on which nothing is asked, until it is closed from there. False: not
        even its first question was answered in time."""
        try:
            async with asyncio.timeout(patience_s):
                reader, writer = await asyncio.open_unix_connection(self._socket)
        except (OSError, TimeoutError):
            return False
        try:
            async with asyncio.timeout(patience_s):
                writer.write(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")
                is_answered = bool(await reader.read(4096))
            while await reader.read(4096):
                pass
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
        return is_answered

    async def networks(self) -> list[NetworkFacts]:
        """All networks of Weft's driver."""
        filters = {"driver": [DRIVER]}
        with _translated("list networks"):
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._docker.networks.list(filters=filters)
        return [_facts(item, NetworkFacts) for item in answer]

    async def all_networks(self) -> list[NetworkFacts]:
        """Networks of all drivers."""
        with _translated("list networks"):
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._docker.networks.list()
        return [_facts(item, NetworkFacts) for item in answer]

    async def create_network(self, request: NetworkRequest) -> None:
        """Make a network. Docker asks its driver in the meantime: never call this from there."""
        with _translated("create network"):
            async with asyncio.timeout(3 * TIMEOUT_S):
                await self._docker.networks.create(msgspec.to_builtins(request))

    async def remove_network(self, id: str) -> None:
        """Remove a network; nothing happens if it is gone. As for `create_network`."""
        with _translated("remove network"):
            async with asyncio.timeout(3 * TIMEOUT_S):
                try:
                    network = await self._docker.networks.get(id)
                    await network.delete()
                except DockerError as error:
                    if error.status != 404:
                        raise

    async def remove_endpoint(self, network_id: str, name: str) -> None:
        """Remove a container's place on a network, of a container that is gone. As for
        `create_network`. Were there a container of this name, it would be disconnected."""
        with _translated("remove endpoint"):
            async with asyncio.timeout(3 * TIMEOUT_S):
                network = await self._docker.networks.get(network_id)
                await network.disconnect({"Container": name, "Force": True})

    async def network(self, id: str) -> NetworkFacts | None:
        """One network with its endpoints; None: it is gone."""
        with _translated("inspect network"):
            async with asyncio.timeout(TIMEOUT_S):
                try:
                    network = await self._docker.networks.get(id)
                    return _facts(await network.show(), NetworkFacts)
                except DockerError as error:
                    if error.status == 404:
                        return None
                    raise

    async def container(self, id: str) -> ContainerFacts | None:
        """One container; None: it is gone. Waits while Docker starts it."""
        with _translated("inspect container"):
            async with asyncio.timeout(TIMEOUT_S):
                try:
                    answer = await self._docker.containers.container(id).show()
                except DockerError as error:
                    if error.status == 404:
                        return None
                    raise
        return _facts(answer, ContainerFacts)

    async def image(self, id: str) -> ImageFacts | None:
        """One image; None: it is gone."""
        with _translated("inspect image"):
            async with asyncio.timeout(TIMEOUT_S):
                try:
                    answer = await self._docker.images.inspect(id)
                except DockerError as error:
                    if error.status == 404:
                        return None
                    raise
        return _facts(answer, ImageFacts)

    async def stopped_containers(self) -> list[ListedContainer]:
        """All that do not run."""
        filters = {"status": ["created", "exited"]}
        with _translated("list containers"):
            async with asyncio.timeout(TIMEOUT_S):
                found = await self._docker.containers.list(all=True, filters=_json(filters))
        return [_facts(container._container, ListedContainer) for container in found]

    async def start(self, id: str) -> None:
        """Start a container."""
        with _translated("start container"):
            async with asyncio.timeout(6 * TIMEOUT_S):
                await self._docker.containers.container(id).start()

    async def events(self, since_s: float) -> AsyncIterator[Event]:
        """Events of networks and containers from a wall clock time on, until Docker ends."""
        subscriber = self._docker.events.subscribe(create_task=False)  # type: ignore[no-untyped-call]
        filters = _json({"type": ["network", "container"]})
        reader = asyncio.create_task(
            self._docker.events.run(since=f"{since_s:.9f}", filters=filters), name="docker events"
        )
        try:
            while (item := await subscriber.get()) is not None:
                item.pop("time", None)
                yield _facts(item, Event)
            with _translated("follow events"):
                await reader
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


@asynccontextmanager
async def connect(socket: str) -> AsyncIterator[Dockerd]:
    """A connection to the engine behind a unix socket."""
    # Without a deadline of its own: each call has one, the stream of events must have none.
    timeout = aiohttp.ClientTimeout(total=None)
    async with Docker(url=f"unix://{socket}", timeout=timeout) as docker:
        yield Dockerd(docker, socket)


def now_s() -> float:
    """The wall clock by which Docker stamps events."""
    return time.time()


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Makes whatever can go wrong with a call one error of Weft's."""
    try:
        yield
    except (aiohttp.ClientError, OSError, TimeoutError, DockerError) as error:
        reason = str(error) or type(error).__name__
        raise UnavailableError(f"docker, {what}: {reason}") from error


def _facts(value: object, wanted: type[F]) -> F:
    try:
        return msgspec.convert(value, ready(wanted))
    except msgspec.ValidationError as error:
        raise UnavailableError(f"docker answers what weft does not understand: {error}") from error


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
