"""Follows a packet from host to host, and what answers it back.

What another host says is believed as far as it goes: a host that names no other, or hosts that
send a packet in a circle, end the trace there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from weft.errors import KernelError, UnavailableError
from weft.model.ids import HostId
from weft.model.records import Host
from weft.observers.traces.seen import MOST_MOVES, Asked, End, Move, Moved, Moving
from weft.store.interface import View

MOST_LEGS = 6
"""Hosts that a packet passes, and as many for what answers it; relays lead over one or two."""
ARRIVED_ENDS = frozenset({End.DELIVERED, End.ANSWERED, End.HOST})
"""How a packet ends that gets there."""


class Leg(NamedTuple):
    """What became of the packet, or of its answer, on one host."""

    host_id: HostId
    is_answer: bool
    moved: Moved


class Silence(NamedTuple):
    """Why a trace ends before the packet does."""

    host_id: HostId | None
    """That has not told; None: none is known."""
    reason: str


class Trace(NamedTuple):
    """The way of a packet, and of its answer."""

    legs: tuple[Leg, ...]
    silence: Silence | None = None

    @property
    def end(self) -> End | None:
        """Of the packet. None: nobody knows."""
        return _end(self.legs, is_answer=False)

    @property
    def answer_end(self) -> End | None:
        """Of its answer. None: there is none, or nobody knows."""
        return _end(self.legs, is_answer=True)

    @property
    def is_through(self) -> bool:
        """Whether the packet gets there, and the answer back, if one is sent."""
        has_answer = any(leg.is_answer for leg in self.legs)
        ends = (self.end, self.answer_end) if has_answer else (self.end,)
        return self.silence is None and all(end in ARRIVED_ENDS for end in ends)


class Following:
    """Of one trace. `told`: what a host makes of moves, this one or another."""

    def __init__(
        self, view: View, told: Callable[[HostId, Asked], Awaitable[Sequence[Moved]]]
    ) -> None:
        self._view = view
        self._told = told
        self._moves: dict[HostId, list[Moving]] = defaultdict(list)
        """Of each host, what has been moved there; it is told again with each further move."""
        self._legs: list[Leg] = []

    async def follow(self, host_id: HostId, first: Moving, *, is_one_way: bool = False) -> Trace:
        """From the host where the packet begins its way."""
        try:
            answer = await self._there(host_id, first, wants_answer=not is_one_way)
            if answer is not None:
                await self._back(*answer)
        except _Silent as silent:
            return Trace(tuple(self._legs), silent.why)
        return Trace(tuple(self._legs))

    async def _there(
        self, host_id: HostId, moving: Moving, *, wants_answer: bool
    ) -> tuple[HostId, Moved] | None:
        """The way of the packet; the answer that begins where it ends."""
        for _ in range(MOST_LEGS):
            moved, answer = await self._move(host_id, moving, wants_answer=wants_answer)
            self._legs.append(Leg(host_id, False, moved))
            if moved.end is not End.WIRE:
                return None if answer is None else (host_id, answer)
            host_id, moving = self._next(moved)
        raise _Silent(Silence(host_id, "hosts send it in a circle"))

    async def _back(self, host_id: HostId, moved: Moved) -> None:
        """The way of the answer, of which the first part is known."""
        for _ in range(MOST_LEGS):
            self._legs.append(Leg(host_id, True, moved))
            if moved.end is not End.WIRE:
                return
            host_id, moving = self._next(moved)
            moved, _unused = await self._move(host_id, moving, wants_answer=False)
        raise _Silent(Silence(host_id, "hosts send it in a circle"))

    def _next(self, moved: Moved) -> tuple[HostId, Moving]:
        if moved.host_id is None or self._view.get(Host, moved.host_id) is None:
            raise _Silent(Silence(None, "it goes to an address that no host of the cluster has"))
        moving = Moving(Move.ARRIVED, frame=moved.frame, is_encrypted=moved.is_encrypted)
        return HostId(moved.host_id), moving

    async def _move(
        self, host_id: HostId, moving: Moving, *, wants_answer: bool
    ) -> tuple[Moved, Moved | None]:
        before = self._moves[host_id]
        moves = [*before, moving]
        if wants_answer:
            moves.append(Moving(Move.ANSWERED))
        if len(moves) > MOST_MOVES:
            raise _Silent(Silence(host_id, "hosts send it in a circle"))
        try:
            told = await self._told(host_id, Asked(tuple(moves)))
        except (UnavailableError, KernelError) as error:
            raise _Silent(Silence(host_id, str(error))) from None
        if not len(before) < len(told) <= len(moves):
            raise _Silent(Silence(host_id, "it tells of other packets than it was asked for"))
        self._moves[host_id] = moves[: len(told)]
        new = told[len(before) :]
        return new[0], (new[1] if len(new) > 1 else None)


class _Silent(Exception):
    def __init__(self, why: Silence) -> None:
        super().__init__(why.reason)
        self.why = why


def _end(legs: Sequence[Leg], *, is_answer: bool) -> End | None:
    ends = [leg.moved.end for leg in legs if leg.is_answer is is_answer]
    return ends[-1] if ends and ends[-1] is not End.WIRE else None
