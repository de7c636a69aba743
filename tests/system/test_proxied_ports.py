"""Published ports for clients of the family that the workload has no address of.

The process that proxies is weftd's; here a test tells it what to proxy, as weftd's keeper does.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from tests import families
from tests.system import overlay as world
from tests.system.overlay import FOO, Overlay, port_on
from tests.system.overlay_host import OverlayHost
from tests.system.overlay_workload import until
from tests.system.test_beside_bridges import HOST, Server, ask
from weft.kernel import netns
from weft.model.addresses import ip_address
from weft.model.choices import TransportProtocol
from weft.model.records import Port, PublishedPort
from weft.proxy.keeper import ProxyKeeper
from weft.proxy.table import LISTENS_AT
from weft.store.interface import Delete, Put
from weft.store.memory import MemoryStore

pytestmark = pytest.mark.root

PUBLISHED = (
    PublishedPort(protocol=TransportProtocol.TCP, host_port=8080, port=80),
    PublishedPort(protocol=TransportProtocol.UDP, host_port=8080, port=80),
    PublishedPort(protocol=TransportProtocol.UDP, host_port=20000, port=60, count=40),
)
GATEWAY = {4: "10.5.0.1", 6: "fd05::1"}


class Place(NamedTuple):
    overlay: Overlay
    host: OverlayHost
    outside: str
    web: str


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with world.made(tmp_path) as overlay:
        switch = overlay.switch()
        host = overlay.host(switch, "192.0.2.1/24", "2001:db8::1/64")
        outside = overlay.namespace("outside")
        overlay.plug(outside, switch, "up0", "192.0.2.9/24", "2001:db8::9/64")
        overlay.start()
        web = overlay.namespace("web")
        with contextlib.closing(Server(web)):
            yield Place(overlay, host, outside, web)


def web_port(place: Place, family: int) -> Port:
    """With an address of one family alone."""
    address = ip_address("10.5.0.5" if family == 4 else "fd05::5")
    return port_on(place.host, place.web, 5, addresses=(address,), published=PUBLISHED)


class Weftd:
    """The keeper over records of its own, in a host's namespace."""

    def __init__(self, host: OverlayHost, *ports: Port) -> None:
        self.store = MemoryStore([FOO, *ports])
        self._keeper: asyncio.Task[None] | None = None
        self._host = host

    async def __aenter__(self) -> Weftd:
        with netns.entered(f"/run/netns/{self._host.name}"):
            keeper = ProxyKeeper(self.store, self._host.id)
            self._keeper = asyncio.create_task(keeper.run())
            await asyncio.to_thread(until, lambda: len(sockets(self._host)) == 4, "it listens")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._keeper is not None
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper


def sockets(host: OverlayHost) -> list[str]:
    """On which it waits for clients."""
    lines = host.run("ss -Hlnptu").splitlines()
    return [
        line for line in lines if any(f"{a}]:336" in line or f"{a}:336" in line for a in LISTENS_AT)
    ]


@pytest.mark.parametrize("family", [4, 6])
async def test_a_client_of_the_other_family_is_served(place: Place, family: int) -> None:
    other = 10 - family
    port = web_port(place, family)
    place.overlay.write(port)
    assert not place.host.failures()
    assert not ask(place.outside, HOST[other], "tcp", 8080)
    async with Weftd(place.host, port) as weftd:
        loopback = {4: "127.0.0.1", 6: "::1"}[other]
        for kind, number in (("tcp", 8080), ("udp", 8080), ("udp", 20020)):
            case = (kind, number)
            found = await asyncio.to_thread(ask, place.outside, HOST[other], kind, number)
            assert found == GATEWAY[family], case
            for address in (HOST[other], loopback):
                assert await asyncio.to_thread(ask, place.host.name, address, kind, number), case
        assert await asyncio.to_thread(ask, place.outside, HOST[family], "tcp", 8080)
        assert not await asyncio.to_thread(ask, place.outside, HOST[other], "udp", 20021)
        await weftd.store.write([Delete(Port, port.id)])
        await asyncio.to_thread(until, lambda: not sockets(place.host), "nothing is published")


_KEEPS_ASKING = """
import socket, sys
s = socket.socket(10, 2)
s.settimeout(0.5)
s.connect((sys.argv[1], 8080))
for line in sys.stdin:
    s.send(b"hello")
    try:
        print(s.recv(99).decode(), flush=True)
    except OSError:
        print("nothing", flush=True)
"""


async def test_a_udp_flow_follows_the_port_to_another_workload(place: Place) -> None:
    """Its client goes on sending from the same port, as one does that knows of nothing."""
    port = web_port(place, 4)
    gone = replace(port, addresses=(ip_address("10.5.0.66"),), device=None)
    place.overlay.write(gone)
    words = ["nsenter", f"--net=/run/netns/{place.outside}", "python3", "-c", _KEEPS_ASKING]
    async with Weftd(place.host, gone) as weftd:
        with started([*words, HOST[6]]) as client:
            try:
                assert await asyncio.to_thread(answer, client) == "nothing"
                place.overlay.write(port)
                await weftd.store.write([Put(port)])
                await asyncio.to_thread(
                    until, lambda: answer(client) == GATEWAY[4], "the flow leads to the other"
                )
            finally:
                client.kill()


def answer(client: subprocess.Popen[str]) -> str:
    assert client.stdin is not None and client.stdout is not None
    client.stdin.write("ask\n")
    client.stdin.flush()
    return client.stdout.readline().strip()


def started(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def test_connections_outlive_weftd(place: Place) -> None:
    port = web_port(place, 4)
    place.overlay.write(port)
    script = (
        "import socket, sys; s = socket.create_connection((sys.argv[1], 8080), 5); "
        "print('open', flush=True); sys.stdin.readline(); s.sendall(b'now'); "
        "print(s.recv(99).decode())"
    )
    words = ["nsenter", f"--net=/run/netns/{place.outside}", "python3", "-c", script, HOST[6]]
    with contextlib.ExitStack() as stack:
        async with Weftd(place.host, port):
            client = stack.enter_context(started(words))
            stack.callback(client.kill)
            assert client.stdout is not None
            assert await asyncio.to_thread(client.stdout.readline) == "open\n"
        await asyncio.to_thread(until, lambda: not sockets(place.host), "nobody listens any more")
        async with Weftd(place.host, port):
            assert await asyncio.to_thread(ask, place.outside, HOST[6], "udp", 8080)
        out, _ = await asyncio.to_thread(client.communicate, "\n", 10)
        assert out == f"{GATEWAY[4]}\n"


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("program", families.of(["iptables", "iptables-legacy"]))
async def test_a_firewall_that_lets_in_only_what_it_knows_lets_clients_in(
    place: Place, program: str, family: int
) -> None:
    for each in (program, program.replace("ip", "ip6", 1)):
        place.host.run(f"{each} -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT")
        place.host.run(f"{each} -A INPUT -p ipv6-icmp -j ACCEPT; {each} -P INPUT DROP")
    port = web_port(place, family)
    place.overlay.write(port)
    async with Weftd(place.host, port):

        def is_served(kind: str) -> bool:
            return ask(place.outside, HOST[10 - family], kind) == GATEWAY[family]

        for kind in ("tcp", "udp"):
            await asyncio.to_thread(until, functools.partial(is_served, kind), kind)


async def test_nobody_gets_in_by_weftds_own_address(place: Place) -> None:
    port = web_port(place, 4)
    place.overlay.write(port)
    async with Weftd(place.host, port):
        for address in LISTENS_AT:
            for namespace in (place.web, place.host.name):
                found = await asyncio.to_thread(ask, namespace, str(address), "tcp", 336)
                assert not found, (address, namespace)
