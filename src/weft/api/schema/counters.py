"""What was counted on the packet path."""

from __future__ import annotations

import msgspec

from weft.api.schema.base import Answer
from weft.api.schema.ports import PortInfo
from weft.control.specs import Spec


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
    host: str = ""
    """The name of the host that it lives on."""


class UnansweredInfo(Answer, frozen=True, kw_only=True):
    """A host that was asked and has not told all."""

    host: str
    """Its name."""
    host_id: str
    reason: str


class CountersList(Answer, frozen=True, kw_only=True):
    """Counters of the ports of this host, or of all hosts, by network and name."""

    counters: tuple[CountersInfo, ...]
    wire_drops: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Packets dropped that other hosts sent to this one, or that claimed so: by device, and by
    reason."""
    unanswered: tuple[UnansweredInfo, ...] = ()
    """Hosts whose ports are not among the counters, or not all of them, by name."""


class PortDetail(PortInfo, frozen=True, kw_only=True):
    """A port, with what its own host knows of it."""

    counters: CountersInfo | None
    """null: it has no device, or its host has not answered."""
    unanswered: UnansweredInfo | None
    """Why its host has not answered; its problems are not known then either."""


class CountersQuery(Spec, frozen=True, kw_only=True):
    """Says whose counters."""

    all: bool = False
    """Of the ports of all hosts."""
