"""What carries messages between hosts, and what it promises to its users.

A link joins two hosts until it goes down; a message arrives whole, over the link that it was sent
on, or not at all. Sessions bear loss, repetition and reordering, so a transport need not promise
more. TLS streams do.
"""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Told by the transport, on the event loop; must not block."""

    def link_up(self, peer: str) -> None:
        """A new link to a host; whatever belonged to an earlier one is over."""
        ...

    def link_down(self, peer: str) -> None:
        """The link is gone, and with it what was under way."""
        ...

    def receive(self, peer: str, data: bytes) -> None:
        """A message. InvalidError: it is none, and the link should be closed."""
        ...


class Transport(Protocol):
    """Sends over links that are up; sending over one that is not does nothing."""

    def send(self, peer: str, data: bytes) -> None:
        """Hand over a message; never blocks and never raises for the peer's faults."""
        ...
