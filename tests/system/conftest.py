"""Two labs a test session: one host with a real weftd and whatever a test plugs into it, and three
hosts that tests make a cluster of.

A test gets a host that runs; it may kill, cut and damage it, and the next one gets a sound host
again. Everything that a test makes goes with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import pytest

from tests.system.cluster import Cluster
from tests.system.shared_lab import SharedLab
from tests.system.workload import PATIENCE, NewNetwork, NewWorkload, Weft, Workload, add_network
from weft.api.client import Client
from weft.api.schema import NetworkInfo
from weft.errors import WeftError
from weft.lab.host import LabHost, weft_command
from weft.lab.lab import Lab

SETTINGS = {"reconcile_s": 1.0, "rest_s": 0.2, "flow_tcp_closed_s": 1, "flow_entries": 4096}
_numbers = count(1)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    made = Lab(f"system-{os.getpid()}")
    try:
        made.up(1, settings=SETTINGS)
        yield made
    finally:
        made.down()


@pytest.fixture
def host(lab: Lab) -> Iterator[LabHost]:
    """h1, its weftd running and without networks; so it is left, too."""
    h1 = lab.host("h1")
    h1.start_weftd()
    yield h1
    h1.start_weftd()
    lab.underlay.heal(h1)


@pytest.fixture
def api(host: LabHost) -> Client:
    """The way to weftd of h1."""
    return Client(host.api_socket, timeout_s=20 * PATIENCE)


@pytest.fixture
def outside(lab: Lab) -> tuple[str, str]:
    """IPv4 and IPv6 address of the outside."""
    layout = lab.outside.layout
    return str(layout.address4), str(layout.address6)


@pytest.fixture
def new_network(host: LabHost, api: Client) -> Iterator[NewNetwork]:
    """Makes networks: ``new_network("10.1.0.0/24", is_internal=True)``.

    Without a prefix it has one of each family that no other test has.
    """
    made: list[str] = []

    def make(*cidrs: str, **fields: object) -> NetworkInfo:
        number = next(_numbers)
        name = f"net{number}"
        made.append(name)
        usual = (f"10.77.{number % 250}.0/24", f"fd77:{number:x}::/64")
        return add_network(api, name, cidrs or usual, **fields)

    yield make
    host.start_weftd()
    for name in made:
        with suppress(WeftError):
            api.delete("networks", name)


@pytest.fixture
def new_workload(host: LabHost, api: Client, new_network: NewNetwork) -> Iterator[NewWorkload]:
    """Makes network namespaces and attaches them: ``new_workload(network, addresses=(…,))``."""
    made: list[Workload] = []

    def make(*networks: NetworkInfo, **fields: object) -> Workload:
        workload = Workload(host, api, f"w{next(_numbers)}")
        made.append(workload)
        for network in networks:
            workload.attach(network, **fields)
        return workload

    yield make
    host.start_weftd()
    for workload in made:
        workload.remove()


@pytest.fixture(scope="session")
def three_hosts() -> Iterator[SharedLab]:
    made = SharedLab()
    try:
        made.up()
        yield made
    finally:
        made.lab.down()


@pytest.fixture
def fresh(three_hosts: SharedLab) -> Iterator[Cluster]:
    """A first host, and two that never ran weftd."""
    with three_hosts.lent() as cluster:
        cluster.begin()
        yield cluster


@pytest.fixture
def cluster(three_hosts: SharedLab) -> Iterator[Cluster]:
    """Three hosts that are one cluster."""
    with three_hosts.lent() as cluster:
        cluster.gather()
        yield cluster


@pytest.fixture(scope="module")
def joined(three_hosts: SharedLab) -> Iterator[Cluster]:
    """The same for all tests of a file, which leave it whole."""
    with three_hosts.lent() as cluster:
        cluster.gather()
        yield cluster


@pytest.fixture
def weft(host: LabHost) -> Weft:
    """Runs the command; what it printed."""

    def run(*words: str) -> str:
        return host.run([*weft_command(), *words])

    return run


@pytest.fixture
def network(new_network: NewNetwork) -> NetworkInfo:
    return new_network()
