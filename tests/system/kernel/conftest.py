"""A host of one's own: each test runs inside a fresh network namespace."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.own_addresses import await_addresses_here
from weft.config import Settings
from weft.engine.ebpf.sink import Sink
from weft.kernel import netns
from weft.kernel.netlink import Netlink

PATIENCE = float(os.environ.get("WEFT_TEST_PATIENCE", "1"))
"""How much longer everything may take here, for an emulated machine."""
_numbers = count(1)


def run(command: str) -> str:
    """What a command prints, in the namespace of the calling thread."""
    return subprocess.run(
        command, shell=True, check=True, capture_output=True, text=True, timeout=20 * PATIENCE
    ).stdout


@pytest.fixture
def new_netns() -> Iterator[Callable[[], str]]:
    """Makes network namespaces; gives their paths."""
    made: list[str] = []

    def make() -> str:
        name = f"kern-{os.getpid()}-{next(_numbers)}"
        run(f"ip netns add {name}")
        made.append(name)
        return f"/run/netns/{name}"

    yield make
    for name in made:
        subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture
def host_netns(new_netns: Callable[[], str]) -> Iterator[str]:
    """The test itself runs inside this namespace, as weftd does in the host's."""
    path = new_netns()
    with netns.entered(path):
        run("ip link set lo up")
        yield path


@pytest.fixture
def netlink(host_netns: str) -> Iterator[Netlink]:
    with Netlink() as opened:
        yield opened


@pytest.fixture
def settings(host_netns: str, tmp_path: Path) -> Settings:
    return Settings(
        name="kern",
        run_dir=str(tmp_path / "run"),
        state_dir=str(tmp_path / "state"),
        bpffs_dir=str(tmp_path / "bpf"),
        mtu_bytes=1400,
    )


@pytest.fixture
def sink(settings: Settings) -> Iterator[Sink]:
    made = Sink(settings)
    try:
        made.start()
        yield made
    finally:
        made.purge()


@pytest.fixture
def addresses(host_netns: str) -> None:
    """Those of `test_kernel_sink.HOST`, on a device of the host's, which is up as it is given."""
    run("ip link add up9 type veth peer name up8; ip link set up9 addrgenmode none")
    run("ip link set up8 addrgenmode none; ip link set up9 up; ip link set up8 up")
    run("ip addr add 192.0.2.10/24 dev up9; ip -6 addr add 2001:db8::10/64 dev up9 nodad")
    await_addresses_here()
    deadline_s = time.monotonic() + 10 * PATIENCE
    while run("ip -o link").count("state UP") < 2:  # the kernel says so in its own time
        assert time.monotonic() < deadline_s, "up8 and up9 do not come up"
        time.sleep(0.01)
