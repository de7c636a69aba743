"""`heads`: (subject, direction, atom) -> all that the subject's rules say there.

One table for four maps, whose driver makes numbers of symbols: see `drivers/heads.py`.
"""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.policy.atoms import Atom, Subject
from weft.engine.ebpf.policy.clauses import Said
from weft.engine.table import Rank, Table
from weft.kernel.bpf.layouts import Direction


class HeadKey(NamedTuple):
    """A peer of a subject's."""

    subject: Subject
    direction: Direction
    atom: Atom | None
    """None: anybody."""


HEADS: Table[HeadKey, tuple[Said, ...]] = Table(
    "heads", Rank.HEADS, is_read_by_programs=True, are_deletes_last=True
)
