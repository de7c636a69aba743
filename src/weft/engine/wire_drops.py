"""Packets that came from other hosts, or claimed to, and were dropped: by the ports' counters."""

from __future__ import annotations

from collections.abc import Mapping

from weft.engine.plumbing.device_names import WEFTWG, WEFTX
from weft.engine.sink import Counters

_OWN = "weft"


def wire_drops(counters: Mapping[str, Counters]) -> dict[str, dict[str, int]]:
    """Packets by device of the underlay (or of Weft's, that unpacks) and by reason."""
    found = {
        ifname: {reason: count for reason, count in one.drops.items() if count}
        for ifname, one in counters.items()
        if ifname in (WEFTX, WEFTWG) or not ifname.startswith(_OWN)
    }
    return {ifname: drops for ifname, drops in sorted(found.items()) if drops}
