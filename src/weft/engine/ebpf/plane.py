"""The ebpf engine's only face: what the rest of weftd may know of it.

Another engine brings a module with the same names.
"""

from __future__ import annotations

from weft.config import Settings
from weft.engine.ebpf.compile import functions
from weft.engine.ebpf.flow_settings import flow_limits
from weft.engine.ebpf.sink import Sink
from weft.engine.ebpf.tables.peers import PEERS
from weft.engine.ebpf.tables.tunnels import TUNNELS
from weft.engine.plumbing.tables.wireguard import WIREGUARD, WIREGUARD_PEERS

__all__ = ["WAYS_TO_HOSTS", "Sink", "flow_limits", "functions", "purge"]

WAYS_TO_HOSTS = frozenset(table.name for table in (WIREGUARD, WIREGUARD_PEERS, PEERS, TUNNELS))
"""Tables that say how packets travel to other hosts, and which are taken from them: a row of these
that failed stops a step of encryption."""


def purge(settings: Settings) -> None:
    """Remove all that the engine made on this host and nothing else, weftd being stopped."""
    Sink(settings).purge()
