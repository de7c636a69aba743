"""A Docker engine's API as far as Weft asks it, with containers and networks made of words."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web


class FakeEngine:
    """What `networks` and `containers` say is what Docker has."""

    def __init__(self) -> None:
        self.networks: dict[str, dict[str, Any]] = {}
        self.containers: dict[str, dict[str, Any]] = {}
        self.started: list[str] = []
        self.is_hanging = False
        self._streams: list[web.StreamResponse] = []
        self.followers = 0

    def add_network(self, id: str, name: str, **facts: Any) -> None:
        self.networks[id] = {"Id": id, "Name": name, "Driver": "weft", "Containers": {}} | facts

    def add_container(self, id: str, name: str, network: str, endpoint: str, **facts: Any) -> None:
        place = {"NetworkID": network, "EndpointID": endpoint, "Aliases": ["shop", "bad name"]}
        self.containers[id] = {
            "Id": id,
            "Name": f"/{name}",
            "Config": {"Hostname": "front"},
            "State": {"Status": "running", "Error": ""},
            "HostConfig": {"RestartPolicy": {"Name": "no"}},
            "NetworkSettings": {"Networks": {self.networks[network]["Name"]: place}},
        } | facts
        if endpoint:
            self.networks[network]["Containers"][id] = {"EndpointID": endpoint}

    async def say(self, kind: str, action: str, id: str, **attributes: str) -> None:
        """Send an event to whoever listens."""
        event: dict[str, object] = {"Type": kind, "Action": action, "time": 1}
        event["Actor"] = {"ID": id, "Attributes": attributes}
        for stream in self._streams:
            await stream.write(json.dumps(event).encode() + b"\n")

    @contextlib.asynccontextmanager
    async def served(self, path: str) -> AsyncIterator[None]:
        application = web.Application(middlewares=[self._hang])
        application.router.add_get("/version", self._version)
        prefix = "/{version:v[0-9.]+}"
        for route, handler in (
            ("/networks", self._list_networks),
            ("/networks/{id}", self._network),
            ("/containers/json", self._list_containers),
            ("/containers/{id}/json", self._container),
            ("/events", self._events),
        ):
            application.router.add_get(prefix + route, handler)
        application.router.add_post(prefix + "/containers/{id}/start", self._start)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, path).start()
        try:
            yield
        finally:
            self._streams.clear()
            await runner.cleanup()
            Path(path).unlink(missing_ok=True)  # noqa: ASYNC240

    @web.middleware
    async def _hang(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.is_hanging:
            await asyncio.Event().wait()
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": "1.41"})

    async def _list_networks(self, _: web.Request) -> web.Response:
        listed = [{k: v for k, v in n.items() if k != "Containers"} for n in self.networks.values()]
        return web.json_response(listed)

    async def _network(self, request: web.Request) -> web.Response:
        return _found(self.networks, request)

    async def _container(self, request: web.Request) -> web.Response:
        return _found(self.containers, request)

    async def _list_containers(self, request: web.Request) -> web.Response:
        wanted = json.loads(request.query.get("filters", "{}")).get("status", [])
        return web.json_response(
            [c for c in self.containers.values() if c["State"]["Status"] in wanted]
        )

    async def _start(self, request: web.Request) -> web.Response:
        self.started.append(request.match_info["id"])
        return web.Response(status=204)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self._streams.append(response)
        self.followers += 1
        try:
            await asyncio.Event().wait()
        finally:
            if response in self._streams:
                self._streams.remove(response)
        return response


def _found(things: dict[str, dict[str, Any]], request: web.Request) -> web.Response:
    thing = things.get(request.match_info["id"])
    if thing is None:
        return web.json_response({"message": "no such thing"}, status=404)
    return web.json_response(thing)
