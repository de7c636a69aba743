"""Two workloads on two hosts with one cable, joined in the ways that Weft is compared with.

Each way is a context manager that yields a `Pair` and leaves nothing behind. What is compared is
what workloads see, so all have the same MTU inside, and the cable carries what each puts around it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from weft.bench.namespace import Namespace
from weft.bench.topology import (
    DEVICE,
    Pair,
    give_addresses,
    has_kernel_openvswitch,
    openvswitch_daemons,
    veth,
)
from weft.errors import UnavailableError
from weft.kernel.wireguard import device
from weft.lab.command import run

UNDERLAY = "underlay"
VXLAN_BRIDGE = "vxlan + bridge"
OPENVSWITCH = "openvswitch"
WIREGUARD = "wireguard"

CABLE = "cable0"
ROOM_BYTES = 150
"""More than any way puts around a packet."""
HOSTS = ("198.51.100.1", "198.51.100.2")  # RFC 5737
_VNI = 77
_WIREGUARD_PORT = 51820
_PATIENCE_S = 10.0


class Cabled(NamedTuple):
    """Two hosts with a cable between them."""

    client: Namespace
    server: Namespace


@contextmanager
def underlay(mtu_bytes: int) -> Iterator[Pair]:
    """The hosts themselves, over the cable: nothing between two hosts can be faster."""
    with Namespace("client") as client, Namespace("server") as server:
        client.ip(veth(DEVICE, mtu_bytes, DEVICE, server))
        give_addresses(client, server)
        yield Pair(client, server, "192.0.2.2")


@contextmanager
def underlay6(mtu_bytes: int) -> Iterator[Pair]:
    """The same over IPv6."""
    with underlay(mtu_bytes) as pair:
        for end, address in ((pair.client, "2001:db8::1"), (pair.server, "2001:db8::2")):
            end.ip(f"address add {address}/64 dev {DEVICE} nodad")
        _await_answer(pair.client, "2001:db8::2")
        yield Pair(pair.client, pair.server, "2001:db8::2")


@contextmanager
def vxlan_bridge(mtu_bytes: int) -> Iterator[Pair]:
    """On each host a bridge with the workload and a VXLAN device: what flannel and Docker's overlay
    come down to, without their rules."""
    with workloads(mtu_bytes) as (hosts, ends):
        for host, local, remote in zip(hosts, HOSTS, reversed(HOSTS), strict=True):
            host.ip(
                f"link add vxlan0 mtu {mtu_bytes} type vxlan id {_VNI} local {local}"
                f" remote {remote} dstport 4789 dev {CABLE}",
                "link add bridge type bridge stp_state 0 forward_delay 0",
                f"link set bridge mtu {mtu_bytes} up",
                "link set vxlan0 master bridge up",
                "link set to-workload master bridge",
            )
        give_addresses(*ends)
        yield Pair(*ends, "192.0.2.2")


@contextmanager
def openvswitch(mtu_bytes: int) -> Iterator[Pair]:
    """Open vSwitch with a VXLAN port on each host; in user space where the kernel has no datapath.

    There the cable belongs to a bridge of its own, which sends what is encapsulated.
    """
    if shutil.which("ovs-vswitchd", path=f"{os.defpath}:/usr/sbin:/sbin") is None:
        raise UnavailableError("openvswitch-switch is not installed")
    datapath = "system" if has_kernel_openvswitch() else "netdev"
    with ExitStack() as stack:
        hosts, ends = stack.enter_context(workloads(mtu_bytes))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-bench-")))
        for number, host in enumerate(hosts):
            own = folder / str(number)
            own.mkdir()
            stack.enter_context(openvswitch_daemons(host, own))
            _switch(host, own, datapath, number)
        if datapath == "netdev":
            for end in ends:
                end.run(["ethtool", "-K", DEVICE, "tx", "off"])
        give_addresses(*ends)
        yield Pair(*ends, "192.0.2.2")


def _switch(host: Namespace, folder: Path, datapath: str, number: int) -> None:
    control = ["ovs-vsctl", f"--db=unix:{folder}/db.sock", "--timeout=20"]
    kind = ["--", "set", "bridge"]
    host.run([*control, "add-br", "switch", *kind, "switch", f"datapath_type={datapath}"])
    host.run([*control, "add-port", "switch", "to-workload"])
    tunnel = [f"options:remote_ip={HOSTS[1 - number]}", f"options:key={_VNI}"]
    port = ["--", "set", "interface", "tunnel", "type=vxlan", *tunnel]
    if datapath == "netdev":
        host.run([*control, "add-br", "wire", *kind, "wire", f"datapath_type={datapath}"])
        host.run([*control, "add-port", "wire", CABLE])
        host.ip(
            f"address flush dev {CABLE}",
            f"address add {HOSTS[number]}/24 dev wire",
            "link set wire up",
        )
        host.run(["ethtool", "-K", CABLE, "tx", "off"])
    host.run([*control, "add-port", "switch", "tunnel", *port])


@contextmanager
def wireguard(mtu_bytes: int) -> Iterator[Pair]:
    """The hosts themselves through WireGuard and nothing else, the kernel's where it has one: the
    limit of what is encrypted."""
    kind = device.kind_here()
    if kind == "none" or shutil.which("wg") is None:
        raise UnavailableError("no WireGuard: apt install wireguard-tools wireguard-go")
    with ExitStack() as stack:
        hosts = stack.enter_context(_cabled(mtu_bytes + ROOM_BYTES))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-bench-")))
        names = [f"wb{os.getpid()}{role}" for role in "cs"]
        keys = [run(["wg", "genkey"]).strip() for _ in hosts]
        for host, name in zip(hosts, names, strict=True):
            if kind == "kernel":
                host.ip(f"link add {name} type wireguard")
            else:
                stack.enter_context(_wireguard_process(host, name))
        for number, (host, name) in enumerate(zip(hosts, names, strict=True)):
            other = run(["wg", "pubkey"], text=keys[1 - number] + "\n").strip()
            configuration = folder / name
            configuration.touch(mode=0o600)
            configuration.write_text(
                f"[Interface]\nPrivateKey = {keys[number]}\nListenPort = {_WIREGUARD_PORT}\n"
                f"[Peer]\nPublicKey = {other}\nAllowedIPs = 0.0.0.0/0\n"
                f"Endpoint = {HOSTS[1 - number]}:{_WIREGUARD_PORT}\n"
            )
            host.run(["wg", "setconf", name, str(configuration)])
            host.ip(f"link set {name} name {DEVICE} mtu {mtu_bytes}")
        give_addresses(*hosts)
        yield Pair(*hosts, "192.0.2.2")


@contextmanager
def _wireguard_process(host: Namespace, name: str) -> Iterator[None]:
    command = ["setpriv", "--pdeathsig", "KILL", *host.enter(["wireguard-go", "-f", name])]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    socket = Path(f"/var/run/wireguard/{name}.sock")
    try:
        deadline_s = time.monotonic() + _PATIENCE_S
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise UnavailableError("wireguard-go does not start; is there /dev/net/tun?")
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE_S)
        socket.unlink(missing_ok=True)


@contextmanager
def _cabled(mtu_bytes: int) -> Iterator[Cabled]:
    """Two hosts and their cable."""
    with Namespace("client-host") as client, Namespace("server-host") as server:
        client.ip(veth(CABLE, mtu_bytes, CABLE, server))
        for host, address in zip((client, server), HOSTS, strict=True):
            host.ip(f"address add {address}/24 dev {CABLE}", f"link set {CABLE} up")
        _await_answer(client, HOSTS[1])
        yield Cabled(client, server)


@contextmanager
def workloads(mtu_bytes: int) -> Iterator[tuple[Cabled, Cabled]]:
    """Two hosts, and on each a workload with its cable to the host."""
    with (
        _cabled(mtu_bytes + ROOM_BYTES) as hosts,
        Namespace("client") as client,
        Namespace("server") as server,
    ):
        for host, end in zip(hosts, (client, server), strict=True):
            host.ip(veth("to-workload", mtu_bytes, DEVICE, end), "link set to-workload up")
        yield hosts, Cabled(client, server)


def _await_answer(where: Namespace, address: str) -> None:
    where.run(["ping", "-c", "1", "-W", "1", "-i", "0.2", "-w", "10", address])
