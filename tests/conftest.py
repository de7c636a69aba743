"""For all tests: no example has a deadline, for a busy machine misses any; an etcd for who asks.

Fifty times as many examples of the property tests, with the time that they take:
`make test-property ARGS="--hypothesis-profile=deep --timeout=3000"`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.etcd.server import EtcdServer

settings.register_profile("weft", deadline=None)
settings.register_profile("deep", deadline=None, max_examples=5000)
settings.load_profile("weft")


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
