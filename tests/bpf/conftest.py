"""Programs in the kernel, and a network namespace of the tests' own to run them in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bpf.namespaces import Namespace
from tests.bpf.world import WEFT0_MAC, WORKLOADS, World, host_devices, index_option
from weft.kernel.bpf import programs
from weft.kernel.bpf.programs import DataPlane

_HERE = Path(__file__).parent
_NO_ROOT_NEEDED = "test_layouts"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents and item.path.stem != _NO_ROOT_NEEDED:
            item.add_marker(pytest.mark.root)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="loading BPF programs needs root"))


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """What one CPU keeps of what it has looked up another one does not have."""
    former = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(former)})
    yield
    os.sched_setaffinity(0, former)


@pytest.fixture(scope="session")
def objects() -> Path:
    """The folder of the built objects; they are built when missing or out of date."""
    made = subprocess.run(
        ["make", "-C", _HERE.parents[1] / "bpf"], capture_output=True, text=True, timeout=300
    )
    assert made.returncode == 0, made.stderr
    return programs.OBJECTS


@pytest.fixture(scope="session")
def bpffs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bpf file system of the tests' own."""
    folder = tmp_path_factory.mktemp("bpffs")
    programs.mount_bpffs(folder)
    yield folder
    programs.purge(folder)


@pytest.fixture(scope="session")
def host() -> Iterator[Namespace]:
    """Stands for the host: the devices of `WORKLOADS`, weft0 and weft1, an underlay and weftx."""
    with Namespace() as namespace:
        namespace.run(f"ip link add weft0 address {WEFT0_MAC} type veth peer name weft1")
        for workload in WORKLOADS:
            device, index = workload.device, index_option(workload)
            namespace.run(f"ip link add {device} {index} type veth peer name {device}c")
            namespace.run(f"ip link set {workload.device}c up")
            namespace.run(f"ip link set {workload.device} up")
        namespace.run("ip link add uplink type veth peer name uplinkc")
        namespace.run("ip link set uplinkc up")
        namespace.run("ip link set uplink up")
        namespace.run("ip link add weftx type vxlan external dstport 4789 udp6zerocsumrx")
        namespace.run("ip link set weftx up")
        yield namespace


@pytest.fixture(scope="session")
def loaded(objects: Path, bpffs: Path, host: Namespace) -> Iterator[World]:
    """The programs, loaded once for all tests."""
    names = ("weft0", "weft1", "uplink", "weftx", *(workload.device for workload in WORKLOADS))
    ifindexes = {name: int(host.run(f"ip -o link show {name}").split(":")[0]) for name in names}
    with DataPlane.load(bpffs, host_devices(ifindexes), objects) as plane:
        world = World(plane, ifindexes)
        yield world
        world.check_beginnings()


@pytest.fixture
def world(loaded: World, host: Namespace) -> Iterator[World]:
    """The programs and freshly filled maps; the test runs inside `host`."""
    loaded.fill()
    with host.entered():
        yield loaded
