"""`filters`: (ifname, hook) -> the program on it."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.table import Rank, Table


class FilterKey(NamedTuple):
    """A hook of a device."""

    ifname: str
    hook: str = "ingress"


class FilterValue(NamedTuple):
    """`program`: ``from_port``, ``from_host`` or ``from_overlay``."""

    program: str


FILTERS: Table[FilterKey, FilterValue] = Table("filters", Rank.PROGRAMS)
