"""What a table is: its name, when it is written, and the types of its rows.

A table's file declares one of these and builds its rows with it, so a row can be no other than its
table holds. The engine that has the table lists it in its `TABLES`; the sink derives from there in
what order tables are written.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum, auto
from typing import Generic, TypeVar

import msgspec

from weft.engine.rows import Row, RowKey

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


class Rank(IntEnum):
    """When a table is written: the lowest first. Rows are deleted in the opposite order.

    A port's device comes first and its addresses last, so nobody is sent to a port that cannot
    receive; on the way out the addresses go first. So it is with the ways to other hosts. Tables
    of one rank do not rest on each other.
    """

    DEVICES = auto()
    NETWORKS = auto()
    """What is looked up for a sender: its network, its prefixes, its further addresses."""
    RULES = auto()
    """What rules are called."""
    HEADS = auto()
    """What they say."""
    PORT_RULES = auto()
    """Whose flows they decide on, and which addresses are in the prefixes that they name."""
    PORTS = auto()
    FLOOD = auto()
    ENCRYPTION = auto()
    ENCRYPTION_PEERS = auto()
    TUNNELS = auto()
    MEMBERS = auto()
    """Whom a packet for many is copied to."""
    GROUPS = auto()
    """That there are members, which must be there by then."""
    PROGRAMS = auto()
    DESTINATIONS = auto()
    """Where addresses live: from here on packets are sent there."""
    ROUTES = auto()
    """Between networks. They end at addresses that are there by then."""
    ROUTERS = auto()
    """That there are routes."""
    HOST_ADDRESSES = auto()
    HOST_ROUTES = auto()
    """Their source must be an address of the host by then."""
    HOST_RULES = auto()
    HOST_FILTERS = auto()
    """They mark what rules look for."""
    WORKLOADS = auto()


class Table(msgspec.Struct, Generic[K, V], frozen=True):
    """One place where forwarding state lives, as rows from `K` to `V`."""

    name: str
    rank: Rank
    is_read_by_programs: bool = False
    """Programs that are loaded anew take the place of those that run only when the rows are
    written, so that none ever runs on a map that is still to be filled."""
    are_deletes_last: bool = False
    """Its deletes wait for its upserts."""
    are_deletes_left: bool = False
    """Its deletes wait for all that is written to any table: what is written may be what leads
    there no more, and until then a packet would find half of it."""

    def row(self, key: K, value: V) -> Row:
        """One desired fact."""
        return Row(self.name, key, value)

    def row_key(self, key: K) -> RowKey:
        """Names a row."""
        return RowKey(self.name, key)
