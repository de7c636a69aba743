"""Which parts of a message are let in.

Messages come from members, any of whom may be faulty or mean ill, and what one host takes in it
passes on to all others. So an entry, a mark or an origin that others could not hold, send or
overtake is left out where it arrives: such a part is lost by itself, and never costs the link.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from weft.mesh.delta import Delta, Span
from weft.mesh.digest import Digest
from weft.mesh.messages import DigestMessage, Hello, Message, Part
from weft.store.clock import COUNTER_BITS
from weft.store.entry import Entry, Origin

V = TypeVar("V")

EPOCH_S = 1_767_225_600.0
"""2026. A host whose clock has not been set counts from here: what is let in must grow with time,
or something at the very end could never be overtaken."""
AHEAD_S = 50 * 365.25 * 86400.0
"""So far ahead of the clock a version or an incarnation may be. Versions that were written by a
clock set wrong must still be overtaken by later ones, so there has to be room above each; less
would have hosts refuse what one of them wrote while its clock was wrong."""
MAX_SEQUENCE = 2**48
"""Of one incarnation: a write a microsecond for nine years."""
_HOST = re.compile(r"[!-~]{1,64}")
_KIND = re.compile(r"[!-~]{1,64}")
_ID = re.compile(r"[!-~]{1,256}")


class Screen:
    """As it is at one moment."""

    def __init__(self, wall_s: float) -> None:
        present_s = wall_s if wall_s >= EPOCH_S else wall_s + EPOCH_S
        self._latest = int((present_s + AHEAD_S) * 1000) << COUNTER_BITS

    def message(self, message: Message) -> Message:
        """The message without what is not let in."""
        if isinstance(message, Hello | DigestMessage):
            return message._replace(digest=self.digest(message.digest))
        if isinstance(message, Part):
            return message._replace(delta=self._delta(message.delta))
        return message

    def digest(self, digest: Digest) -> Digest:
        """The digest without origins and marks that are not let in."""
        if all(map(self.is_origin, digest)) and _are_marks(digest.marks):
            return digest
        return Digest({o: m for o, m in digest.marks.items() if self.is_origin(o) and _is_mark(m)})

    def entries(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Those that are let in."""
        if all(map(self.is_entry, entries)):
            return entries
        return [entry for entry in entries if self.is_entry(entry)]

    def is_origin(self, origin: Origin) -> bool:
        """Whether others can take it, and its host can begin a later incarnation."""
        return 0 <= origin.incarnation <= self._latest and _HOST.fullmatch(origin.host) is not None

    def is_entry(self, entry: Entry) -> bool:
        """Whether others can hold it, and a later write can overtake it."""
        return (
            0 <= entry.clock <= self._latest
            and 0 < entry.sequence <= MAX_SEQUENCE
            and self.is_origin(entry.origin)
            and is_name(entry.kind, entry.id)
        )

    def _delta(self, delta: Delta) -> Delta:
        spans = {
            origin: span
            for origin, span in delta.spans.items()
            if self.is_origin(origin) and _is_span(span)
        }
        purged = {
            origin: mark
            for origin, mark in delta.purged.items()
            if self.is_origin(origin) and _is_mark(mark)
        }
        return Delta(delta.scope, self.entries(delta.entries), spans, purged)


def is_name(kind: str, id: str) -> bool:
    """Whether a record may be called so: in messages, in tables, in etcd."""
    return _KIND.fullmatch(kind) is not None and _ID.fullmatch(id) is not None


def _is_mark(mark: int) -> bool:
    return 0 <= mark <= MAX_SEQUENCE


def _are_marks(marks: Mapping[Origin, int]) -> bool:
    return all(map(_is_mark, marks.values()))


def _is_span(span: Span) -> bool:
    return 0 <= span.base <= span.mark <= MAX_SEQUENCE
