"""Making and finding a WireGuard device: the kernel's where it has one, else wireguard-go's.

Which it is follows from trying, never from a version: a kernel that has WireGuard as a module
loads it when it is asked for a device of that kind.
"""

from __future__ import annotations

import errno
import struct
import threading
from pathlib import Path
from typing import Literal

import structlog

from weft.errors import KernelError
from weft.kernel import netns
from weft.kernel.links import Link, delete_link, find_link
from weft.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Netlink,
    Request,
    attribute_text,
    nested,
)
from weft.kernel.wireguard import buffers, process
from weft.kernel.wireguard.generic_netlink import KernelWireGuard
from weft.kernel.wireguard.state import WireGuard

_RTM_NEWLINK = 16
_IFLA_IFNAME = 3
_IFLA_LINKINFO = 18
_IFLA_INFO_KIND = 1
_IFINFO = struct.Struct("=BxHiII")
_KIND = "wireguard"
_PROBE = "weftprobe"

Kind = Literal["kernel", "wireguard-go", "none"]
log = structlog.get_logger()


def make(netlink: Netlink, ifname: str, run_dir: Path) -> None:
    """Make the device, down and without a key. `UnavailableError` says what is missing."""
    try:
        netlink.do(_create(ifname))
    except KernelError as error:
        if not _is_not_known(error):
            raise
        process.start(ifname, run_dir)


def control_of(link: Link, run_dir: Path) -> WireGuard:
    """The one who answers for a device."""
    if link.kind == _KIND:
        return KernelWireGuard(link.name)
    return process.device(link.name, run_dir)


def make_room(ifname: str, run_dir: Path) -> None:
    """Do what the process of a device that is up cannot do itself; the kernel's needs nothing."""
    pid = process.device(ifname, run_dir).pid()
    if pid is not None and not buffers.grow(pid):
        log.warning("wireguard-go keeps its small receive buffers, it will be slow", pid=pid)


def is_ours(link: Link) -> bool:
    """Whether a device is one that `make` makes: WireGuard's, or a process's."""
    return link.kind in (_KIND, "tun")


def remove(netlink: Netlink, ifname: str, run_dir: Path) -> None:
    """Remove the device and its process. Nothing happens when neither is there."""
    pid = process.device(ifname, run_dir).pid()
    link = find_link(netlink, ifname)
    if link is not None and is_ours(link):
        netlink.do(delete_link(ifname))
    if pid is not None:
        process.end(pid)


def replace(netlink: Netlink, ifname: str, run_dir: Path) -> None:
    """Make the device anew, in the place of one that is another's, or that does not answer."""
    pid = process.device(ifname, run_dir).pid()
    netlink.do(delete_link(ifname))
    if pid is not None:
        process.end(pid)
    make(netlink, ifname, run_dir)


def kind_here() -> Kind:
    """What this host can encrypt with. Tried in a namespace that goes with its thread."""
    found: list[bool] = []
    thread = threading.Thread(target=_try_kernel, args=(found,), name="wireguard-probe")
    thread.start()
    thread.join()
    if found:
        return "kernel"
    return "none" if process.obstacle() else "wireguard-go"


def obstacle(ifname: str) -> str:
    """Why this host cannot have such a device; empty: it can, or has it."""
    with Netlink() as netlink:
        if find_link(netlink, ifname) is not None:
            return ""
    if kind_here() != "none":
        return ""
    return f"the kernel has no WireGuard, and {process.obstacle()}"


def _try_kernel(found: list[bool]) -> None:
    netns.leave()
    with Netlink() as netlink:
        if netlink.run([_create(_PROBE)])[0].error is None:
            found.append(True)


def _create(ifname: str) -> Request:
    info = nested(_IFLA_LINKINFO, attribute_text(_IFLA_INFO_KIND, _KIND))
    body = _IFINFO.pack(0, 0, 0, 0, 0) + attribute_text(_IFLA_IFNAME, ifname) + info
    operation = f"create WireGuard device {ifname}"
    return Request(operation, _RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def _is_not_known(error: KernelError) -> bool:
    return error.errno in (errno.EOPNOTSUPP, errno.ENODEV, errno.EAFNOSUPPORT)
