"""One lab host a session with a real Docker engine; each test gets it whole and leaves it empty."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import count

import pytest

from tests.docker.engine import Docker
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


@pytest.fixture
def outside(lab: Lab) -> str:
    """IPv4 address of the outside, where a web server answers."""
    return str(lab.outside.layout.address4)
