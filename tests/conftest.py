"""For all tests: no example has a deadline, for a busy machine misses any; an etcd for who asks.
Files that wait for hosts come first.

Fifty times as many examples of the property tests, with the time that they take:
`make test-property ARGS="--hypothesis-profile=deep --timeout=3000"`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.etcd.server import EtcdServer

_HERE = Path(__file__).parent
_WAITING = {_HERE / "docker", _HERE / "system", _HERE / "conformance"}
"""Their files may take minutes and have few tests."""
settings.register_profile("weft", deadline=None)
settings.register_profile("deep", deadline=None, max_examples=5000)
settings.load_profile("weft")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--engine`: which one the behaviours of tests/conformance are asked of."""
    parser.addoption("--engine", default="ebpf", choices=["ebpf"])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes none is left alone at the end with a file that takes minutes, for the
    quick ones fill up the time until then. Within both the order is a random one."""
    items.sort(key=lambda item: _WAITING.isdisjoint(item.path.parents))


@pytest.fixture(scope="session")
def etcd() -> Iterator[EtcdServer]:
    """A real etcd for the whole session; each test has a prefix of its own in it."""
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed (Debian: etcd-server)")
    server = EtcdServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def own_etcd() -> Iterator[EtcdServer]:
    """One that a test may stop and damage; it does not run yet."""
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed (Debian: etcd-server)")
    server = EtcdServer()
    yield server
    server.remove()
