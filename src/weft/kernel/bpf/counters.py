"""Packets, bytes and drops of each port, as the programs count them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from weft.kernel.bpf.berths import Berths, has_berth
from weft.kernel.bpf.layouts import DropKey, DropReason
from weft.kernel.bpf.maps import BpfMap

COUNTERS, OTHERS, DROPS = "counters_v2", "other_counters_v1", "drops_v1"
_NOTHING = (0, 0, 0, 0)
DROP_REASONS: Mapping[int, str] = {
    reason.value: reason.name.removeprefix("DROP_").lower()
    for reason in DropReason
    if reason not in (DropReason.DROP_NONE, DropReason.DROP_REASONS)
}
"""Number -> name: ``spoofed_mac``, ``unknown_address``, …"""


class PortCounters(NamedTuple):
    """A workload's view: received is what it was given, sent what it sent, dropped or not."""

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    drops: Mapping[str, int] = {}
    """Of what it sent, by name of the reason; reasons that never occurred are absent."""


def read(maps: Mapping[str, BpfMap]) -> dict[int, PortCounters]:
    """Counters by the ifindex of a device on the host; weft1 stands for the host, and devices that
    others send to have drops alone. Devices that have counted nothing are absent.

    They grow from the device's making on and never go back.
    """
    drops: dict[int, dict[str, int]] = defaultdict(dict)
    for raw, (packets,) in maps[DROPS].read_summed().items():
        key = DropKey.decode(raw)
        drops[key.ifindex][DROP_REASONS.get(key.reason, f"reason_{key.reason}")] = packets
    traffic: dict[int, tuple[int, ...]] = {
        int.from_bytes(key, "little"): numbers
        for key, numbers in Berths(maps[COUNTERS], maps[OTHERS]).read_summed().items()
        if any(numbers)
    }
    return {
        ifindex: PortCounters._make((*traffic.get(ifindex, _NOTHING), drops.get(ifindex, {})))
        for ifindex in traffic.keys() | drops.keys()
    }


def begin(maps: Mapping[str, BpfMap], ifindexes: Iterable[int]) -> None:
    """Have programs count what passes these devices, from zero if they do not yet. Those that have
    a berth they count anyway."""
    keys = [each.to_bytes(4, "little") for each in ifindexes if not has_berth(each)]
    if keys:
        others = maps[OTHERS]
        known = others.read()
        others.update({key: bytes(others.value_size) for key in keys if key not in known})
