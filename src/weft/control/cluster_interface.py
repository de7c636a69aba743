"""What is asked of control about the cluster itself: its hosts, and how they encrypt.

A part of `interface`, whose rules hold here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from weft.cluster.interface import Problem
from weft.cluster.standing import Members, Standing
from weft.cluster.troubles import Trouble
from weft.mesh.opening import StoreHealth
from weft.model.addresses import IPNetwork
from weft.model.records import Cluster, Host


class Hosts(Protocol):
    """The hosts of the cluster, and how one leaves it."""

    @property
    def members(self) -> Members:
        """What is known of the other hosts beside the records."""
        ...

    def find(self, reference: str) -> Host:
        """By name, id, or the beginning of an id."""
        ...

    def standings(self) -> Sequence[Standing]:
        """How each host is, this one too, by name. Linear in the hosts and their links."""
        ...

    def unnamed(self) -> Sequence[Problem]:
        """Attempts to link, from here or from elsewhere, that belong to no other host known."""
        ...

    def troubles(self) -> Sequence[Trouble]:
        """What is wrong with this host as a member, with other hosts, with the records."""
        ...

    def store(self) -> StoreHealth:
        """Where the records are, and how that is."""
        ...

    async def mend(self, kind: str, id: str) -> None:
        """Remove a record that cannot be used, which `troubles` names. NotFoundError: it can be;
        ConflictError: it is another host's to remove."""
        ...

    async def forget(self, reference: str, *, is_forced: bool = False) -> Host:
        """Remove a host that is gone for good; its id never comes back. InUseError: it is alive.

        is_forced: though it is alive.
        """
        ...

    async def leave(self, *, is_forced: bool = False) -> bool:
        """Give up this host's ports and addresses, and tell the others that it is gone.

        Returns whether another host has confirmed it; False: there was none to tell, or (with
        `is_forced`) none did. weftd is of no more use afterwards. UnavailableError: no other host
        is linked, or none confirmed; calling again goes on from there.
        """
        ...


class Encryption(Protocol):
    """Encryption between all hosts."""

    async def set(self, is_encrypted: bool, plain: Sequence[IPNetwork] = ()) -> Cluster:
        """Turn it on or off for the cluster; hosts follow step by step, and lose no connection.

        `plain`: not between two hosts whose underlay addresses are both in one of these.
        ConflictError names the hosts that cannot encrypt. UnavailableError: the last change is not
        through, and exceptions are to change.
        """
        ...
