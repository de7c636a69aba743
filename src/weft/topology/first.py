"""Who goes first, where every host could do a thing and one is enough.

No election: every host works it out from the routes, and hosts that reach each other reach the
same hosts, so they agree without a word. For a moment two hosts may both hold that they go first (a
link came up, and one of them knows it already), and halves that do not reach each other have a
first one each. So what the first host does must do no harm when two do it; and since it may be
unable to, the others do not wait for it for ever.
"""

from __future__ import annotations

import hashlib

from weft.model.ids import HostId
from weft.store.interface import View
from weft.topology.routes import routes


def first(me: HostId, view: View, key: str = "") -> HostId:
    """The host that goes first, of this one and all that it reaches.

    key: what it is about, so that one host does not go first in everything: another key gives
    another order, and a host that comes or goes changes the place of no two others. Without a key,
    by id. Linear in the links.
    """
    return min((me, *view.ask(routes, me)), key=lambda host: _rank(host, key))


def goes_first(me: HostId, view: View, key: str = "") -> bool:
    """Whether it is this host."""
    return first(me, view, key) == me


def _rank(host: HostId, key: str) -> tuple[bytes, HostId]:
    """Highest random weight (Thaler and Ravishankar, 1998)."""
    weight = hashlib.blake2b(f"{key} {host}".encode(), digest_size=8).digest() if key else b""
    return weight, host
