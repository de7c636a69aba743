"""Which of a host's incarnations still count.

A host that opened a new incarnation says, in an owned entry like any other, which of its earlier
ones still hold something. A host that reads the statement drops the other incarnations with their
marks, and from then on ignores them in the digests of its peers. No host concludes this from the
entries that it happens to hold, so two hosts never tell each other back and forth about an origin
that only one of them has forgotten.
"""

from __future__ import annotations

import msgspec

from weft.errors import InvalidError
from weft.model.codec import check_nesting
from weft.store.entry import INCARNATIONS, Entry, Origin

KIND = INCARNATIONS


class Statement(msgspec.Struct, frozen=True):
    """Of one host: incarnations below `before` count only if they are in `kept`."""

    before: int
    kept: tuple[int, ...] = ()


_DECODER = msgspec.json.Decoder(Statement)


class Incarnations:
    """What every host has stated."""

    def __init__(self) -> None:
        self._statements: dict[str, Statement] = {}

    def learn(self, entry: Entry) -> bool:
        """Read a statement; False for anything else. What cannot be read states nothing."""
        if entry.kind != KIND or entry.body is None or entry.id != entry.origin.host:
            return False
        if not entry.is_owned:
            return False
        try:
            check_nesting(entry.body, KIND)
            statement = _DECODER.decode(entry.body)
        except (msgspec.DecodeError, ValueError, InvalidError):
            return False
        if not 0 <= statement.before <= entry.origin.incarnation:
            return False  # no host says what is to count in its future
        self._statements[entry.id] = statement
        return True

    def counts(self, origin: Origin) -> bool:
        """Whether writes of this origin are still taken."""
        statement = self._statements.get(origin.host)
        return (
            statement is None
            or origin.incarnation >= statement.before
            or origin.incarnation in statement.kept
        )

    def of(self, host: str) -> Statement | None:
        """What a host stated last."""
        return self._statements.get(host)


def encode(statement: Statement) -> bytes:
    """The body of the entry that states it."""
    return msgspec.json.encode(statement)
