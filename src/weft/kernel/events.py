"""What changes in this host's network, as the kernel tells it.

For weftd to mend at once what somebody broke, and to follow the underlay's MTU and address.
Nothing rests on it: whatever is missed here is found by the next periodic look.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from weft.kernel.links import parse_link
from weft.kernel.netlink import attributes, open_socket, read_news, readable

_NETFILTER = 12
_ROUTE_GROUPS = 0x1 | 0x8 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x40000
"""Devices, filters, addresses, routes and rules of both families (RTMGRP_*)."""
_SETTING_GROUPS = 1 << 23 | 1 << 24
"""Settings of devices of both families (RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF)."""
_RTM_NEWNETCONF = 80
_NETCONF_BYTES = 4  # struct netconfmsg
_NETCONFA_IFINDEX = 1
_NETCONFA_FORWARDING = 2
_NETCONFA_RP_FILTER = 3
_LOOSE = 2
_NFTABLES_GROUP = 1 << 6
_NFT_MSG_NEWGEN = 10 << 8 | 15
_NFTA_GEN_PROC_PID = 2
_NFTA_GEN_PROC_NAME = 3
_FIRST_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of linux/proc_ns.h
_IFI_CHANGE_AT = 12  # in struct ifinfomsg
_IFF_UP = 1
_ALL_FLAGS = 0xFFFFFFFF  # what the kernel says of a device that is new
_RTMSG_BYTES = 12
_RTA_OIF = 4
_ENOUGH = 10_000

Subject = Literal[
    "device", "address", "route", "routing rule", "filter", "setting", "rules", "lost"
]
_SUBJECTS: dict[int, tuple[Subject, bool]] = {
    16: ("device", False),
    17: ("device", True),
    20: ("address", False),
    21: ("address", True),
    24: ("route", False),
    25: ("route", True),
    32: ("routing rule", False),
    33: ("routing rule", True),
    37: ("filter", True),
    44: ("filter", False),
    45: ("filter", True),
}


ALL_DEVICES = -1
"""NETCONFA_IFINDEX_ALL."""


class KernelEvent(NamedTuple):
    """Something changed. ``lost``: more happened than could be told, anything may be different.

    Of settings the kernel tells forwarding and rp_filter alone; ``is_gone``: it is off, or strict.
    """

    subject: Subject
    is_gone: bool = False
    ifname: str = ""
    """Of a device; else empty."""
    ifindex: int = 0
    """Of the device that changed, or on which something did; 0: none. Of a setting also
    `ALL_DEVICES`."""
    has_gone_down: bool = False
    """A device that was up. One that is new is down at first, which is no change."""
    mtu_bytes: int = 0

    @property
    def is_damage(self) -> bool:
        """Whether something may have been broken (or was removed by Weft itself).

        Rules changed by this process never count.
        """
        if self.subject == "device":
            return self.is_gone or self.has_gone_down
        if self.subject in ("rules", "lost"):
            return True
        return self.is_gone


OnEvents = Callable[[Sequence[KernelEvent]], None]


class KernelEvents:
    """Listens in the namespace in which `run` is called."""

    def __init__(self, on_events: OnEvents, *, quiet_s: float = 0.2) -> None:
        """`on_events` is called on the event loop, with all that came within `quiet_s`."""
        self._on_events = on_events
        self._quiet_s = quiet_s

    async def run(self) -> None:
        """Until cancelled.

        Nothing is read meanwhile: plugging in one workload is a dozen messages, and each that
        wakes the event loop holds up the thread that does the work.
        """
        with (
            open_socket(socket.NETLINK_ROUTE, _ROUTE_GROUPS | _SETTING_GROUPS) as devices,
            open_socket(_NETFILTER, _NFTABLES_GROUP) as rules,
        ):
            for sock in (devices, rules):
                sock.setblocking(False)
            while True:
                await readable(devices, rules)
                await asyncio.sleep(self._quiet_s)
                events = [*await _read(devices), *await _read(rules)]
                if events:
                    self._on_events(events)


async def _read(sock: socket.socket) -> list[KernelEvent]:
    """What has come until now, or enough of it."""
    events: list[KernelEvent] = []
    while len(events) < _ENOUGH and (news := read_news(sock)):
        told = (KernelEvent("lost") if each is None else parse(each[0], each[3]) for each in news)
        events += [event for event in told if event is not None]
        await asyncio.sleep(0)
    return events


def parse(kind: int, body: bytes) -> KernelEvent | None:
    """What a message says; None: nothing of interest, or rules that this process changed."""
    if kind == _NFT_MSG_NEWGEN:
        return None if _is_ours(attributes(body, 4)) else KernelEvent("rules")
    if kind == _RTM_NEWNETCONF:
        return _setting(attributes(body, _NETCONF_BYTES))
    if kind not in _SUBJECTS:
        return None
    subject, is_gone = _SUBJECTS[kind]
    if subject == "device":
        link = parse_link(body)
        changed = struct.unpack_from("=I", body, _IFI_CHANGE_AT)[0]
        has_gone_down = changed != _ALL_FLAGS and bool(changed & _IFF_UP) and not link.is_up
        return KernelEvent(subject, is_gone, link.name, link.ifindex, has_gone_down, link.mtu_bytes)
    if subject == "route":
        device = attributes(body, _RTMSG_BYTES).get(_RTA_OIF, bytes(4))
        return KernelEvent(subject, is_gone, ifindex=struct.unpack("=I", device)[0])
    if subject == "routing rule":
        return KernelEvent(subject, is_gone)
    return KernelEvent(subject, is_gone, ifindex=struct.unpack_from("=i", body, 4)[0])


def _is_ours(generation: Mapping[int, bytes]) -> bool:
    """Whether a thread of this process made this generation of the rules.

    The kernel says its number in the first namespace of process ids. In another one, such as a
    container's, that is somebody else's number or nobody's, and the name beside it has to do.
    """
    threads = Path("/proc/self/task")
    if Path("/proc/self/ns/pid").stat().st_ino == _FIRST_PID_NAMESPACE:
        thread = int.from_bytes(generation.get(_NFTA_GEN_PROC_PID, b""), "big")
        return (threads / str(thread)).exists()
    name = generation.get(_NFTA_GEN_PROC_NAME, b"").rstrip(b"\0")
    return name in _names(threads)


def _names(threads: Path) -> Iterator[bytes]:
    for each in threads.iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            yield (each / "comm").read_bytes().rstrip(b"\n")


def _setting(told: dict[int, bytes]) -> KernelEvent | None:
    numbers = {
        kind: struct.unpack("=i", value)[0] for kind, value in told.items() if len(value) == 4
    }
    is_gone = (
        numbers.get(_NETCONFA_FORWARDING, 1) == 0
        or numbers.get(_NETCONFA_RP_FILTER, _LOOSE) != _LOOSE
    )
    return KernelEvent("setting", is_gone, ifindex=numbers.get(_NETCONFA_IFINDEX, 0))
