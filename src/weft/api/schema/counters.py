"""What was counted on the packet path."""

from __future__ import annotations

import msgspec

from weft.api.schema.base import Answer


class CountersInfo(Answer, frozen=True, kw_only=True):
    """What a port received and sent, as its workload sees it, since its device was made."""

    port_id: str
    network: str
    names: tuple[str, ...]
    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    drops: dict[str, int]
    """Packets dropped, by reason; reasons that never happened are left out."""


class CountersList(Answer, frozen=True, kw_only=True):
    """Counters of the ports of this host, by network and name."""

    counters: tuple[CountersInfo, ...]
    wire_drops: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Packets dropped that other hosts sent, or that claimed so: by device, and by reason."""
