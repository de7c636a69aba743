"""Which numbers in `generations` stand for what: an address, by its hash, a port, a network.

An address's grows when the address comes, goes, or changes its groups, and so flows from and to it
are decided on anew, and no others.
"""

from __future__ import annotations

from weft.engine.ebpf.map_table import encode_address
from weft.kernel.bpf.layouts import Rules
from weft.model.addresses import IPAddress

PORT_NUMBERS = Rules.RULES_PORTS - 1
NETWORK_NUMBERS = Rules.GENERATIONS - Rules.REMOTE_SLOTS - Rules.RULES_PORTS
"""How many there are of each."""
_FIRST_PORT = int(Rules.REMOTE_SLOTS)
_FIRST_NETWORK = Rules.REMOTE_SLOTS + Rules.RULES_PORTS
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


def port_slot(number: int) -> int:
    """Of a port by its own number."""
    return _FIRST_PORT + number


def number_of_port_slot(slot: int) -> int:
    """The opposite."""
    return slot - _FIRST_PORT


def network_slot(number: int) -> int:
    """Of a network by its own number."""
    return _FIRST_NETWORK + number


def number_of_network_slot(slot: int) -> int:
    """The opposite."""
    return slot - _FIRST_NETWORK
