"""Ports of the host that lead to containers, call by call."""

from __future__ import annotations

from tests.unit.docker.plugin import PORTS, binding, plugin
from weft.model.records import PublishedPort


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
        assert web == PublishedPort(protocol="tcp", host_port=8080, port=80)
        assert (dns.protocol, dns.port, str(dns.host_address)) == ("udp", 53, "127.0.0.1")
        facts = (await docker.about("EndpointOperInfo"))["Value"]
        assert [b["HostPort"] for b in facts[PORTS]] == [8080, dns.host_port]
        await docker.about("RevokeExternalConnectivity")
        port = docker.port()
        assert port is not None and port.published == ()


async def test_containers_share_a_range_of_ports_until_it_is_used_up() -> None:
    async with plugin(listening=lambda wanted: wanted.host_port == 8001) as docker:
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
    async with plugin(listening=lambda wanted: wanted.host_port == 22) as docker:
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
        docker.frontend.state.lose_docker()
        await docker.create_endpoint("192.168.1.11/24", id="2")
        answer = await docker.about("ProgramExternalConnectivity", "2", Options=options)
        assert answer == {} and docker.port("1") is None
        docker.frontend.state.lose_docker()
        await docker.create_endpoint("192.168.1.12/24", id="3", mac=mac)
        docker.frontend.state.lose_docker()
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
        assert port.published == (PublishedPort(protocol="tcp", host_port=8080, port=80),)
