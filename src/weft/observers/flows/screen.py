"""Which of very many entries are worth a look. Pure.

A table may hold a million entries, and each sweep meets all of them. So they are not decoded: of
each only the words that count are compared, in columns.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from functools import cache
from typing import NamedTuple

from weft.kernel.bpf.flow_limits import FlowLimits
from weft.kernel.bpf.layouts import STRUCTS, Collect, FlowKind, FlowState
from weft.kernel.bpf.maps import Batch

_WORD = 4
_CLOCK = 2**32 - 1
_FUTURE = 2**31
"""An age from here on is of an entry that was used after the clock was read."""
_STATES = 16
"""Of a protocol: four states, and the same denied, by three bits and one."""
_WITH_PORTS = frozenset({17, 33, 132, 136})
"""UDP, DCCP, SCTP, UDP-Lite; what is not TCP and lives like UDP."""
_TCP, _ICMP, _ICMPV6 = 6, 1, 58
_LEAVES = int(FlowKind.FLOW_LEAVES)


class Columns(NamedTuple):
    """Words of all entries of a batch, each in the order of the entries."""

    generation: Sequence[int]
    seen: Sequence[int]
    state: Sequence[int]
    """Flags, and the state above them."""
    created: Sequence[int]
    protocol: Sequence[int]
    """And the kind above it."""
    place: Sequence[int]
    partner_place: Sequence[int]
    partner_kind: Sequence[int]
    """In the lowest byte."""

    @classmethod
    def of(cls, batch: Batch, is_ipv6: bool) -> Columns:
        """Of a batch of `flows4_v1` or `flows6_v1`."""
        value, key = _places("flow"), _places("flow_key6" if is_ipv6 else "flow_key4")
        words, size = _words(batch.values), value.size
        keys, key_size = _words(batch.keys), key.size
        count = batch.entries

        def column(of: memoryview[int], width: int, at: int) -> list[int]:
            return of[at : count * width : width].tolist()

        return cls(
            generation=column(words, size, value.of("generation")),
            seen=column(words, size, value.of("seen")),
            state=column(words, size, value.of("flags")),
            created=column(words, size, value.of("created")),
            protocol=column(keys, key_size, key.of("protocol")),
            place=column(keys, key_size, key.of("place")),
            partner_place=column(words, size, value.of("partner_place")),
            partner_kind=column(words, size, value.of("partner_kind")),
        )


class Screen:
    """Finds entries that look over. Whether they are, the program `collect` says."""

    def __init__(self, limits: FlowLimits, jiffies_per_s: int) -> None:
        self._limits = [
            seconds * jiffies_per_s
            for protocol in range(256)
            for seconds in _lifetimes_s(protocol, limits)
        ]

    def over(self, columns: Columns, now: int) -> list[int]:
        """Their places in the batch. now: the clock of the entries."""
        limits = self._limits
        return [
            at
            for at, (seen, state, protocol) in enumerate(
                zip(columns.seen, columns.state, columns.protocol)
            )
            if limits[(protocol & 255) << 4 | (state & 1) << 3 | (state >> 16) & 7]
            < (now - seen) & _CLOCK
            < _FUTURE
        ]


def unused(columns: Columns, judged: Container[int]) -> list[int]:
    """Places of entries that no packet uses any more: no port that is judged is at either end.

    judged: ports of this host with rules, by the ifindex of their devices.
    """
    return [
        at
        for at, (protocol, place, partner_kind, partner_place) in enumerate(
            zip(columns.protocol, columns.place, columns.partner_kind, columns.partner_place)
        )
        if not ((protocol >> 8) & 255 == _LEAVES and place in judged)
        and not (partner_kind & 255 == _LEAVES and partner_place in judged)
    ]


def begun(columns: Columns, since: int, now: int) -> list[int]:
    """Places of entries that were made from `since` on, but before `now`: between two sweeps each
    is found once, also what was made in the tick in which one of them read the clock."""
    age = (now - since) & _CLOCK
    return [at for at, made in enumerate(columns.created) if 0 < (now - made) & _CLOCK <= age]


def is_ended(columns: Columns, at: int) -> bool:
    """Whether a sweep has ended it already."""
    return not columns.generation[at]


def _lifetimes_s(protocol: int, limits: FlowLimits) -> list[int]:
    """By state, as in `flow_state.h`; of what nobody has answered as it is in a crowd. Of what is
    denied always 0: it is over by when it was made."""
    established_s = limits.udp_established_s
    new_s = limits.udp_new_s
    closing_s, closed_s = established_s, established_s
    if protocol == _TCP:
        new_s, established_s = limits.tcp_new_s, limits.tcp_established_s
        closing_s, closed_s = limits.tcp_closing_s, limits.tcp_closed_s
    elif protocol in (_ICMP, _ICMPV6):
        new_s = established_s = closing_s = closed_s = limits.icmp_s
    elif protocol not in _WITH_PORTS:
        new_s = established_s = closing_s = closed_s = limits.other_s
    lifetimes = [0] * _STATES
    lifetimes[FlowState.FLOW_NEW] = min(new_s, Collect.CROWDED_S)
    lifetimes[FlowState.FLOW_ESTABLISHED] = established_s
    lifetimes[FlowState.FLOW_CLOSING] = closing_s
    lifetimes[FlowState.FLOW_CLOSED] = closed_s
    return lifetimes


class _Places(NamedTuple):
    """Words of a struct."""

    size: int
    of: Callable[[str], int]


@cache
def _places(name: str) -> _Places:
    members = {member.name: member for member in STRUCTS[name]}
    last = STRUCTS[name][-1]

    def of(member: str) -> int:
        assert members[member].offset % _WORD == 0
        return members[member].offset // _WORD

    return _Places((last.offset + last.size) // _WORD, of)


def _words(data: bytearray) -> memoryview[int]:
    return memoryview(data).cast("I")
