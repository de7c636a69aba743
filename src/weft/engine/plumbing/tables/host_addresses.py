"""`host_addresses`: address on ``weft0`` -> its prefix length."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.table import Rank, Table
from weft.model.addresses import IPAddress


class HostAddressValue(NamedTuple):
    """How the address is held."""

    prefix_length: int


HOST_ADDRESSES: Table[IPAddress, HostAddressValue] = Table("host_addresses", Rank.HOST_ADDRESSES)
