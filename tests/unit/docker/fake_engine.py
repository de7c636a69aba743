"""A Docker engine's API as far as Weft asks it, with containers and networks made of words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aiohttp import web

from tests.unit.docker.plugin import Plugin

_PREDEFINED = {"bridge": "bridge", "host": "host", "none": "null"}


class FakeEngine:
    """What `networks` and `containers` say is what Docker has."""

    def __init__(self) -> None:
        self.networks: dict[str, dict[str, Any]] = {}
        self.containers: dict[str, dict[str, Any]] = {}
        self.images: dict[str, dict[str, Any]] = {}
        self.started: list[str] = []
        self.is_hanging = False
        self._streams: list[web.StreamResponse] = []
        self.followers = 0
        self.pings = 0
        self.plugin: Plugin | None = None
        """Asked when networks are made and removed, as dockerd asks."""
        self.disconnected: list[str] = []
        """Containers that were taken off a network by force, by name."""
        self.refused: list[str] = []
        """Names of networks that it would not make."""

    def add_predefined(self, engine_id: str = "") -> None:
        """The networks that every engine has."""
        for name, driver in _PREDEFINED.items():
            id = f"{engine_id}{name}"
            self.networks[id] = {"Id": id, "Name": name, "Driver": driver, "Containers": {}}

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

    def by_name(self, name: str) -> dict[str, Any] | None:
        return next((n for n in self.networks.values() if n["Name"] == name), None)

    def names(self) -> list[str]:
        """Of networks that are not predefined."""
        return sorted(n["Name"] for n in self.networks.values() if n["Name"] not in _PREDEFINED)

    async def create_network(
        self,
        name: str,
        /,
        *subnets: str,
        driver: str = "weft",
        gateway: str = "",
        ipam: str = "default",
        ipam_options: Mapping[str, str] = MappingProxyType({}),
        labels: Mapping[str, str] = MappingProxyType({}),
        internal: bool = False,
        is_told: bool = True,
        config: Sequence[Mapping[str, str]] = (),
        **options: str,
    ) -> str:
        """``docker network create``: the id, or RuntimeError with what its user reads.

        With Docker's own IPAM a subnet must be named. `is_told` False: the event is late.
        `config`: what the API has for `subnets` and `gateway`.
        """
        if self.by_name(name) is not None:
            raise FileExistsError(f"network with name {name} already exists")
        id = secrets.token_hex(32)
        config = config or [{"Subnet": cidr, "Gateway": gateway} for cidr in subnets]
        if driver == "weft":
            assert self.plugin is not None
            pools = await self._pools(config, ipam, ipam_options)
            generic: dict[str, Any] = {"com.docker.network.generic": options}
            if internal:
                generic["com.docker.network.internal"] = True
            answer = await self.plugin.network(
                "CreateNetwork",
                NetworkID=id,
                Options=generic,
                IPv4Data=[pool for pool in pools if ":" not in pool["Pool"]],
                IPv6Data=[pool for pool in pools if ":" in pool["Pool"]],
            )
            for pool in pools if answer.get("Err") and ipam == "weft" else ():
                await self.plugin.ipam("ReleasePool", PoolID=pool["PoolID"])
            self._check(answer)
        self.networks[id] = {
            "Id": id,
            "Name": name,
            "Driver": driver,
            "Labels": dict(labels),
            "Options": options,
            "Internal": internal,
            "IPAM": {"Driver": ipam, "Options": dict(ipam_options), "Config": config},
            "Containers": {},
        }
        if is_told:
            await self.say("network", "create", id, name=name, type=driver)
        return id

    async def remove_network(self, name: str) -> None:
        """``docker network rm``, by name or id: what the driver says changes nothing."""
        network = self.networks.get(name) or self.by_name(name)
        if network is None:
            raise KeyError(name)
        if network["Containers"]:
            raise RuntimeError("has active endpoints")
        if network["Driver"] == "weft" and self.plugin is not None:
            await self.plugin.network("DeleteNetwork", NetworkID=network["Id"])
        del self.networks[network["Id"]]
        attributes = {"name": network["Name"], "type": network["Driver"]}
        await self.say("network", "destroy", network["Id"], **attributes)

    async def _pools(
        self, config: Sequence[Mapping[str, str]], ipam: str, options: Mapping[str, str]
    ) -> list[dict[str, str]]:
        if ipam == "default":
            return [
                {
                    "AddressSpace": "LocalDefault",
                    "Pool": one["Subnet"],
                    "Gateway": one.get("Gateway") or _first(one["Subnet"]),
                }
                for one in config
            ]
        assert self.plugin is not None
        pools = []
        for one in config or [{"Subnet": "", "Gateway": ""}]:
            pool = self._check(
                await self.plugin.ipam("RequestPool", Pool=one["Subnet"], Options=dict(options))
            )
            gateway = self._check(
                await self.plugin.ipam(
                    "RequestAddress",
                    PoolID=pool["PoolID"],
                    Address=one.get("Gateway", ""),
                    Options={"RequestAddressType": "com.docker.network.gateway"},
                )
            )
            pools.append(
                {
                    "AddressSpace": "weft",
                    "PoolID": pool["PoolID"],
                    "Pool": pool["Pool"],
                    "Gateway": gateway["Address"],
                }
            )
        return pools

    def _check(self, answer: dict[str, Any]) -> dict[str, Any]:
        if answer.get("Err") or answer.get("Error"):
            raise RuntimeError(answer.get("Err") or answer.get("Error"))
        return answer

    async def say(self, kind: str, action: str, id: str, **attributes: str) -> None:
        """Send an event to whoever listens."""
        event: dict[str, object] = {"Type": kind, "Action": action, "time": 1}
        event["Actor"] = {"ID": id, "Attributes": attributes}
        for stream in self._streams:
            await stream.write(json.dumps(event).encode() + b"\n")

    @contextlib.asynccontextmanager
    async def served(
        self, path: str, *, patience_s: float = 0.1, keepalive_s: float = 75.0
    ) -> AsyncIterator[None]:
        """patience_s: how long it waits for open requests at its end, when it has closed those
        connections on which nothing is asked."""
        application = web.Application(middlewares=[self._hang])
        application.router.add_get("/version", self._version)
        application.router.add_get("/_ping", self._ping)
        prefix = "/{version:v[0-9.]+}"
        for route, handler in (
            ("/networks", self._list_networks),
            ("/networks/{id}", self._network),
            ("/containers/json", self._list_containers),
            ("/containers/{id}/json", self._container),
            ("/images/{id}/json", self._image),
            ("/events", self._events),
        ):
            application.router.add_get(prefix + route, handler)
        application.router.add_post(prefix + "/containers/{id}/start", self._start)
        application.router.add_post(prefix + "/networks/create", self._create_network)
        application.router.add_post(prefix + "/networks/{id}/disconnect", self._disconnect)
        application.router.add_delete(prefix + "/networks/{id}", self._delete_network)
        runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=patience_s, keepalive_timeout=keepalive_s
        )
        await runner.setup()
        await web.UnixSite(runner, path).start()
        try:
            yield
        finally:
            await runner.cleanup()
            self._streams.clear()
            Path(path).unlink(missing_ok=True)  # noqa: ASYNC240

    @web.middleware
    async def _hang(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.is_hanging:
            await asyncio.Event().wait()
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _ping(self, _: web.Request) -> web.Response:
        self.pings += 1
        return web.Response(text="OK")

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": "1.41"})

    async def _list_networks(self, request: web.Request) -> web.Response:
        drivers = json.loads(request.query.get("filters", "{}")).get("driver", [])
        return web.json_response(
            [
                {key: value for key, value in network.items() if key != "Containers"}
                for network in self.networks.values()
                if not drivers or network["Driver"] in drivers
            ]
        )

    async def _create_network(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        name = wanted["Name"]
        try:
            if name in _PREDEFINED:
                raise RuntimeError(f"operation is not permitted on predefined {name} network")
            id = await self.create_network(
                name,
                config=wanted["IPAM"]["Config"],
                ipam=wanted["IPAM"]["Driver"],
                ipam_options=wanted["IPAM"]["Options"],
                labels=wanted["Labels"],
                internal=wanted["Internal"],
                **wanted["Options"],
            )
        except (RuntimeError, FileExistsError) as error:
            self.refused.append(name)
            return web.json_response({"message": str(error)}, status=409)
        return web.json_response({"Id": id}, status=201)

    async def _delete_network(self, request: web.Request) -> web.Response:
        try:
            await self.remove_network(request.match_info["id"])
        except KeyError:
            return web.json_response({"message": "no such network"}, status=404)
        except RuntimeError as error:
            return web.json_response({"message": str(error)}, status=403)
        return web.Response(status=204)

    async def _disconnect(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        assert wanted["Force"]
        places = self.networks[request.match_info["id"]]["Containers"]
        for id, place in list(places.items()):
            if place.get("Name") == wanted["Container"]:
                del places[id]
        self.disconnected.append(wanted["Container"])
        return web.Response(status=200)

    async def _network(self, request: web.Request) -> web.Response:
        return _found(self.networks, request)

    async def _container(self, request: web.Request) -> web.Response:
        return _found(self.containers, request)

    async def _image(self, request: web.Request) -> web.Response:
        return _found(self.images, request)

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
            while request.transport is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        finally:
            if response in self._streams:
                self._streams.remove(response)
        return response


def _first(cidr: str) -> str:
    prefix = ip_network(cidr)
    return f"{prefix.network_address + 1}/{prefix.prefixlen}"


def _found(things: dict[str, dict[str, Any]], request: web.Request) -> web.Response:
    wanted = request.match_info["id"]
    named = (thing for thing in things.values() if thing["Name"].lstrip("/") == wanted)
    thing = things.get(wanted) or next(named, None)
    if thing is None:
        return web.json_response({"message": "no such thing"}, status=404)
    return web.json_response(thing)
