"""The hosts of the cluster: how they are, and how one leaves it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from weft.cluster.interface import Problem
from weft.cluster.standing import (
    Members,
    Standing,
    standings,
    state_of,
    unnamed,
)
from weft.cluster.troubles import Trouble, troubles
from weft.control.context import Context
from weft.control.references import find_host
from weft.errors import InUseError, InvalidError, UnavailableError
from weft.model.ids import HostId
from weft.model.records import KINDS, ForgottenHost, Host, HostKeys, Neighbours
from weft.store.health import Health, StoreHealth
from weft.store.interface import Change, Delete, Put
from weft.store.ownership import owner_of
from weft.store.removed import KEPT_KINDS

PASS_ON_S = 20.0
"""How long a host that leaves waits until another one has its last word."""
_POLL_S = 0.02
_LAST = (Host, HostKeys, Neighbours)
"""The kinds of its own records that a host gives up last."""


class Records(Protocol):
    """The records as they are kept (`mesh.opening.Opened`)."""

    def health(self) -> Health:
        """What is wrong with the records."""
        ...

    async def mend(self, kind: str, id: str) -> None:
        """Remove one that cannot be used; NotFoundError, ConflictError."""
        ...


class Hosts:
    """The hosts of the cluster, and how one leaves it."""

    def __init__(self, context: Context, members: Members, records: Records) -> None:
        self._members = members
        self._context = context
        self._records = records

    @property
    def members(self) -> Members:
        """What is known of the other hosts beside the records."""
        return self._members

    def find(self, reference: str) -> Host:
        """By name, id, or the beginning of an id."""
        return find_host(self._context.view, reference)

    def standings(self) -> Sequence[Standing]:
        """How each host is, this one too, by name. Linear in the hosts and their links."""
        return standings(self._context.host_id, self._context.view, self._members)

    def unnamed(self) -> Sequence[Problem]:
        """Attempts to link, from here or from elsewhere, that belong to no other host known."""
        return unnamed(self._context.host_id, self._context.view, self._members)

    def troubles(self) -> Sequence[Trouble]:
        """What is wrong with this host as a member, with other hosts, with the records."""
        context = self._context
        return troubles(
            context.host_id, context.view, self._members, self.standings(), self._records.health()
        )

    def store(self) -> StoreHealth:
        """Where the records are, and how that is."""
        return self._records.health().store

    async def mend(self, kind: str, id: str) -> None:
        """Remove a record that cannot be used, which `troubles` names. NotFoundError: it can be;
        ConflictError: it is another host's to remove."""
        async with self._context.lock:
            await self._records.mend(kind, id)

    async def forget(self, reference: str, *, is_forced: bool = False) -> Host:
        """Remove a host that is gone for good; its id never comes back. InUseError: it is alive.

        is_forced: though it is alive.
        """
        async with self._context.lock:
            host = self.find(reference)
            if host.id == self._context.host_id:
                raise InvalidError(
                    f"forget {reference}: is this host; to take it out of the cluster: weft leave"
                )
            if state_of(host.id, self._members) != "lost" and not is_forced:
                raise InUseError(
                    f"forget {host.name}: its weftd is alive; run weft leave there, or here "
                    f"weft forget --force {host.name} if nobody can"
                )
            await self._context.commit([Put(self._farewell(host.id, host.name))])
        return host

    async def leave(self, *, is_forced: bool = False) -> bool:
        """Give up this host's ports and addresses, and tell the others that it is gone.

        Returns whether another host has confirmed it; False: there was none to tell, or (with
        `is_forced`) none did. weftd is of no more use afterwards. UnavailableError: no other host
        is linked, or none confirmed; calling again goes on from there.
        """
        context, me = self._context, self._context.host_id
        others = [host for host in context.view.list(Host) if host.id != me]
        is_told = bool(others) and not self._is_refused
        if is_told and not self._members.links and not is_forced:
            raise UnavailableError(
                "leave: no other host of the cluster is linked, so none would hear of it; "
                f"{self._way_to_a_link()}, or weft leave --force and then, on another host, "
                f"weft forget {context.host.name}"
            )
        async with context.lock:
            await context.commit(self._own_records())
        if not is_told:
            return False
        await context.space.hand_over()
        await context.store.write(
            [
                Put(self._farewell(me, context.host.name)),
                *(Delete(kind, me) for kind in _LAST if context.view.get(kind, me) is not None),
            ]
        )
        return await self._is_passed_on(is_forced)

    def _way_to_a_link(self) -> str:
        """Why the address that was dialed last gave no link, and what to do about it: perhaps the
        token was rotated while this host was away."""
        dialed = [problem for problem in self._members.problems if problem.is_outgoing]
        if not dialed:
            return "bring a link up (weft status hosts)"
        last = max(dialed, key=lambda problem: problem.at_s)
        return f"{last.address}: {last.reason}; {last.fix}"

    @property
    def _is_refused(self) -> bool:
        """Whether some other host knows that this one was removed."""
        return any(problem.is_removal for problem in self._members.problems)

    def _farewell(self, host_id: HostId, name: str) -> ForgottenHost:
        return ForgottenHost(id=host_id, name=name, at_s=self._context.wall_s())

    def _own_records(self) -> list[Change]:
        me = self._context.host_id
        return [
            Delete(kind, record.id)
            for kind in KINDS
            if kind not in _LAST and kind.KIND not in KEPT_KINDS
            for record in self._context.view.list(kind)
            if owner_of(record) == me
        ]

    async def _is_passed_on(self, is_forced: bool) -> bool:
        try:
            async with asyncio.timeout(PASS_ON_S):
                # Acknowledgements are told to nobody but the sessions.
                while not self._members.has_passed_on and not self._is_refused:  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
                return True
        except TimeoutError:
            if is_forced:
                return False
            raise UnavailableError(
                f"leave: no other host has confirmed within {PASS_ON_S:g} s that it heard of it; "
                "try again, or weft leave --force and then weft forget on another host"
            ) from None
