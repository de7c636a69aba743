"""What the kernel's BPF helpers can, found out by calling them: no version numbers.

The results become constants of the programs, so that the verifier drops the way that is not taken.
"""

from __future__ import annotations

import os
import struct
from functools import cache

from weft.kernel.bpf import syscall
from weft.kernel.bpf.assembly import call, end, load_classifier, move

_ADJUST_ROOM = 50
_ADJ_ROOM_MAC = 1
_FIXED_GSO = 1 << 0
_DECAP_L3_IPV6 = 1 << 8
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
