"""Which hosts are there: a name leads to what can be reached, not to the containers of the dead.

A host counts as long as the graph of confirmed neighbours leads from here to it. Neighbours are
taken out of the records by membership, after its grace, and come back with the host; a forgotten
one is in no graph. So this costs nothing but when a host, or a link between two, comes or goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from weft.model.ids import HostId
from weft.model.records import ForgottenHost, Host, Neighbours, Record
from weft.store.interface import Changed, View
from weft.topology.routes import routes

_TOLD_BY = frozenset({Host, ForgottenHost})


class Liveness:
    """The hosts that are reached from one. Must hear of every change of `view`."""

    def __init__(self, view: View, me: HostId) -> None:
        self._view = view
        self.me = me
        self._live = self._found()

    def update(self, changes: Sequence[Changed]) -> bool:
        """Take note of a write; True: other hosts are live than before. Linear in the links, and
        constant when the write is about none of them."""
        if not any(map(_is_about_links, changes)):
            return False
        before, self._live = self._live, self._found()
        return before != self._live

    def __contains__(self, host: HostId) -> bool:
        return host in self._live

    def _found(self) -> frozenset[HostId]:
        return frozenset((self.me, *self._view.ask(routes, self.me)))


def _is_about_links(changed: Changed) -> bool:
    """Not what the paths to hosts are like, which changes far more often."""
    if changed.key[0] in _TOLD_BY:
        return changed.old is None or changed.new is None
    return changed.key[0] is Neighbours and _linked(changed.old) != _linked(changed.new)


def _linked(record: Record | None) -> tuple[HostId, ...] | None:
    if not isinstance(record, Neighbours):
        return None
    return tuple(each.host_id for each in record.neighbours if each.has_link)
