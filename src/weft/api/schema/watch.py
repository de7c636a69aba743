"""Records, as they come and go."""

from __future__ import annotations

from typing import Literal

import msgspec

from weft.api.schema.base import Answer
from weft.control.specs import Spec


class WatchLine(Answer, frozen=True, kw_only=True):
    """One line of what `GET /v1/watch` answers."""

    event: Literal["put", "removed", "all", "missed"]
    """``put``: a record is there, new or changed, or was there at the beginning. ``removed``: it
    went. ``all``: what was there at the beginning has been told. ``missed``: more has changed than
    was taken, and this is the last line."""
    revision: str
    """Where to go on from (``since``) after this line; empty: from anew."""
    kind: str = ""
    id: str = ""
    record: msgspec.Raw | None = None
    """The record as it is kept; null: there is none in this line."""


class WatchQuery(Spec, frozen=True, kw_only=True):
    """Says which records, and from when on."""

    kind: tuple[str, ...] = ()
    """None: all kinds."""
    since: str | None = None
    """The revision after which to go on; null: all that is there, and then what changes."""
