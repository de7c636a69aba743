"""For how long programs remember flows, and how many of one port: constants in the programs."""

from __future__ import annotations

from typing import NamedTuple


class FlowLimits(NamedTuple):
    """Seconds without a packet after which a flow is over, and a bound for each port."""

    tcp_new_s: int = 60
    """Nothing has come back yet."""
    tcp_established_s: int = 21600
    tcp_closing_s: int = 240
    """One direction has ended."""
    tcp_closed_s: int = 10
    """Both have, or it was reset."""
    udp_new_s: int = 60
    """The same of all that has ports and is not TCP."""
    udp_established_s: int = 300
    icmp_s: int = 60
    other_s: int = 600
    """Of other protocols."""
    denied_s: int = 1
    """What the rules deny is asked about again after so long."""
    flows_of_port: int = 65536
    """Entries that may count for one port; a connection has two."""


FLOW_ENTRIES = 131072
"""Entries of each family that there is room for, as the object files declare it."""
