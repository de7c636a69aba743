"""Two containers on an overlay network of Docker's own: two engines in a swarm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from weft.bench.cluster import lab_hosts
from weft.bench.namespace import EnteredNamespace
from weft.bench.topology import Pair
from weft.bench.two_hosts import ROOM_BYTES
from weft.lab.engine import IMAGE
from weft.lab.host import LabHost

_NETWORK = "overlay-bench"
_VXLAN_BYTES = 50
"""Docker gives containers so much less than the option says."""


@contextmanager
def docker_overlay(say: Callable[[str], None], mtu_bytes: int) -> Iterator[Pair]:
    """UnavailableError where the kernel does not let a swarm start."""
    with (
        lab_hosts(say, 2, mtu_bytes + ROOM_BYTES, has_docker=True) as lab,
        ExitStack() as stack,
    ):
        first, second = lab.host("h1"), lab.host("h2")
        address = str(first.layout.address4)
        _docker(first, "swarm", "init", "--advertise-addr", address)
        token = _docker(first, "swarm", "join-token", "--quiet", "worker").strip()
        _docker(second, "swarm", "join", "--token", token, address)
        mtu = f"com.docker.network.driver.mtu={mtu_bytes + _VXLAN_BYTES}"
        _docker(first, "network", "create", "-d", "overlay", "--attachable", "-o", mtu, _NETWORK)
        ends = []
        for host, role in ((first, "client"), (second, "server")):
            host.engine.import_image()
            run = ["run", "--detach", "--rm", "--net", _NETWORK, "--name", role, IMAGE]
            _docker(host, *run, "sleep", "1000000")
            stack.callback(_docker, host, "rm", "--force", role)
            state = json.loads(_docker(host, "inspect", role))[0]
            ends.append(EnteredNamespace(role, state["State"]["Pid"]))
            server = state["NetworkSettings"]["Networks"][_NETWORK]["IPAddress"]
        ends[0].run(["ping", "-c", "1", "-W", "1", "-i", "0.2", "-w", "20", server])
        yield Pair(ends[0], ends[1], server)


def _docker(host: LabHost, *arguments: str) -> str:
    return host.run(["docker", *arguments], timeout_s=120)
