"""What every record is made of."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from weft.model.values import Id


class Part(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    omit_defaults=True,
    forbid_unknown_fields=False,
):
    """A piece of a record."""


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What the store keeps: an id and facts. `KIND` names the kind on disk and on the wire.

    Nothing in it leads back to it, so the garbage collector need not look at it.

    A field that has its default is left out there, so a default is never changed: a host that runs
    another version would read something else.
    """

    KIND: ClassVar[str]
    INDEXED: ClassVar[tuple[str, ...]] = ()
    """Fields and properties by whose values records are found (`store.interface.View.by`). A tuple
    is found by each of its items, a NamedTuple whole."""
    id: Id

    def check(self) -> None:
        """ValueError: what it says does not go together, in a way that its types cannot tell."""
