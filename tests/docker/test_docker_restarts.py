"""Restarts and deaths: of containers, of dockerd, of weftd, of both."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests import families
from tests.docker.engine import Docker, Refused, until
from weft.lab.host import LabHost

pytestmark = [pytest.mark.root, pytest.mark.docker]

ALWAYS = ("--restart", "always")


def test_docker_restart_keeps_names_and_fixed_addresses(docker: Docker) -> None:
    net = docker.network("--subnet", "10.100.0.0/24")
    fixed = docker.run("--net", net, "--ip", "10.100.0.50", name="fixed")
    client = docker.run("--net", net, name="client")
    docker("restart", "-t", "2", fixed)
    assert docker.address(fixed, net) == "10.100.0.50"
    assert docker.fetches(client, fixed) == "hello from weft"


def test_a_restart_policy_brings_a_crashed_container_back(docker: Docker) -> None:
    net = docker.network("--subnet", "10.101.0.0/24")
    web = docker.run("--net", net, *ALWAYS, name="web")
    client = docker.run("--net", net, name="client")
    before = docker.inspect("container", web)["State"]["Pid"]
    docker.on_host("kill", "-9", str(before))
    until(
        "the container is back",
        lambda: (
            docker.inspect("container", web)["State"]["Pid"] not in (0, before)
            and docker.fetches(client, web) == "hello from weft"
        ),
    )


@pytest.mark.parametrize("ipam", families.of(["default", "weft"]))
def test_a_dead_containers_address_comes_back(docker: Docker, ipam: str) -> None:
    net = docker.network("--ipam-driver", ipam, "--subnet", "10.102.0.0/29")
    for _ in range(2):
        names = [docker.run("--net", net, name=f"c{n}") for n in range(4)]
        assert len({docker.address(name, net) for name in names}) == 4
        for name in names:
            docker.forget(name)
    assert docker.weft_ports(net) == []


def test_dockerd_restarts(docker: Docker, host: LabHost) -> None:
    net = docker.network("--subnet", "10.103.0.0/24")
    web = docker.run("--net", net, *ALWAYS, "-p", "8103:80", name="web")
    client = docker.run("--net", net, *ALWAYS, name="client")
    host.engine.stop()
    host.engine.start()
    until("both are back", lambda: docker.fetches(client, web) == "hello from weft")
    assert len(docker.weft_ports(net)) == 2
    page = docker.on_host("curl", "-sS", "-m", "5", "http://127.0.0.1:8103/")
    assert page.stdout == "hello from weft\n"


@pytest.mark.parametrize("ipam", families.of(["default", "weft"]))
def test_dockerd_is_killed(docker: Docker, host: LabHost, ipam: str) -> None:
    net = docker.network("--ipam-driver", ipam, "--subnet", "10.104.0.0/24")
    fixed = ("--ip", "10.104.0.9", "-p", "8104:80", "--mac-address", "02:00:00:00:04:09")
    web = docker.run("--net", net, *ALWAYS, *fixed, name="web")
    client = docker.run("--net", net, *ALWAYS, name="client")
    floating = ("-p", "8105:80", "--mac-address", "02:00:00:00:04:0a")
    docker.run("--net", net, *ALWAYS, *floating, name="floating")
    gone = docker.run("--net", net, name="gone")
    host.engine.kill()
    host.engine.start()
    until("both are back", lambda: docker.fetches(client, web) == "hello from weft")
    assert docker.address(web, net) == "10.104.0.9"
    docker.forget(gone)
    until("only three ports are left", lambda: len(docker.weft_ports(net)) == 3)
    assert len(docker.weft_devices()) == 3
    for port in (8104, 8105):
        page = docker.on_host("curl", "-sS", "-m", "5", f"http://127.0.0.1:{port}/")
        assert page.stdout == "hello from weft\n"


def test_weftd_is_killed_and_nobody_notices(docker: Docker, host: LabHost) -> None:
    net = docker.network("--subnet", "10.105.0.0/24")
    web, client = docker.run("--net", net, name="web"), docker.run("--net", net, name="client")
    host.kill_weftd()
    assert docker.fetches(client, docker.address(web, net)) == "hello from weft"
    host.start_weftd()
    late = docker.run("--net", net, name="late")
    assert docker.fetches(late, web) == "hello from weft"


def test_without_weftd_docker_answers_at_once(docker: Docker, host: LabHost) -> None:
    net = docker.network("--subnet", "10.106.0.0/24")
    web = docker.run("--net", net, *ALWAYS, name="web")
    host.engine.stop()
    usual_s = start_and_ask(docker)
    until("the container is back", lambda: docker.fetches(web, web) == "hello from weft")
    host.engine.stop()
    host.kill_weftd()
    taken_s = start_and_ask(docker)
    assert taken_s < usual_s + 2.0
    with pytest.raises(Refused, match="weftd is not running; start it with: weft up"):
        docker("start", web)
    host.start_weftd()
    until("weft started it", lambda: docker.fetches(web, web) == "hello from weft")


def test_a_container_that_died_while_weftd_was_away_is_forgotten(
    docker: Docker, host: LabHost
) -> None:
    net = docker.network("--ipam-driver", "weft", "--subnet", "10.107.0.0/24")
    dead = docker.run("--net", net, "--ip", "10.107.0.9", name="dead")
    host.kill_weftd()
    host.engine.kill()
    host.engine.start()
    docker.forget(dead)
    host.start_weftd()
    heir = docker.run("--net", net, "--ip", "10.107.0.9", name="heir")
    assert docker.address(heir, net) == "10.107.0.9"
    assert docker.reaches(heir, "10.107.0.1")


@pytest.mark.parametrize("first", families.of(["weftd", "dockerd"]))
def test_both_are_killed_and_started_in_either_order(
    docker: Docker, host: LabHost, first: str
) -> None:
    net = docker.network("--subnet", "10.108.0.0/24")
    web = docker.run("--net", net, *ALWAYS, name="web")
    client = docker.run("--net", net, *ALWAYS, name="client")
    host.kill_weftd()
    host.engine.kill()
    if first == "weftd":
        host.start_weftd()
    host.engine.start()
    host.start_weftd()
    until("both are back", lambda: docker.fetches(client, web) == "hello from weft")
    until("nothing else is left", lambda: len(docker.weft_devices()) == 2)


def test_a_network_is_removed_only_together_with_wefts(docker: Docker, host: LabHost) -> None:
    net = docker.network("--subnet", "10.109.0.0/24")
    host.kill_weftd()
    host.engine.stop()
    host.engine.start()
    with pytest.raises(Refused, match="weftd is not running"):
        docker("network", "rm", net)
    host.start_weftd()
    until("weft has forgotten it", lambda: net not in docker.weft_networks())


def start_and_ask(docker: Docker) -> float:
    """How long it takes until ``docker ps`` has answered."""
    started_s = time.monotonic()
    docker.host.engine.start()
    docker("ps")
    return time.monotonic() - started_s


@pytest.fixture
def live_docker(docker: Docker, host: LabHost) -> Iterator[Docker]:
    """An engine whose containers outlive it (``live-restore``)."""
    configuration = host.engine.directory / "etc/daemon.json"
    configuration.write_text('{"live-restore": true}')
    host.engine.stop()
    host.engine.start()
    yield docker
    docker.clean()
    configuration.unlink()
    host.engine.stop()
    host.engine.start()


def test_containers_that_outlive_dockerd_keep_their_place(
    live_docker: Docker, host: LabHost
) -> None:
    docker = live_docker
    net = docker.network("--subnet", "10.110.0.0/24")
    web = docker.run("--net", net, "-p", "8110:80", name="web")
    client = docker.run("--net", net, name="client")
    before = {port.id for port in docker.weft_ports(net)}
    host.kill_weftd()
    host.engine.kill()
    host.start_weftd()
    host.engine.start()
    late = docker.run("--net", net, name="late")
    assert docker.fetches(late, web) == "hello from weft"
    assert docker.fetches(client, late) == "hello from weft"
    assert before < {port.id for port in docker.weft_ports(net)}
    page = docker.on_host("curl", "-sS", "-m", "5", "http://127.0.0.1:8110/")
    assert page.stdout == "hello from weft\n"
    docker("restart", "-t", "2", web)
    assert docker.fetches(client, web) == "hello from weft"


def test_containers_that_ended_while_weftd_was_away_leave_no_dead_endpoint(
    live_docker: Docker, host: LabHost
) -> None:
    """Docker cannot tell the driver then, and keeps the endpoint."""
    docker = live_docker
    net = docker.network("--subnet", "10.111.0.0/24")
    gone, stopped = docker.run("--net", net, name="gone"), docker.run("--net", net, name="stopped")
    host.kill_weftd()
    host.engine.kill()
    host.engine.start()
    docker("rm", "-f", gone)
    docker("stop", "-t", "1", stopped)
    host.start_weftd()
    until("the dead one is forgotten", lambda: len(docker.weft_ports(net)) == 1)
    docker.run("--net", net, name="gone")
    told = docker.on_host("weft", "status", "problems").stdout
    assert f"container {stopped}: cannot be started" in " ".join(told.split())
    host.engine.stop()
    host.engine.start()
    docker("start", stopped)
    assert docker.reaches(stopped, gone)
