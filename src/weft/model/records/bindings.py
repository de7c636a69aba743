"""Which record an object of another system is."""

from __future__ import annotations

from weft.model.ids import BindingId, HostId, derived_id
from weft.model.records.base import Record
from weft.model.values import Id, LongText, Word, Words


class Binding(Record, frozen=True, kw_only=True):
    """An object of another system (a network of Docker's, say) stands for a record of Weft's.

    Written by the frontend that serves the other system, which alone knows what `facts` mean.
    """

    KIND = "binding"
    INDEXED = ("record_id",)
    id: BindingId
    """See `binding_id`."""
    system: Word
    """``docker``, say."""
    foreign_kind: Word
    """What the object is there."""
    foreign_id: LongText
    """What it is called there for good."""
    host_id: HostId | None = None
    """Whose system it is, where each host has its own. None: all hosts have the same one."""
    record_kind: Word
    record_id: Id
    facts: tuple[tuple[Word, Words], ...] = ()
    """What the frontend remembers of the object, by name, ascending."""


def binding_id(
    system: str, foreign_kind: str, foreign_id: str, host_id: HostId | None = None
) -> BindingId:
    """The id of the one record about this object."""
    return BindingId(derived_id("binding", system, foreign_kind, foreign_id, host_id or ""))
