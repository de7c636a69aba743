"""What this kernel can, found out by doing it: no version numbers.

Everything is tried in a network namespace of its own that goes with the thread that made it, so
nothing is left behind and nothing of the host is touched. `weft doctor` shows the results.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from weft.errors import KernelError, WeftError
from weft.kernel import netns, sysctl
from weft.kernel.bpf import features, syscall
from weft.kernel.bpf.assembly import call, end, load_classifier, move
from weft.kernel.bpf.syscall import AttachType, Command, MapType
from weft.kernel.links import VethEnd, create_veth, find_link, set_up
from weft.kernel.netlink import Netlink
from weft.kernel.nftables import Nftables
from weft.kernel.tc import Hook, add_clsact, filters, replace_filter

_REDIRECT_PEER, _LOOP = 155, 181
_BPF_F_NO_PREALLOC = 1
_CAPABILITIES = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN"}
_PROBE = "weftprobe"


class ProbeResult(NamedTuple):
    """One thing that was tried."""

    name: str
    is_ok: bool
    is_needed: bool
    """Without it Weft does not work; else it does, with the consequence."""
    reason: str
    """Why not; empty when it works."""
    consequence: str
    """What it means when it does not work, and what to do."""


class _Probe(NamedTuple):
    name: str
    is_needed: bool
    consequence: str
    attempt: Callable[[Netlink], None]


def run() -> list[ProbeResult]:
    """Try everything; takes about 50 ms. Never raises for something that does not work."""
    results: list[ProbeResult] = []
    thread = threading.Thread(target=_run_apart, args=(results,), name="probes")
    thread.start()
    thread.join()
    return results


def _run_apart(results: list[ProbeResult]) -> None:
    try:
        netns.leave()
    except KernelError as error:
        fix = "run as root, outside of an unprivileged container"
        results.append(ProbeResult("network namespaces", False, True, str(error), fix))
        return
    with Netlink() as netlink:
        for probe in _PROBES:
            reason = _attempt(probe, netlink)
            results.append(
                ProbeResult(probe.name, not reason, probe.is_needed, reason, probe.consequence)
            )


def _attempt(probe: _Probe, netlink: Netlink) -> str:
    try:
        probe.attempt(netlink)
    except (WeftError, OSError) as error:
        return str(error)
    return ""


def _privileges(_: Netlink) -> None:
    status = Path("/proc/thread-self/status").read_text().splitlines()
    line = next(line for line in status if line.startswith("CapEff:"))
    held = int(line.split()[1], 16)
    missing = [name for bit, name in _CAPABILITIES.items() if not held >> bit & 1]
    if missing:
        raise KernelError(f"hold {' and '.join(missing)}", errno.EPERM)


def _ipv6(_: Netlink) -> None:
    if sysctl.read("net/ipv6/conf/all/forwarding") is None:
        raise KernelError("open IPv6 settings", errno.EAFNOSUPPORT)


def _settings(_: Netlink) -> None:
    name = "net/ipv4/ip_forward"
    sysctl.write(name, sysctl.read(name) or "0")


def _veth(netlink: Netlink) -> None:
    netlink.do(create_veth(VethEnd(_PROBE), VethEnd("weftpeer"), 1500))
    netlink.do(set_up(_PROBE))


def _clsact(netlink: Netlink) -> None:
    ifindex = _ifindex(netlink)
    program = _load_program()
    try:
        netlink.do(add_clsact(ifindex), replace_filter(Hook(ifindex), program, _PROBE))
        if Hook(ifindex) not in filters(netlink, [Hook(ifindex)]):
            raise KernelError("read back a BPF filter", errno.ENOENT)
    finally:
        os.close(program)


def _tcx(netlink: Netlink) -> None:
    program = _load_program()
    try:
        os.close(syscall.create_tcx_link(program, _ifindex(netlink), AttachType.TCX_INGRESS))
    finally:
        os.close(program)


def _redirect_peer(_: Netlink) -> None:
    os.close(_load_program(_REDIRECT_PEER))


def _loop(_: Netlink) -> None:
    """What is given to it here is no function, and only a kernel that knows it can say so."""
    try:
        os.close(_load_program(_LOOP))
    except KernelError as error:
        if error.errno != errno.EACCES:
            raise


def _decap_l3(_: Netlink) -> None:
    if not features.has_decap_l3():
        raise KernelError("change a packet's protocol along with its header", errno.EINVAL)


def _lpm_batch(_: Netlink) -> None:
    _try_batch(MapType.LPM_TRIE, 8, _BPF_F_NO_PREALLOC, struct.pack("<I4x", 32))


def _hash_batch(_: Netlink) -> None:
    _try_batch(MapType.HASH, 8, 0, bytes(8))


def _try_batch(kind: MapType, key_size: int, flags: int, key: bytes) -> None:
    attribute = bytearray(struct.pack("<5I", kind, key_size, 8, 4, flags))
    fd = syscall.call(Command.MAP_CREATE, attribute, f"create BPF map {kind.name}")
    keys, values = bytearray(key), bytearray(8)
    try:
        at = (syscall.address_of(keys), syscall.address_of(values))
        attribute = bytearray(struct.pack("<QQQQIIQQ", 0, 0, *at, 1, fd, 0, 0))
        syscall.call(Command.MAP_UPDATE_BATCH, attribute, f"batch on BPF map {kind.name}")
    finally:
        os.close(fd)


def _nft(_: Netlink) -> None:
    nftables = Nftables()
    try:
        nftables.run(_RULES)
        nftables.run("delete table inet weftprobe")
    finally:
        nftables.close()


_RULES = """
table inet weftprobe {
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  set nets { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.0.0/8 }; }
  chain raw { type filter hook prerouting priority raw; udp dport 53 notrack; }
  chain pre { type nat hook prerouting priority dstnat;
    fib daddr type local dnat ip to meta l4proto . th dport map @ports; }
  chain post { type nat hook postrouting priority srcnat; ip saddr @nets masquerade; }
  chain out { type filter hook output priority filter; ct status dnat accept;
    ip daddr 10.0.0.1 reject with icmpx admin-prohibited; }
}
"""


def _ifindex(netlink: Netlink) -> int:
    link = find_link(netlink, _PROBE)
    if link is None:
        raise KernelError("find the veth pair of this probe", errno.ENODEV)
    return link.ifindex


def _load_program(helper: int = 0) -> int:
    """A classifier that says TC_ACT_OK, after calling a helper with zeros if one is given."""
    called = [move(1, 0), move(2, 0), call(helper)] if helper else []
    return load_classifier([*called, move(0, 0), end()])


_PROBES = (
    _Probe("privileges", True, "run weftd as root", _privileges),
    _Probe(
        "kernel settings",
        True,
        "/proc/sys is read-only (inside a container?): weftd cannot make this host a router",
        _settings,
    ),
    _Probe(
        "IPv6",
        False,
        "networks carry IPv6 between containers, but the host itself takes no part in it: "
        "remove ipv6.disable=1 from the kernel's command line",
        _ipv6,
    ),
    _Probe("veth", True, "no port can be made: load the kernel module veth", _veth),
    _Probe(
        "BPF on clsact",
        True,
        "no packet can be forwarded: the kernel needs NET_CLS_BPF, NET_SCH_INGRESS and BPF_SYSCALL",
        _clsact,
    ),
    _Probe(
        "bpf_redirect_peer",
        True,
        "packets cannot be handed to a container: a newer kernel is needed",
        _redirect_peer,
    ),
    _Probe(
        "bpf_loop",
        True,
        "broadcasts cannot be copied, so no program loads: a newer kernel is needed",
        _loop,
    ),
    _Probe(
        "tcx",
        False,
        "underlay devices will use clsact, where another program with the same priority wins",
        _tcx,
    ),
    _Probe(
        "headers of another family",
        False,
        "a relay between an IPv4 and an IPv6 underlay does not pass on large segments",
        _decap_l3,
    ),
    _Probe("BPF batches on hash maps", False, "large networks start more slowly", _hash_batch),
    _Probe("BPF batches on LPM maps", False, "reading subnets back takes longer", _lpm_batch),
    _Probe(
        "nftables",
        True,
        "no way to the outside and no published ports: install libnftables1, and load the kernel "
        "modules nf_tables, nft_ct, nft_nat, nft_masq, nft_fib_inet and nft_reject_inet",
        _nft,
    ),
)
