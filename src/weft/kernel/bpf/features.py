"""What the kernel's BPF helpers can, found out by calling them: no version numbers.

The results become constants of the programs, so that the verifier drops the way that is not taken.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from functools import cache

from weft.errors import KernelError
from weft.kernel import netns
from weft.kernel.bpf import syscall
from weft.kernel.bpf.assembly import call, end, load_classifier, move
from weft.kernel.links import VethEnd, create_veth, set_up
from weft.kernel.netlink import Netlink
from weft.kernel.tc import Hook, add_clsact, replace_filter

_ADJUST_ROOM = 50
_ADJ_ROOM_MAC = 1
_FIXED_GSO = 1 << 0
_DECAP_L3_IPV6 = 1 << 8
_REDIRECT_PEER = 155
_JIFFIES = 118
_NEAR, _FAR, _IFINDEX = "weftprobe", "weftpeer", 2
_TYPE = 0x88B5  # IEEE 802: local experimental ethertype 1
_FRAME = bytes.fromhex("0a5745465450 0a5745465451") + _TYPE.to_bytes(2, "big") + bytes(46)
"""To a MAC that nobody has."""
_RATES = (100, 250, 300, 1000)
"""Of the kernel's clock: CONFIG_HZ."""
_FIRST_JIFFY_S = -300
"""Before the machine started (INITIAL_JIFFIES in linux/jiffies.h)."""
_SPAN_S = 0.1
_PROBE_S = 1.0
"""A frame that comes at all comes within a millisecond, but a device takes its time to come up."""
_AGAIN_S = 0.02
_TUNNELLED = (
    bytes(12) + b"\x08\x00" + struct.pack(">BBHIBBH8x", 0x45, 0, 60, 0, 64, 41, 0) + bytes(40)
)
"""An IPv4 packet with an IPv6 header in it."""


@cache
def has_decap_l3() -> bool:
    """Whether bpf_skb_adjust_room can take an IPv4 header off an IPv6 packet, and the opposite."""
    fd = load_classifier(
        (
            move(2, -20),
            move(3, _ADJ_ROOM_MAC),
            move(4, _FIXED_GSO | _DECAP_L3_IPV6),
            call(_ADJUST_ROOM),
            end(),
        )
    )
    try:
        return syscall.run_program(fd, _TUNNELLED).verdict == 0
    finally:
        os.close(fd)


@cache
def jiffies_per_s() -> int:
    """How fast the clock goes that costs programs nothing to read.

    It began 300 s before zero when the machine started, which tells all rates apart but for the
    moment in which it passes zero.
    """
    fd = load_classifier((call(_JIFFIES), end()))
    try:
        return _rate_of(fd)
    finally:
        os.close(fd)


def _rate_of(fd: int) -> int:
    first, first_s = syscall.run_program(fd, _FRAME).verdict, time.monotonic()
    fitting = [
        rate
        for rate in _RATES
        if abs(_signed(first - round((first_s + _FIRST_JIFFY_S) * rate))) <= rate
    ]
    if len(fitting) == 1:
        return fitting[0]
    time.sleep(_SPAN_S)
    passed_s = time.monotonic() - first_s
    passed = _signed(syscall.run_program(fd, _FRAME).verdict - first)
    return min(_RATES, key=lambda rate: abs(passed - passed_s * rate))


def _signed(number: int) -> int:
    """As 32 bits with a sign: jiffies are read by their lower half."""
    return (number + 2**31) % 2**32 - 2**31


@cache
def peer_resets_type() -> bool:
    """Whether bpf_redirect_peer makes a packet one for the host that gets it, whoever it was for.

    Only a packet that really goes that way tells: one does, through a veth pair between two network
    namespaces that are gone afterwards. If it cannot be found out, then not.
    """
    found: list[int] = []
    thread = threading.Thread(target=_redirect_apart, args=(found,), name="peer-probe")
    thread.start()
    thread.join()
    return found == [socket.PACKET_HOST]


def _redirect_apart(found: list[int]) -> None:
    """Adds the type with which a frame comes back to where it was sent."""
    try:
        netns.leave()
        with netns.opened("/proc/thread-self/ns/net") as inside:
            netns.leave()
            with Netlink() as netlink:
                netlink.do(
                    create_veth(VethEnd(_NEAR, ifindex=_IFINDEX), VethEnd(_FAR, None, inside), 1500)
                )
                _turn_back(netlink)
            with netns.entered(f"/proc/self/fd/{inside}"), Netlink() as far:
                far.do(set_up(_FAR))
                found += _types_of_returned()
    except (KernelError, OSError):
        found.clear()


def _turn_back(netlink: Netlink) -> None:
    """What comes out of the near end is put into the far one, which sent it."""
    program = load_classifier((move(1, _IFINDEX), move(2, 0), call(_REDIRECT_PEER), end()))
    try:
        attach = replace_filter(Hook(_IFINDEX), program, _NEAR)
        netlink.do(add_clsact(_IFINDEX), attach, set_up(_IFINDEX))
    finally:
        os.close(program)


def _types_of_returned() -> list[int]:
    deadline_s = time.monotonic() + _PROBE_S
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_TYPE)) as far:
        far.bind((_FAR, _TYPE))
        far.settimeout(_AGAIN_S)
        while time.monotonic() < deadline_s:
            try:
                far.send(_FRAME)
                return [far.recvfrom(len(_FRAME))[1][2]]
            except TimeoutError:
                continue
    return []
