"""A plugin without a kernel or a Docker: the real server and drivers over records in memory, and
a client that speaks as dockerd does."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tests.surroundings import AtOnce, NothingRuns, WholeSpace, control_alone
from tests.unit.cluster import ClusterHost
from weft.config import Settings
from weft.control.context import Context, HostRoute
from weft.frontends.docker.service import DockerFrontend
from weft.frontends.docker.state import DockerState
from weft.model.addresses import ip_network
from weft.model.ids import HostId
from weft.model.records import Binding, Network, Port, PublishedPort, Reservation, Subnet
from weft.store.interface import Store
from weft.store.memory import MemoryStore

NETWORK = "a" * 64
OTHER_NETWORK = "b" * 64
ENDPOINT = "e" * 64
OTHER_ENDPOINT = "f" * 64
PORTS = "com.docker.network.portmap"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Plugin:
    """The plugin, and dockerd's side of its socket."""

    def __init__(
        self,
        folder: Path,
        *,
        store: MemoryStore | None = None,
        host: ClusterHost | None = None,
        routes: tuple[str, ...] = (),
        listening: Callable[[PublishedPort], int | None] = lambda _: None,
    ) -> None:
        """host: of a cluster, whose records and intents are used."""
        self.settings = Settings(
            name="h1",
            run_dir=str(folder / "run"),
            state_dir=str(folder / "state"),
            docker_plugin_dir=str(folder / "plugins"),
            docker_spec_dir=str(folder / "etc/plugins"),
            docker_socket=str(folder / "docker.sock"),
        )
        (folder / "etc").mkdir(exist_ok=True)
        self.store: Store = host.store if host else store or MemoryStore()
        self.clock = Clock()
        self.control = (
            host.control
            if host
            else control_alone(
                Context(
                    store=self.store,
                    settler=AtOnce(),
                    settings=self.settings,
                    host_id=HostId("1" * 16),
                    wall_s=self.clock,
                    random_bytes=random.Random(7).randbytes,
                    host_routes=lambda: [
                        HostRoute(ip_network(r), f"{r} dev eth0", is_link=True) for r in routes
                    ],
                    targets=NothingRuns(),
                    space=WholeSpace,
                )
            )
        )
        self.ifnames: set[str] = set()
        self.later_s = 0.0
        """How much later it is for the frontend."""
        self.state = DockerState(
            self.control, lambda: time.monotonic() + self.later_s, lambda: self.ifnames
        )
        self.frontend = DockerFrontend(self.settings, self.state, listening)
        self.socket = Path(self.settings.docker_plugin_dir) / "weft.sock"

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Plugin]:
        task = asyncio.create_task(self.frontend.run())
        try:
            async with asyncio.timeout(5):
                while not self.socket.exists():  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            async with aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(self.socket))
            ) as self.session:
                yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def post(self, method: str, body: bytes) -> tuple[int, dict[str, Any], str]:
        async with self.session.post(f"http://docker/{method}", data=io.BytesIO(body)) as response:
            return response.status, await response.json(content_type=None), response.content_type

    async def call(
        self, method: str, request: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        body = b"" if request is None else msgspec.json.encode(request)
        _, answer, _ = await self.post(method, body)
        return answer

    async def network(self, method: str, **request: object) -> dict[str, Any]:
        return await self.call(f"NetworkDriver.{method}", request)

    async def ipam(self, method: str, **request: object) -> dict[str, Any]:
        return await self.call(f"IpamDriver.{method}", request)

    async def create_network(
        self,
        id: str = NETWORK,
        *pools: tuple[str, str],
        space: str = "LocalDefault",
        aux: Mapping[str, str] | None = None,
        internal: bool = False,
        **generic: Any,
    ) -> dict[str, Any]:
        data = [
            {"AddressSpace": space, "Pool": pool, "Gateway": gateway, "AuxAddresses": aux}
            for pool, gateway in (pools or (("192.168.1.0/24", "192.168.1.1/24"),))
        ]
        options: dict[str, object] = {
            "com.docker.network.enable_ipv6": False,
            "com.docker.network.generic": generic,
        }
        if internal:
            options["com.docker.network.internal"] = True
        return await self.network(
            "CreateNetwork",
            NetworkID=id,
            Options=options,
            IPv4Data=[d for d in data if ":" not in str(d["Pool"])],
            IPv6Data=[d for d in data if ":" in str(d["Pool"])],
        )

    async def create_endpoint(
        self,
        address: str = "192.168.1.2/24",
        *,
        id: str = ENDPOINT,
        network: str = NETWORK,
        mac: str = "",
        address6: str = "",
        **options: object,
    ) -> dict[str, Any]:
        """options: ``docker run --network name=…,driver-opt=…``."""
        return await self.network(
            "CreateEndpoint",
            NetworkID=network,
            EndpointID=id,
            Interface={"Address": address, "AddressIPv6": address6, "MacAddress": mac},
            Options={
                "com.docker.network.endpoint.exposedports": [],
                "com.docker.network.portmap": [],
                **options,
            },
        )

    async def about(self, method: str, id: str = ENDPOINT, **more: object) -> dict[str, Any]:
        return await self.network(method, NetworkID=NETWORK, EndpointID=id, **more)

    def records(self) -> dict[str, int]:
        kinds = (Network, Subnet, Port, Reservation, Binding)
        return {kind.KIND: n for kind in kinds if (n := len(tuple(self.store.list(kind))))}

    def port(self, id: str = ENDPOINT) -> Port | None:
        return self.state.records.port(id)


@contextlib.asynccontextmanager
async def plugin(
    *,
    store: MemoryStore | None = None,
    host: ClusterHost | None = None,
    routes: tuple[str, ...] = (),
    listening: Callable[[PublishedPort], int | None] = lambda _: None,
) -> AsyncIterator[Plugin]:
    folder = Path(tempfile.mkdtemp(prefix="dkr-"))
    try:
        async with Plugin(
            folder, store=store, host=host, routes=routes, listening=listening
        ).served() as served:
            yield served
    finally:
        shutil.rmtree(folder)


def binding(port: int, host_port: int, end: int = 0, proto: int = 6, ip: str = "") -> object:
    return {
        "Proto": proto,
        "IP": "",
        "Port": port,
        "HostIP": ip,
        "HostPort": host_port,
        "HostPortEnd": end or host_port,
    }
