"""Ports of the host that lead to containers, call by call."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable

import pytest

from tests.unit.docker.plugin import PORTS, binding, plugin
from weft.frontends.docker.published import taken_on_host
from weft.model import codec
from weft.model.choices import TransportProtocol
from weft.model.records import PublishedPort

EVERY = range(1, 65536)


def only(number: int) -> Callable[[PublishedPort], int | None]:
    """A host on which something listens on one port."""
    return lambda wanted: number if number in wanted.host_ports else None


async def test_published_ports() -> None:
    async with plugin() as docker:
        await docker.create_network()
        await docker.create_endpoint()
        answer = await docker.about(
            "ProgramExternalConnectivity",
            Options={PORTS: [binding(80, 8080), binding(53, 0, proto=17, ip="127.0.0.1")]},
        )
        assert answer == {}
        port = docker.port()
        assert port is not None
        web, dns = port.published
        assert web == PublishedPort(protocol=TransportProtocol.TCP, host_port=8080, port=80)
        assert (dns.protocol, dns.port, str(dns.host_address)) == ("udp", 53, "127.0.0.1")
        facts = (await docker.about("EndpointOperInfo"))["Value"]
        assert [b["HostPort"] for b in facts[PORTS]] == [8080, dns.host_port]
        await docker.about("RevokeExternalConnectivity")
        port = docker.port()
        assert port is not None and port.published == ()


async def test_containers_share_a_range_of_ports_until_it_is_used_up() -> None:
    async with plugin(listening=only(8001)) as docker:
        await docker.create_network()
        for number, expected in (("1", 8000), ("2", 8002)):
            await docker.create_endpoint(f"192.168.1.{number}0/24", id=number)
            options = {PORTS: [binding(80, 8000, 8002)]}
            answer = await docker.about("ProgramExternalConnectivity", number, Options=options)
            assert answer == {}
            port = docker.port(number)
            assert port is not None and port.published[0].host_port == expected
        await docker.create_endpoint("192.168.1.30/24", id="3")
        answer = await docker.about("ProgramExternalConnectivity", "3", Options=options)
        assert "host ports 8000-8002/tcp: all are in use" in answer["Err"]


async def test_a_taken_host_port_is_refused_whoever_holds_it() -> None:
    async with plugin(listening=only(22)) as docker:
        await docker.create_network()
        await docker.create_endpoint("192.168.1.10/24", id="1")
        await docker.create_endpoint("192.168.1.20/24", id="2")
        program = "ProgramExternalConnectivity"
        await docker.about(program, "1", Options={PORTS: [binding(80, 8080)]})
        answer = await docker.about(program, "2", Options={PORTS: [binding(80, 8080)]})
        assert "host port 8080/tcp: is published already" in answer["Err"]
        answer = await docker.about(program, "2", Options={PORTS: [binding(22, 22)]})
        assert "a program on this host listens there" in answer["Err"]
        twice = [binding(80, 9000), binding(81, 9000)]
        assert (
            "asked for twice" in (await docker.about(program, "2", Options={PORTS: twice}))["Err"]
        )
        assert "Port" in (await docker.about(program, "2", Options={PORTS: [binding(0, 1)]}))["Err"]
        port = docker.port("2")
        assert port is not None and port.published == ()


async def test_what_a_dead_container_held_goes_to_the_next() -> None:
    async with plugin() as docker:
        await docker.create_network()
        mac, options = "02:00:00:00:00:09", {PORTS: [binding(80, 8080)]}
        await docker.create_endpoint("192.168.1.10/24", id="1", mac=mac)
        await docker.about("ProgramExternalConnectivity", "1", Options=options)
        docker.state.lose_docker()
        await docker.create_endpoint("192.168.1.11/24", id="2")
        answer = await docker.about("ProgramExternalConnectivity", "2", Options=options)
        assert answer == {} and docker.port("1") is None
        docker.state.lose_docker()
        await docker.create_endpoint("192.168.1.12/24", id="3", mac=mac)
        docker.state.lose_docker()
        assert "Err" not in await docker.create_endpoint("192.168.1.13/24", id="4", mac=mac)
        assert docker.port("3") is None


async def test_a_port_on_both_families_is_one() -> None:
    async with plugin() as docker:
        await docker.create_network()
        await docker.create_endpoint()
        both = [binding(80, 8080, ip="0.0.0.0"), binding(80, 8080, ip="::")]
        assert await docker.about("ProgramExternalConnectivity", Options={PORTS: both}) == {}
        port = docker.port()
        assert port is not None
        assert port.published == (
            PublishedPort(protocol=TransportProtocol.TCP, host_port=8080, port=80),
        )


@pytest.mark.parametrize("shift", [0, 1])
async def test_all_ports_at_once_are_few_rows_and_take_seconds(shift: int) -> None:
    """Docker names each, in any order, on both families, again and again."""
    numbers = EVERY if not shift else EVERY[:-1]
    bindings = [
        binding(number + shift, number, proto=proto, ip=ip)
        for number in numbers
        for proto in (6, 17)
        for ip in ("0.0.0.0", "::")
    ]
    random.Random(3).shuffle(bindings)
    options = {PORTS: bindings, "com.docker.network.endpoint.exposedports": bindings[:65535]}
    async with plugin() as docker:
        await docker.create_network()
        await docker.create_endpoint()
        for _ in range(2):
            started_s = time.monotonic()
            answer = await docker.about("ProgramExternalConnectivity", Options=options)
            assert answer == {}
            assert time.monotonic() - started_s < 20
        port = docker.port()
        assert port is not None
        assert {(p.protocol, p.host_port, p.port, p.count) for p in port.published} == {
            (protocol, 1, 1 + shift, len(numbers)) for protocol in ("tcp", "udp")
        }
        assert len(codec.encode(port)) < 2000
        facts = (await docker.about("EndpointOperInfo"))["Value"]
        assert len(facts[PORTS]) == 2 * len(numbers)


async def test_an_obstacle_in_a_row_of_ports_is_named_and_nothing_is_published() -> None:
    row = [binding(number, number, proto=17) for number in range(20000, 30000)]
    async with plugin(listening=only(23456)) as docker:
        await docker.create_network()
        await docker.create_endpoint()
        options = {PORTS: row}
        answer = await docker.about("ProgramExternalConnectivity", Options=options)
        assert answer["Err"].startswith("host port 23456/udp: a program on this host listens there")
        port = docker.port()
        assert port is not None and port.published == ()
    async with plugin() as docker:
        await docker.create_network()
        await docker.create_endpoint("192.168.1.10/24", id="1")
        await docker.create_endpoint("192.168.1.11/24", id="2")
        one = {PORTS: [binding(7, 29999, proto=17)]}
        assert await docker.about("ProgramExternalConnectivity", "1", Options=one) == {}
        answer = await docker.about("ProgramExternalConnectivity", "2", Options={PORTS: row})
        assert "host port 29999/udp: is published already by" in answer["Err"]
        twice = {PORTS: [*row[:100], binding(7, 20050, proto=17)]}
        answer = await docker.about("ProgramExternalConnectivity", "2", Options=twice)
        assert "host port 20050/udp: is asked for twice" in answer["Err"]


async def test_a_row_of_ports_goes_to_the_next_when_its_container_is_dead() -> None:
    row = {PORTS: [binding(number, number) for number in range(20000, 20100)]}
    async with plugin() as docker:
        await docker.create_network()
        await docker.create_endpoint("192.168.1.10/24", id="1")
        assert await docker.about("ProgramExternalConnectivity", "1", Options=row) == {}
        docker.state.lose_docker()
        await docker.create_endpoint("192.168.1.11/24", id="2")
        assert await docker.about("ProgramExternalConnectivity", "2", Options=row) == {}
        assert docker.port("1") is None


async def test_many_ports_that_nobody_chose_stay_in_a_row() -> None:
    row = {PORTS: [binding(number, 0) for number in range(3000, 4000)]}
    async with plugin(listening=only(55555)) as docker:
        await docker.create_network()
        await docker.create_endpoint()
        for _ in range(2):
            assert await docker.about("ProgramExternalConnectivity", Options=row) == {}
        port = docker.port()
        assert port is not None
        (published,) = port.published
        assert published.count == 1000 and published.host_port >= 49153
        assert 55555 not in published.host_ports
        too_many = {PORTS: [binding(number, 0) for number in range(1, 20000)]}
        answer = await docker.about("ProgramExternalConnectivity", Options=too_many)
        assert "no 19999 free ones in a row" in answer["Err"]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_in_a_long_row_is_found(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        number = taken.getsockname()[1]
        protocol = TransportProtocol.TCP if kind is socket.SOCK_STREAM else TransportProtocol.UDP
        first = max(number - 200, 1)
        row = PublishedPort(protocol=protocol, host_port=first, port=1, count=number - first + 1)
        found = taken_on_host(row)
        assert found is not None and found <= number
        assert taken_on_host(row.one(number)) == number


def test_a_row_ends_at_the_last_port() -> None:
    PublishedPort(protocol=TransportProtocol.TCP, host_port=65535, port=65535)
    with pytest.raises(ValueError, match="the last port is 65535"):
        PublishedPort(protocol=TransportProtocol.TCP, host_port=65535, port=80, count=2)
    with pytest.raises(ValueError, match="the last port is 65535"):
        PublishedPort(protocol=TransportProtocol.TCP, host_port=80, port=65535, count=2)
