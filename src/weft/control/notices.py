"""Notices: what a part has to tell the administrator without being asked. `weft status` shows them.

A frontend that cannot do in the other system what the records want puts a notice here, and takes it
back when it can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog

log = structlog.get_logger()


class Notice(NamedTuple):
    """Something that is wanted and could not be made true."""

    kind: str
    """Of the record that it is about: ``network``, ``port`` …"""
    id: str
    name: str
    reason: str
    fix: str


class Notices:
    """The notices that stand, one a source and record. Each is logged when it comes."""

    def __init__(self) -> None:
        self._standing: dict[tuple[str, str], Notice] = {}

    def put(self, source: str, notice: Notice) -> None:
        """Put a notice, in place of the one that the source has put about this record before."""
        if self._standing.get((source, notice.id)) != notice:
            facts = {notice.kind: notice.name, "reason": notice.reason, "fix": notice.fix}
            log.warning("something cannot be made true", source=source, **facts)
            self._standing[source, notice.id] = notice

    def take_back(self, source: str, id: str) -> None:
        """Nothing happens if nothing was said."""
        self._standing.pop((source, id), None)

    @property
    def standing(self) -> Mapping[tuple[str, str], Notice]:
        """Those that stand, by source and the id of the record. To read; changes with them."""
        return self._standing

    def list(self) -> Sequence[Notice]:
        """All that stand, in the order in which they came."""
        return tuple(self._standing.values())
