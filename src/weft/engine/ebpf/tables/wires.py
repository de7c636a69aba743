"""`wires`: address of this host on the underlay -> the program on the device that holds it."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.table import Rank, Table
from weft.model.addresses import IPAddress


class WireValue(NamedTuple):
    """The program."""

    program: str = "from_wire"


WIRES: Table[IPAddress, WireValue] = Table("wires", Rank.PROGRAMS)
