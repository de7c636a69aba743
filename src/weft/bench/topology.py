"""Two workloads on one host, joined in the different ways that are compared.

Each way is a context manager that yields a `Pair` and leaves nothing behind. All use one MTU.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.bench.namespace import Namespace
from weft.bench.programs import Programs
from weft.errors import UnavailableError
from weft.lab.command import run

RAW_VETH = "raw veth"
WEFT = "weft"
BRIDGE = "bridge"
MACVLAN = "macvlan"
LOOPBACK = "loopback"
OPENVSWITCH = "openvswitch"

_CLIENT = "192.0.2.1"  # RFC 5737: for documentation, routed nowhere
_SERVER = "192.0.2.2"
DEVICE = "eth0"
"""Of a workload."""


@dataclass(frozen=True)
class Pair:
    """Two workloads, and the address under which the client reaches the server."""

    client: Namespace
    server: Namespace
    address: str
    programs: Programs = field(default_factory=dict)
    """What works between them; empty: none whose time is asked for."""


Variant = Callable[[int], AbstractContextManager[Pair]]
"""From an MTU to a pair."""


@contextmanager
def raw_veth(mtu_bytes: int) -> Iterator[Pair]:
    """The two ends of one veth pair: nothing can be faster between two namespaces."""
    with Namespace("client") as client, Namespace("server") as server:
        client.ip(veth(DEVICE, mtu_bytes, DEVICE, server))
        give_addresses(client, server)
        yield Pair(client, server, _SERVER)


@contextmanager
def bridge(mtu_bytes: int) -> Iterator[Pair]:
    """A Linux bridge as Docker sets one up, without its firewall rules."""
    with through_middle(mtu_bytes) as (middle, client, server):
        middle.ip(
            "link add bridge type bridge stp_state 0 forward_delay 0",
            f"link set bridge mtu {mtu_bytes} up",
            "link set to-client master bridge",
            "link set to-server master bridge",
        )
        give_addresses(client, server)
        yield Pair(client, server, _SERVER)


def links_of(where: Namespace) -> dict[str, Any]:
    """What `ip` says of each device, by name."""
    links = json.loads(where.run(["ip", "-json", "link", "show"]))
    return {link["ifname"]: link for link in links}


@contextmanager
def macvlan(mtu_bytes: int) -> Iterator[Pair]:
    """Two macvlan devices in bridge mode on one parent."""
    with (
        Namespace("middle") as middle,
        Namespace("client") as client,
        Namespace("server") as server,
    ):
        middle.ip(
            f"link add parent mtu {mtu_bytes} type veth peer name other",
            "link set parent up",
            "link set other up",
            *(
                f"link add link parent name {DEVICE} mtu {mtu_bytes} netns {end.pid}"
                " type macvlan mode bridge"
                for end in (client, server)
            ),
        )
        give_addresses(client, server)
        yield Pair(client, server, _SERVER)


@contextmanager
def loopback(mtu_bytes: int) -> Iterator[Pair]:
    """Both workloads in one namespace: no device pair, no isolation."""
    with Namespace("both") as both:
        both.ip(f"link set lo mtu {mtu_bytes}")
        yield Pair(both, both, "127.0.0.1")


@contextmanager
def openvswitch(mtu_bytes: int) -> Iterator[Pair]:
    """Open vSwitch with its kernel datapath, or the one in user space where the kernel has none.

    The latter reads raw frames, so checksums and segmentation must be done before.
    """
    if shutil.which("ovs-vswitchd") is None and not Path("/usr/sbin/ovs-vswitchd").exists():
        raise UnavailableError("openvswitch-switch is not installed")
    with ExitStack() as stack:
        middle, client, server = stack.enter_context(through_middle(mtu_bytes))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-bench-")))
        datapath = "system" if has_kernel_openvswitch() else "netdev"
        if datapath == "netdev":
            for end in (client, server):
                end.run(["ethtool", "-K", DEVICE, "tx", "off"])
        stack.enter_context(openvswitch_daemons(middle, folder))
        control = ["ovs-vsctl", f"--db=unix:{folder}/db.sock", "--timeout=20"]
        middle.run([*control, "add-br", "switch", *_set(f"datapath_type={datapath}")])
        for port in ("to-client", "to-server"):
            middle.run([*control, "add-port", "switch", port])
        give_addresses(client, server)
        yield Pair(client, server, _SERVER)


def has_kernel_openvswitch() -> bool:
    """Whether the kernel has Open vSwitch's datapath."""
    if Path("/sys/module/openvswitch").exists():
        return True
    loaded = subprocess.run(["modprobe", "-q", "openvswitch"], check=False, capture_output=True)
    return loaded.returncode == 0


def check_mtu(pair: Pair, mtu_bytes: int) -> None:
    """UnavailableError unless both ends have the MTU that all are compared at."""
    for end in (pair.client, pair.server):
        mtus = {name: link["mtu"] for name, link in links_of(end).items()}
        device = DEVICE if DEVICE in mtus else "lo"
        if mtus[device] != mtu_bytes:
            raise UnavailableError(f"{device} has MTU {mtus[device]}, not {mtu_bytes}")


def _set(setting: str) -> list[str]:
    return ["--", "set", "bridge", "switch", setting]


def veth(name: str, mtu_bytes: int, peer: str, peer_namespace: Namespace) -> str:
    """A line for `Namespace.ip`: a cable whose other end is in another namespace."""
    return (
        f"link add {name} mtu {mtu_bytes} type veth"
        f" peer name {peer} mtu {mtu_bytes} netns {peer_namespace.pid}"
    )


def give_addresses(client: Namespace, server: Namespace) -> None:
    """192.0.2.1 and .2 on the workloads' devices; returns when one has answered the other."""
    for end, address in ((client, _CLIENT), (server, _SERVER)):
        end.ip(
            f"address add {address}/24 dev {DEVICE}",
            f"link set {DEVICE} up",
        )
    run(client.enter(["ping", "-c", "1", "-W", "1", "-i", "0.2", "-w", "10", _SERVER]))


@contextmanager
def through_middle(mtu_bytes: int) -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """A namespace between two workloads, and a cable from it to each: (middle, client, server)."""
    with (
        Namespace("middle") as middle,
        Namespace("client") as client,
        Namespace("server") as server,
    ):
        middle.ip(
            veth("to-client", mtu_bytes, DEVICE, client),
            veth("to-server", mtu_bytes, DEVICE, server),
            "link set to-client up",
            "link set to-server up",
        )
        yield middle, client, server


@contextmanager
def openvswitch_daemons(middle: Namespace, folder: Path) -> Iterator[None]:
    """Open vSwitch of a host's own, with its files in a folder."""
    database = folder / "conf.db"
    run(["ovsdb-tool", "create", str(database), "/usr/share/openvswitch/vswitch.ovsschema"])
    socket = f"unix:{folder}/db.sock"
    logs = ["-vconsole:off", "-vsyslog:off"]
    control = f"--unixctl={folder}/%s.ctl"
    commands = (
        ["ovsdb-server", str(database), f"--remote=p{socket}", control % "db", *logs],
        ["ovs-vswitchd", socket, control % "switch", *logs],
    )
    environment = {"OVS_RUNDIR": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    daemons = []
    try:
        for command in commands:
            held = ["setpriv", "--pdeathsig", "KILL", *middle.enter(command)]
            daemons.append(subprocess.Popen(held, env=environment))
        run(["ovs-vsctl", f"--db={socket}", "--timeout=20", "--retry", "--no-wait", "init"])
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(timeout=10)
