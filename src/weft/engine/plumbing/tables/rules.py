"""`rules`: what is looked up before the host's own rules are asked."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.table import Rank, Table
from weft.model.addresses import IPNetwork


class RuleValue(NamedTuple):
    """The rule says all by its key.

    Version of IP -> packets with Weft's mark, in `own_routes`.
    Prefix that is Weft's own -> what goes there, in the main table.
    """


RULES: Table[int | IPNetwork, RuleValue] = Table("rules", Rank.HOST_RULES)
