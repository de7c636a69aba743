"""Which number in `generations` stands for an address. It grows when the address comes, goes, or
changes its groups, and so flows from and to it are decided on anew, and no others."""

from __future__ import annotations

from weft.engine.ebpf.map_table import encode_address
from weft.kernel.bpf.layouts import Rules
from weft.model.addresses import IPAddress

_SPREAD = 0x9E3779B1
_WORD = 2**32
_SHIFT = 32 - (Rules.REMOTE_SLOTS - 1).bit_length()


def slot_of(address: IPAddress) -> int:
    """As `slot_of` in `bpf/lib/flow_state.h`."""
    raw = encode_address(address)
    folded = 0
    for at in range(0, len(raw), 4):
        folded ^= int.from_bytes(raw[at : at + 4], "big")
    return folded * _SPREAD % _WORD >> _SHIFT
