"""What hosts may ask each other: an inquiry, its answer, and why there may be none.

An inquiry goes to another host over the links (`ask.py`). It is not to be taken for a question
(`store.interface.Question`), whose answer follows from records that are here.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from weft.errors import UnavailableError
from weft.model.ids import HostId

Q = TypeVar("Q")
A = TypeVar("A")


class Inquiry(NamedTuple, Generic[Q, A]):
    """What can be asked. Requests and items are structs with bounds, for either comes from another
    host, perhaps of another version: fields are added with a default, and never change meaning."""

    name: str
    """Lower case and hyphens; names the same on all hosts, for ever."""
    request: type[Q]
    item: type[A]
    """An answer is a list of these, which may be long or empty."""


class Terms(NamedTuple):
    """What the host that asks has said beside its request."""

    by: HostId
    """The host at the other end of the link: the one that asks, or one that relays for it."""
    wait_s: float
    """So long it waits."""
    most_bytes: int
    """So much it takes."""


Handler = Callable[[Q, Terms], AsyncGenerator[A, None]]
"""Answers an inquiry, item by item. It is cancelled when nobody waits any more. It raises a
WeftError when it has no answer; the sentence is told to the host that asked."""


class Answer(NamedTuple, Generic[A]):
    """What a host has answered."""

    items: Sequence[A]
    is_whole: bool
    """False: there was more than was to be taken."""


class Why(enum.StrEnum):
    """Why there is no answer."""

    NO_WAY = "no-way"
    """No link, and no host that could relay."""
    LATE = "late"
    UNKNOWN = "unknown"
    """The host that was asked does not know the inquiry."""
    BUSY = "busy"
    """It answers as many as it may."""
    FAILED = "failed"
    """It tried, and could not."""
    SENSELESS = "senseless"
    """What came makes no sense, at either end."""


FIXES = {
    Why.NO_WAY: "see weft status hosts",
    Why.LATE: "see weft status hosts, or try again",
    Why.UNKNOWN: "upgrade weft there",
    Why.BUSY: "try again",
    Why.FAILED: "",
    Why.SENSELESS: "see that both hosts run the same weft",
}


class UnansweredError(UnavailableError):
    """A host has given no answer."""

    def __init__(self, why: Why, reason: str) -> None:
        super().__init__(reason)
        self.why = why
        self.reason = reason

    def named(self, host: str, inquiry: str) -> UnansweredError:
        """The same, as a whole sentence."""
        fix = FIXES[self.why]
        named = UnansweredError(self.why, self.reason)
        named.args = (f"ask host {host} for {inquiry}: {self.reason}{'; ' * bool(fix)}{fix}",)
        return named


class Reply(NamedTuple, Generic[A]):
    """One of many hosts that were asked the same."""

    host: HostId
    answer: Answer[A] | None
    error: UnansweredError | None = None
    """Why there is no answer."""


class Cut(Exception):
    """Raised by a handler at its end: there is more, and the host that asks does not take it."""
