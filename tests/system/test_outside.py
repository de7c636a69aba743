"""The way out of the host, and the host's own way in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.system.workload import PING_ONCE, NewNetwork, NewWorkload, Workload, until
from weft.api.client import Client
from weft.api.schema import ExposeRequest, NetworkInfo, PortInfo
from weft.lab.host import LabHost
from weft.lab.lab import Lab

pytestmark = pytest.mark.root


@pytest.fixture
def network(new_network: NewNetwork) -> NetworkInfo:
    return new_network()


@pytest.fixture
def workload(network: NetworkInfo, new_workload: NewWorkload) -> Workload:
    return new_workload(network)


def host_reaches(host: LabHost, address: str) -> bool:
    return (
        subprocess.run(
            [*host.enter, *PING_ONCE, address], capture_output=True, check=False
        ).returncode
        == 0
    )


@pytest.mark.smoke
def test_the_outside_sees_the_host_address(
    host: LabHost, workload: Workload, outside: tuple[str, str]
) -> None:
    four, six = outside
    assert workload.fetch(f"http://{four}/") == f"outside greets {host.layout.address4}\n"
    assert workload.fetch(f"http://[{six}]/") == f"outside greets {host.layout.address6}\n"
    assert workload.reaches(four)
    assert workload.reaches(six)
    assert len(workload.fetch(f"http://{four}/bytes/3000000")) == 3000000


def test_a_router_on_the_way_shows_up(workload: Workload, outside: tuple[str, str]) -> None:
    done = workload.try_run("ping", "-n", "-c", "1", "-W", "2", "-t", "1", outside[0])
    assert done.returncode != 0
    assert "Time to live exceeded" in done.stdout


@pytest.fixture
def dropping_host(host: LabHost) -> Iterator[LabHost]:
    """A host where somebody, as Docker does, drops all forwarding that no rule accepts."""
    for command in ("iptables", "ip6tables"):
        host.run([command, "-P", "FORWARD", "DROP"])
    yield host
    for command in ("iptables", "ip6tables"):
        host.run([command, "-P", "FORWARD", "ACCEPT"])


def test_beside_a_forward_chain_that_drops(
    dropping_host: LabHost, workload: Workload, outside: tuple[str, str]
) -> None:
    for address in outside:
        until(f"{address} is reached", lambda address=address: workload.reaches(address))  # type: ignore[misc]
    for command in ("iptables", "ip6tables"):
        dropping_host.run([command, "-F", "FORWARD"])
    for address in outside:
        until(f"{address} again", lambda address=address: workload.reaches(address))  # type: ignore[misc]
    assert "-P FORWARD DROP" in dropping_host.run(["iptables", "-S", "FORWARD"])


def test_the_outside_does_not_get_in(host: LabHost, workload: Workload, lab: Lab) -> None:
    enter = lab.outside.enter
    route = ["ip", "route", "replace", workload.address4, "via", str(host.layout.address4)]
    subprocess.run([*enter, *route], check=True)
    try:
        ping = ["ping", "-n", "-c", "2", "-i", "0.1", "-W", "1", workload.address4]
        done = subprocess.run([*enter, *ping], capture_output=True, check=False)
        assert done.returncode != 0
    finally:
        subprocess.run([*enter, "ip", "route", "del", workload.address4], check=True)


@pytest.mark.smoke
def test_expose_gives_the_host_a_place_and_hide_takes_it(
    host: LabHost, network: NetworkInfo, workload: Workload, api: Client
) -> None:
    assert not host_reaches(host, workload.address4)
    assert not host_reaches(host, workload.address6)
    place = api.send(PortInfo, "PUT", "networks", network.name, "host", body=ExposeRequest())
    for address in (workload.address4, workload.address6):
        assert host_reaches(host, address)
    for address in place.addresses:
        assert workload.reaches(address)
    again = api.send(PortInfo, "PUT", "networks", network.name, "host", body=ExposeRequest())
    assert again == place
    api.delete("networks", network.name, "host")
    assert not host_reaches(host, workload.address4)
    assert not host_reaches(host, workload.address6)
    for address in place.addresses:
        assert not workload.reaches(address)


def test_exposing_one_network_opens_no_other(
    host: LabHost,
    network: NetworkInfo,
    new_network: NewNetwork,
    new_workload: NewWorkload,
    api: Client,
) -> None:
    closed = new_workload(new_network())
    place = api.send(PortInfo, "PUT", "networks", network.name, "host", body=ExposeRequest())
    assert not host_reaches(host, closed.address4)
    assert not host_reaches(host, closed.address6)
    for address in place.addresses:
        assert not closed.reaches(address)
