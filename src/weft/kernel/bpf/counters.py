"""Packets, bytes and drops of each port, as the programs count them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from weft.errors import KernelError
from weft.kernel.bpf.layouts import DropReason
from weft.kernel.bpf.maps import BpfMap

MAP = "counters_v1"
DROP_REASONS: Mapping[int, str] = {
    reason.value: reason.name.removeprefix("DROP_").lower()
    for reason in DropReason
    if reason not in (DropReason.DROP_NONE, DropReason.DROP_REASONS)
}
"""Number -> name: ``spoofed_mac``, ``unknown_address``, …"""


class PortCounters(NamedTuple):
    """A workload's view: received is what it was given, sent what it sent, dropped or not."""

    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    drops: dict[str, int]
    """Of what it sent, by name of the reason; reasons that never occurred are absent."""


def read(counters: BpfMap) -> dict[int, PortCounters]:
    """Counters of every port by the ifindex of its device on the host; weft1 stands for the host.

    They grow from the port's making on and never go back.
    """
    return {
        int.from_bytes(key, "little"): PortCounters._make((*values[:4], _drops(values[4:])))
        for key, values in counters.read_summed().items()
    }


def forget(counters: BpfMap, ifindexes: Iterable[int]) -> list[KernelError]:
    """Delete counters of ports that are gone."""
    keys = [ifindex.to_bytes(4, "little") for ifindex in ifindexes]
    return list(counters.delete(keys).values())


def _drops(values: Iterable[int]) -> dict[str, int]:
    return {
        DROP_REASONS.get(number, f"reason_{number}"): value
        for number, value in enumerate(values)
        if value
    }
