"""What others do with the rules that Weft's scenes have: Linux's bridge as Docker sets it up, with
iptables, and Open vSwitch in user space with its own connection tracking.

Each passes what belongs to a connection that stands, goes through the rules for what begins one,
and drops the rest. Where a rule of Weft's names a group of ten thousand, these name a prefix.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from weft.bench.namespace import Namespace
from weft.bench.scenes import port, source
from weft.bench.topology import (
    DEVICE,
    Pair,
    give_addresses,
    has_kernel_openvswitch,
    openvswitch_daemons,
    through_middle,
)
from weft.errors import UnavailableError
from weft.lab.command import run

_PAIR = "192.0.2.0/24"
_SERVER = "192.0.2.2"
_PATIENCE_S = 120.0


@contextmanager
def bridge(rules: int, mtu_bytes: int) -> Iterator[Pair]:
    """A bridge, and so many rules of iptables for what it forwards."""
    if shutil.which("iptables-restore") is None:
        raise UnavailableError("iptables is not installed")
    with through_middle(mtu_bytes) as (middle, client, server):
        middle.ip(
            "link add bridge type bridge stp_state 0 forward_delay 0",
            f"link set bridge mtu {mtu_bytes} up",
            "link set to-client master bridge",
            "link set to-server master bridge",
        )
        text = "\n".join(["*filter", *rules_of_iptables(rules), "COMMIT", ""])
        run(middle.enter(["iptables-restore"]), text=text, timeout_s=_PATIENCE_S)
        give_addresses(client, server)
        _check_judged(middle)
        yield Pair(client, server, _SERVER)


def rules_of_iptables(rules: int) -> Iterator[str]:
    """For iptables-restore: so many, behind the one for what stands."""
    yield ":FORWARD DROP [0:0]"
    yield "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    for number in range(rules - 1):
        yield f"-A FORWARD -s {source(number)} -p tcp --dport {port(number)} -j ACCEPT"
    yield f"-A FORWARD -s {_PAIR} -j ACCEPT"


def _check_judged(middle: Namespace) -> None:
    """UnavailableError where the kernel does not show iptables what a bridge forwards."""
    listed = middle.run(["iptables", "-L", "FORWARD", "1", "-v", "-x"], timeout_s=_PATIENCE_S)
    if int(listed.split()[0]) == 0:
        raise UnavailableError("iptables does not see what a bridge forwards: no br_netfilter")


@contextmanager
def openvswitch(rules: int, mtu_bytes: int) -> Iterator[Pair]:
    """Open vSwitch's datapath in user space, its connection tracking, and so many flows."""
    if shutil.which("ovs-ofctl") is None:
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
        kind = ["--", "set", "bridge", "switch", f"datapath_type={datapath}"]
        middle.run([*control, "add-br", "switch", *kind])
        for device in ("to-client", "to-server"):
            middle.run([*control, "add-port", "switch", device])
        flows = folder / "flows"
        flows.write_text("\n".join(flows_of_openvswitch(rules)) + "\n")
        switch = f"unix:{folder}/switch.mgmt"
        middle.run(["ovs-ofctl", "del-flows", switch], timeout_s=_PATIENCE_S)
        middle.run(["ovs-ofctl", "add-flows", switch, str(flows)], timeout_s=_PATIENCE_S)
        give_addresses(client, server)
        yield Pair(client, server, _SERVER)


def flows_of_openvswitch(rules: int) -> Iterator[str]:
    """For ovs-ofctl: a flow a rule, behind those for what stands."""
    begun = "ct_state=+trk+new"
    let_through = "actions=ct(commit),NORMAL"
    yield "table=0,priority=10,arp,actions=NORMAL"
    yield "table=0,priority=5,ip,actions=ct(table=1)"
    yield "table=1,priority=9,ip,ct_state=+trk+est,actions=NORMAL"
    yield "table=1,priority=9,ip,ct_state=+trk+rel,actions=NORMAL"
    for number in range(rules - 1):
        match = f"tcp,nw_src={source(number)},tp_dst={port(number)}"
        yield f"table=1,priority=5,{begun},{match},{let_through}"
    yield f"table=1,priority=4,{begun},ip,nw_src={_PAIR},{let_through}"
