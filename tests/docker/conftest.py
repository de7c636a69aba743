"""One lab host a session with a real Docker engine; each test gets it whole and leaves it empty."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import pytest

from tests.docker.engine import CLI, Docker, until
from weft.api.schema import HostList
from weft.lab.host import LabHost
from weft.lab.lab import Lab

SETTINGS = {"reconcile_s": 1.0, "rest_s": 0.2}
_numbers = count(1)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("dockerd") is None:
        pytest.skip("needs dockerd; make setup installs it")
    made = Lab(f"docker-{os.getpid()}")
    try:
        made.up(1, has_docker=True, settings=SETTINGS)
        made.host("h1").engine.import_image()
        yield made
    finally:
        made.down()


@pytest.fixture
def host(lab: Lab) -> LabHost:
    """h1 with weftd and dockerd running."""
    h1 = lab.host("h1")
    h1.start_weftd()
    h1.engine.start()
    return h1


@pytest.fixture
def docker(host: LabHost) -> Iterator[Docker]:
    """The engine; all that a test makes is removed after it, and must then be gone."""
    engine = Docker(host, f"t{next(_numbers)}-")
    yield engine
    engine.clean()


class Pair(NamedTuple):
    """The engines of two hosts of one cluster."""

    one: Docker
    other: Docker


@pytest.fixture(scope="session")
def two_hosts(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Two hosts that have joined, each with an engine."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("dockerd") is None:
        pytest.skip("needs dockerd; make setup installs it")
    made = Lab(f"docker-pair-{os.getpid()}")
    try:
        made.up(2, has_docker=True, settings=SETTINGS)
        for host in made.hosts():
            host.engine.import_image()
        yield made
    finally:
        made.down()


@pytest.fixture
def pair(two_hosts: Lab) -> Iterator[Pair]:
    """Both engines, running; all that a test makes is removed after it, and must then be gone."""
    prefix = f"t{next(_numbers)}-"
    engines = []
    for host in two_hosts.hosts():
        host.start_weftd()
        host.engine.start()
        engines.append(Docker(host, prefix))
    pair = Pair(*engines)
    until("each knows the other", lambda: all(_host_count(docker) == 2 for docker in pair))
    yield pair
    for docker in pair:
        docker.host.start_weftd()
        docker.host.engine.start()
        for container in reversed(docker._containers):
            docker.forget(container)
    for docker in pair:
        for network in reversed(docker._networks):
            docker.on_host(CLI, "network", "rm", network)
    for docker in pair:
        until("weft has no docker networks", lambda docker=docker: not docker.weft_networks())  # type: ignore[misc]
        until("weft has no docker devices", lambda docker=docker: not docker.weft_devices())  # type: ignore[misc]
        until("weft has no ports", lambda docker=docker: not docker.weft_ports())  # type: ignore[misc]


def _host_count(docker: Docker) -> int:
    return len(docker.weft.get(HostList, "hosts").hosts)


@pytest.fixture
def outside(lab: Lab) -> str:
    """IPv4 address of the outside, where a web server answers."""
    return str(lab.outside.layout.address4)
