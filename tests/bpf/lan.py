"""The world of `world.py` for real: every workload in a network namespace of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bpf.namespaces import Namespace
from tests.bpf.world import MTU, WEFT0_MAC, WORKLOADS, Workload, World, host_devices, index_option
from tests.own_addresses import await_addresses
from weft.kernel.bpf.programs import DataPlane
from weft.model.service_addresses import DNS4, DNS6

OUTSIDE4, OUTSIDE6 = "198.51.100.7", "2001:db8::7"
"""Addresses of the host that belong to no network."""
DEADLINE_S = 10.0 * float(os.environ.get("WEFT_TEST_PATIENCE", "1"))


class Lan:
    """Workloads and the host, joined by the programs."""

    def __init__(self, host: Namespace, insides: dict[Workload, Namespace], world: World) -> None:
        self.host = host
        self.insides = insides
        self.world = world

    def at(self, workload: Workload, command: str, *, check: bool = True) -> str:
        """Run a command inside a workload."""
        return self.insides[workload].run(command, check=check)

    def pings(self, workload: Workload, target: str, *options: str) -> bool:
        command = " ".join(["ping -c 3 -i 0.05 -W 2 -q", *options, target])
        return " 0% packet loss" in self.at(workload, command, check=False)

    def attach(self, plane_dir: Path, device: str, role: str) -> None:
        """Put a pinned program on a device, instead of the one there.

        tc makes folders in a bpf file system, and not in the machine's when it is told where.
        """
        self.host.run(
            f"env TC_BPF_MNT={plane_dir} tc filter replace dev {device} ingress prio 1 handle 1 "
            f"bpf direct-action object-pinned {plane_dir}/programs/{role}"
        )


@contextmanager
def made(bpffs: Path, objects: Path) -> Iterator[Lan]:
    """Everything up, addresses past duplicate detection."""
    with ExitStack() as stack:
        host = stack.enter_context(Namespace())
        insides = {workload: stack.enter_context(Namespace()) for workload in WORKLOADS}
        _prepare_host(host)
        for workload, inside in insides.items():
            _plug(host, inside, workload)
        names = ("weft0", "weft1", *(workload.device for workload in WORKLOADS))
        ifindexes = {name: int(host.run(f"ip -o link show {name}").split(":")[0]) for name in names}
        devices = host_devices(ifindexes)
        plane = stack.enter_context(DataPlane.load(bpffs, devices, objects))
        lan = Lan(host, insides, World(plane, ifindexes))
        lan.world.fill()
        for name in names:
            if name != "weft0":
                host.run(f"tc qdisc add dev {name} clsact")
                lan.attach(bpffs, name, "from_host" if name == "weft1" else "from_port")
            host.run(f"ip link set {name} up")
        _give_host_routes(host)
        for workload, inside in insides.items():
            _configure(inside, workload)
        for inside in insides.values():
            wait_for(lambda inside=inside: " tentative" not in inside.run("ip -6 address show"))  # type: ignore[misc]
        for namespace in (host, *insides.values()):
            await_addresses(f"/proc/{os.getpid()}/fd/{namespace.fd}")
        yield lan


def wait_for(condition: Callable[[], bool]) -> None:
    """AssertionError when it does not hold within the deadline."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def _prepare_host(host: Namespace) -> None:
    host.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    host.run(f"ip link add weft0 mtu 65535 address {WEFT0_MAC} type veth peer name weft1")
    host.run("ip link set weft1 mtu 65535")
    for name in ("weft0", "weft1"):
        host.run(f"ip link set {name} addrgenmode none")
    host.run("ip link set weft0 arp off")
    host.run(f"ip address add {OUTSIDE4}/32 dev lo")
    host.run(f"ip -6 address add {OUTSIDE6}/128 dev lo")


def _give_host_routes(host: Namespace) -> None:
    host.run(f"ip address add {DNS4}/32 dev weft0")
    host.run(f"ip -6 address add {DNS6}/128 dev weft0 nodad")
    for prefix in ("10.1.0.0/24", "10.1.1.0/24", "10.2.0.0/24", "240.0.0.0/4"):
        host.run(f"ip route add {prefix} dev weft0 mtu {MTU}")
    for prefix in ("fd00:1::/64", "fd00:1:1::/64", "fd00:2::/64", "fd77:6566:7400:1::/64"):
        host.run(f"ip -6 route add {prefix} dev weft0 mtu {MTU}")


def _plug(host: Namespace, inside: Namespace, workload: Workload) -> None:
    peer = f"{workload.device}c"
    host.run(
        f"ip link add {workload.device} {index_option(workload)} mtu {MTU} type veth "
        f"peer name {peer} mtu {MTU} address {workload.mac}"
    )
    host.run(f"ip link set {workload.device} addrgenmode none")
    host.run(f"ip link set {peer} netns /proc/{os.getpid()}/fd/{inside.fd}")
    inside.run(f"ip link set {peer} name eth0")


def _configure(inside: Namespace, workload: Workload) -> None:
    gateway4 = workload.ipv4.rsplit(".", 1)[0] + ".1"
    gateway6 = workload.ipv6.rsplit("::", 1)[0] + "::1"
    inside.run("ip link set eth0 up")
    inside.run(f"ip address add {workload.ipv4}/24 dev eth0")
    inside.run(f"ip -6 address add {workload.ipv6}/64 dev eth0")
    inside.run(f"ip route add default via {gateway4}")
    inside.run(f"ip -6 route add default via {gateway6}")
