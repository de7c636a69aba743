"""Containers and plain namespaces on one network, whoever plugged them in."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.system.workload import NewNetwork, NewWorkload, fetch, until
from weft.api.client import Client
from weft.api.schema import NetworkInfo, NetworkList, PortInfo, PortList
from weft.control.specs import AttachSpec
from weft.lab.host import LabHost
from weft.lab.lab import Lab

pytestmark = [pytest.mark.root, pytest.mark.docker]


@pytest.fixture
def docker_host(lab: Lab, host: LabHost) -> Iterator[LabHost]:
    """h1 with a Docker engine and the image busybox; without containers afterwards."""
    host.start_docker()
    host.engine.import_image()
    yield host
    host.start_weftd()
    for container in host.engine.containers():
        host.engine.request("DELETE", f"/containers/{container}?force=1&v=1")
    host.run(["docker", "network", "prune", "--force"])


def docker(host: LabHost, *words: str) -> str:
    return host.run(["docker", *words]).strip()


def names_of_networks(api: Client) -> set[str]:
    return {network.name for network in api.get(NetworkList, "networks").networks}


def test_a_container_is_attached_by_its_name(
    docker_host: LabHost, new_network: NewNetwork, new_workload: NewWorkload, api: Client
) -> None:
    """One that Docker gave no network at all."""
    network = new_network()
    neighbour = new_workload(network, names=("near",))
    docker(docker_host, "run", "-d", "--net=none", "--name=lone", "busybox", "sleep", "600")
    spec = AttachSpec(target="lone", network=network.name)
    port = api.send(PortInfo, "POST", "attachments", body=spec)
    assert port.owner.container_name == "lone"
    assert api.send(PortInfo, "POST", "attachments", body=spec) == port
    for address in port.addresses:
        assert neighbour.reaches(address)
    assert neighbour.run("dig", "+short", "lone").strip() == port.addresses[0]
    docker(docker_host, "exec", "lone", "ping", "-c", "1", "-W", "2", neighbour.address4)
    docker(docker_host, "rm", "-f", "lone")
    until("its port is gone", lambda: len(api.get(PortList, "ports").ports) == 1)


def test_dockers_networks_are_wefts(
    docker_host: LabHost, new_workload: NewWorkload, api: Client
) -> None:
    """What ``docker run --net`` plugs in and what ``weft attach`` does meet on one network."""
    docker(docker_host, "network", "create", "-d", "weft", "--subnet=10.85.0.0/24", "shared")
    docker(docker_host, "run", "-d", "--net=shared", "--name=web", "busybox", "httpd", "-f")
    # Docker tells a network's name only in its events, and those may come late.
    until("its name is known", lambda: "shared" in names_of_networks(api))
    network = api.get(NetworkInfo, "networks", "shared")
    workload = new_workload(network)
    inspected = json.loads(docker(docker_host, "inspect", "web"))[0]
    address = inspected["NetworkSettings"]["Networks"]["shared"]["IPAddress"]
    assert workload.reaches(address)
    until("its name is known", lambda: address in workload.run("dig", "+short", "web"))
    assert "404" in workload.try_run(*fetch("http://web/")).stderr
    docker(docker_host, "exec", "web", "ping", "-c", "1", "-W", "2", workload.address4)
    docker_host.kill_weftd()
    assert workload.reaches(address)
    docker_host.start_weftd()
    assert workload.reaches(address)
    workload.detach(network)
    docker(docker_host, "rm", "-f", "web")
    docker(docker_host, "network", "rm", "shared")
    assert api.get(PortList, "ports").ports == ()
