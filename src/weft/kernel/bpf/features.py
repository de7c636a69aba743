"""What the kernel's BPF helpers can, found out by calling them: no version numbers.

The results become constants of the programs, so that the verifier drops the way that is not taken.
"""

from __future__ import annotations

import os
import struct
from functools import cache

from weft.kernel.bpf import syscall
from weft.kernel.bpf.syscall import Command

_SCHED_CLS = 3
_ADJUST_ROOM = 50
_ADJ_ROOM_MAC = 1
_FIXED_GSO = 1 << 0
_DECAP_L3_IPV6 = 1 << 8
_LICENCE = b"GPL\0"

_MOVE, _CALL, _EXIT = 0xB7, 0x85, 0x95
_TUNNELLED = (
    bytes(12) + b"\x08\x00" + struct.pack(">BBHIBBH8x", 0x45, 0, 60, 0, 64, 41, 0) + bytes(40)
)
"""An IPv4 packet with an IPv6 header in it."""


@cache
def has_decap_l3() -> bool:
    """Whether bpf_skb_adjust_room can take an IPv4 header off an IPv6 packet, and the opposite."""
    instructions = b"".join(
        (
            _instruction(_MOVE, 2, -20),
            _instruction(_MOVE, 3, _ADJ_ROOM_MAC),
            _instruction(_MOVE, 4, _FIXED_GSO | _DECAP_L3_IPV6),
            _instruction(_CALL, 0, _ADJUST_ROOM),
            _instruction(_EXIT, 0, 0),
        )
    )
    fd = _load(instructions)
    try:
        return syscall.run_program(fd, _TUNNELLED).verdict == 0
    finally:
        os.close(fd)


def _instruction(code: int, register: int, immediate: int) -> bytes:
    return struct.pack("<BBhi", code, register, 0, immediate)


def _load(instructions: bytes) -> int:
    attribute = bytearray(
        struct.pack(
            "<IIQQ",
            _SCHED_CLS,
            len(instructions) // 8,
            syscall.address_of(instructions),
            syscall.address_of(_LICENCE),
        )
    )
    return syscall.call(Command.PROGRAM_LOAD, attribute, "load BPF program")
