"""VXLAN network identifiers: chosen at random, and mended when two hosts chose alike.

Hosts that cannot hear each other may give one VNI to two networks. Then the network with the
smaller id keeps it and the others take one that follows from their ids, so that every host
computes the same without asking. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import count

from msgspec.structs import replace

from weft.errors import ExhaustedError
from weft.model.ids import RandomBytes, Vni, derived_number
from weft.model.records import Network
from weft.store.interface import View

FIRST_VNI = 4096
"""Smaller ones look like VLANs, and people use them by hand."""
_SPACE = (1 << 24) - FIRST_VNI


def free_vni(view: View, random_bytes: RandomBytes) -> Vni:
    """One that no network has; ExhaustedError."""
    for _ in range(64):
        vni = Vni(FIRST_VNI + int.from_bytes(random_bytes(4), "big") % _SPACE)
        if not tuple(view.by(Network, "vni", vni)):
            return vni
    raise ExhaustedError("VNI: no free one found in 64 tries; remove networks")


def renumbered(view: View) -> tuple[Network, ...]:
    """Networks that must change their VNI, as they shall be, by id. Linear in the networks."""
    holders: dict[Vni, list[Network]] = defaultdict(list)
    for network in view.list(Network):
        holders[network.vni].append(network)
    taken = set(holders)
    losers = [
        network
        for sharing in holders.values()
        for network in sorted(sharing, key=lambda one: one.id)[1:]
    ]
    changed = []
    for network in sorted(losers, key=lambda one: one.id):
        vni = next(
            vni for attempt in count() if (vni := _derived_vni(network, attempt)) not in taken
        )
        taken.add(vni)
        changed.append(replace(network, vni=vni))
    return tuple(changed)


def _derived_vni(network: Network, attempt: int) -> Vni:
    return Vni(FIRST_VNI + derived_number("vni", network.id, str(attempt)) % _SPACE)
