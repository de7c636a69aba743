"""Which addresses this host may give.

An intent that finds no address raises `SpaceNeeded`, lets go of the turn, waits here until there is
an address, and tries again; so two hosts that wait for each other's addresses never wait for each
other's turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from weft.errors import ExhaustedError, WeftError
from weft.ipam.intervals import Interval
from weft.model.addresses import IPAddress
from weft.model.ids import HostId
from weft.model.records import Subnet
from weft.store.interface import Change


class SpaceNeeded(WeftError):
    """An intent needs an address that this host may not give yet. Never seen outside control."""

    def __init__(self, subnets: Iterable[Subnet], address: IPAddress | None = None) -> None:
        self.subnets = tuple(subnets)
        self.address = address
        known = ", ".join(str(subnet.cidr) for subnet in self.subnets)
        super().__init__(f"subnet {known}: no address to give at hand")


class Fence(NamedTuple):
    """How this host is linked to its lease quorum."""

    is_returning: bool
    """This host was restored from a backup, and waits until its quorum has told what it has
    forgotten."""
    since_s: float | None
    """Wall clock, since when it is fenced; None: it is not."""
    members: Sequence[HostId]
    """Its lease quorum."""
    reached: frozenset[HostId]
    """The members of the quorum that this host reaches, itself among them."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing more than the reserve can be given."""
        return self.is_returning or self.since_s is not None


class Space(Protocol):
    """The addresses that this host may give."""

    async def run(self) -> None:
        """Ask and answer other hosts, until cancelled."""
        ...

    @property
    def fence(self) -> Fence:
        """How this host is linked to its lease quorum."""
        ...

    @property
    def taken_after_s(self) -> float:
        """After how long without a link a host's leased blocks are taken."""
        ...

    def lost_since_s(self, host: HostId) -> float | None:
        """Wall clock, since when a host is not reached; None: it is, or there is none."""
        ...

    def may_use(self, subnet: Subnet) -> Sequence[Interval]:
        """Addresses that no other host gives, free or not."""
        ...

    def created(self, subnet: Subnet) -> Sequence[Change]:
        """The changes to write along with a new subnet."""
        ...

    async def obtain(self, needed: SpaceNeeded) -> None:
        """Return when trying again makes sense. ExhaustedError: no address is free anywhere.
        UnavailableError: the free addresses are another host's; it names that host, and why they do
        not come. Not while holding the turn."""
        ...

    async def hand_over(self) -> bool:
        """Give all that this host owns to others, for it leaves; whether they have it. Otherwise
        they take it once it is forgotten, if enough of its lease quorum are there."""
        ...


def exhausted(needed: SpaceNeeded) -> ExhaustedError:
    """Nothing is free anywhere."""
    known = ", ".join(str(subnet.cidr) for subnet in needed.subnets)
    return ExhaustedError(
        f"subnet {known}: no address is free; remove ports, or add a subnet to the network"
    )
