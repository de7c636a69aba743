"""What the programs remember of connections: read in batches, and taken out when it is over.

weftd never writes an entry. An entry that it replaced or deleted could become another flow's while
a program still reads it, so the program `collect` changes entries in place, as the others do.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

from weft.kernel.bpf import syscall
from weft.kernel.bpf.assembly import call, end, load_classifier
from weft.kernel.bpf.berths import OTHER_PORTS, PORTS
from weft.kernel.bpf.layouts import (
    STRUCTS,
    Berth,
    Collect,
    Collected,
    CollectFlag,
    Flow,
    FlowHold,
    FlowKey4,
    FlowKey6,
    Port,
    PortFlag,
    Rule,
)
from weft.kernel.bpf.maps import Batch, BpfMap

MAPS = {False: "flows4_v1", True: "flows6_v1"}
"""By whether the flows are of IPv6."""
KEY_SIZES = {False: len(FlowKey4().encode()), True: len(FlowKey6().encode())}
VALUE_SIZE = len(Flow().encode())
HOLDS, COUNTS, RULES = "flow_holds_v1", "flow_counts_v1", "rules_v1"
RULE_COUNTS = "rule_counts_v1"
_MAPS = (*MAPS.values(), HOLDS, COUNTS, RULES, RULE_COUNTS, PORTS, OTHER_PORTS)
_PROGRAM = "collect"
_JIFFIES = 118
"""BPF_FUNC_jiffies64."""
_FRAME = bytes(64)


class Counts(NamedTuple):
    """Of entries, since the map was made."""

    made: int = 0
    refused: int = 0
    """They found no room."""


class Hold(NamedTuple):
    """Entries that count for one port."""

    entries: int
    refused: int


class FlowTable:
    """The flows of the programs that are pinned below a directory, open. KernelError: there are
    none yet."""

    def __init__(self, bpffs_dir: Path) -> None:
        self._open: dict[str, BpfMap] = {}
        self._program = -1
        try:
            for name in _MAPS:
                self._open[name] = BpfMap.open(bpffs_dir / "maps" / name)
            self._program = syscall.get_pinned(bpffs_dir / "programs" / _PROGRAM)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """What is pinned goes on."""
        for each in self._open.values():
            each.close()
        self._open.clear()
        if self._program >= 0:
            os.close(self._program)
            self._program = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def room(self, is_ipv6: bool) -> int:
        """How many entries there may be."""
        return self._open[MAPS[is_ipv6]].info.max_entries

    def batches(self, is_ipv6: bool) -> Iterator[Batch]:
        """All entries: keys are `FlowKey4` or `FlowKey6`, values `Flow`."""
        return self._open[MAPS[is_ipv6]].batches()

    def lookup(self, key: bytes, is_ipv6: bool) -> bytes | None:
        """One value."""
        return self._open[MAPS[is_ipv6]].lookup(key)

    def judged(self) -> frozenset[int]:
        """The devices of ports that have rules, by ifindex. Two milliseconds."""
        return frozenset(self._judged(PORTS, Berth.FIRST_IFINDEX)) | frozenset(
            self._judged(OTHER_PORTS, 0)
        )

    def collect(self, keys: Sequence[bytes], work: CollectFlag) -> list[Collected]:
        """End or remove flows that are over, all of one family; what came of each."""
        found: list[Collected] = []
        most = Collect.COLLECT_KEYS.value
        for first in range(0, len(keys), most):
            found += self._collect(keys[first : first + most], work)
        return found

    def rule_id(self, number: int) -> bytes:
        """What the records call a rule; all zero: there is none of this number any more."""
        raw = self._open[RULES].lookup(number.to_bytes(4, "little"))
        return Rule.decode(raw).id if raw is not None else Rule().id

    def rule_counts(self, most: int) -> Mapping[int, tuple[int, int]]:
        """(flows, drops) by the number of a rule, as far as there are any below `most`."""
        found = self._open[RULE_COUNTS].read_first(most)
        summed = {int.from_bytes(key, "little"): _summed(raw) for key, raw in found.items()}
        return {number: count for number, count in summed.items() if any(count)}

    def counts(self) -> Counts:
        """How many entries were made, and how many found no room."""
        for numbers in self._open[COUNTS].read_summed().values():
            return Counts(*numbers)
        return Counts()

    def holds(self) -> Mapping[int, Hold]:
        """By the ifindex of the port's device; 0: all devices without a berth."""
        found: dict[int, Hold] = {}
        for key, raw in self._open[HOLDS].read().items():
            berth = int.from_bytes(key, "little") - 1
            hold = FlowHold.decode(raw)
            ifindex = Berth.FIRST_IFINDEX + berth if berth >= 0 else 0
            found[ifindex] = Hold(hold.entries, hold.refused)
        return found

    def _judged(self, name: str, first: int) -> Iterator[int]:
        for batch in self._open[name].batches():
            count = batch.entries
            flags = memoryview(batch.values).cast("I")[
                _PORT_FLAGS_AT : count * _PORT_WORDS : _PORT_WORDS
            ]
            keys = memoryview(batch.keys).cast("I")[:count]
            for key, flag in zip(keys.tolist(), flags.tolist()):
                if flag & _JUDGED:
                    yield first + key

    def _collect(self, keys: Sequence[bytes], work: CollectFlag) -> Iterator[Collected]:
        is_ipv6 = bool(work & CollectFlag.COLLECT_IPV6)
        size, spare = KEY_SIZES[is_ipv6], _spare_at(is_ipv6)
        head = bytearray(Collect.COLLECT_AT)
        head[_WORK_AT] = work
        packet = syscall.run_program(self._program, bytes(head) + b"".join(keys)).packet
        first = Collect.COLLECT_AT + spare
        return map(Collected, packet[first : first + len(keys) * size : size])


def now() -> int:
    """The clock of `Flow.seen` and `Flow.created`: the lower half of the kernel's jiffies."""
    return syscall.run_program(_clock(), _FRAME).verdict


_JUDGED = PortFlag.PORT_JUDGED.value
_PORT_WORDS = len(Port().encode()) // 4
_PORT_FLAGS_AT = next(each.offset for each in STRUCTS["port"] if each.name == "flags") // 4
_WORK_AT = 14
"""Behind an Ethernet header."""


def _summed(raw: bytes) -> tuple[int, int]:
    """Of all CPUs."""
    numbers = struct.unpack(f"<{len(raw) // 8}Q", raw)
    return sum(numbers[::2]), sum(numbers[1::2])


@cache
def _clock() -> int:
    return load_classifier((call(_JIFFIES), end()))


@cache
def _spare_at(is_ipv6: bool) -> int:
    """Where in a key its spare bytes are."""
    members = STRUCTS["flow_key6" if is_ipv6 else "flow_key4"]
    return next(member.offset for member in members if member.name == "spare")
