"""A host's links: one session each, and news from one of them to all the others.

News pass from host to host this way, so hosts need no link to each other to hear of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weft.mesh import wire
from weft.mesh.delta import Difference
from weft.mesh.replica import Replica
from weft.mesh.session import Pace, Session
from weft.mesh.transport import Transport

Changes = Callable[[Sequence[Difference]], None]


class Links:
    """Implements `transport.Listener`. The owner calls `poll` when `wake_at_s` has come."""

    def __init__(
        self,
        replica: Replica,
        transport: Transport,
        now_s: Callable[[], float],
        changed: Changes,
        pace: Pace = Pace(),  # noqa: B008
    ) -> None:
        """now_s: a clock that only goes forward. changed: called with everything that peers
        changed."""
        self.sessions: dict[str, Session] = {}
        self._replica = replica
        self._transport = transport
        self._now_s = now_s
        self._changed = changed
        self._pace = pace

    @property
    def wake_at_s(self) -> float | None:
        """When `poll` has something to do; None: nothing until a link comes up."""
        return min((session.wake_at_s for session in self.sessions.values()), default=None)

    def link_up(self, peer: str) -> None:
        """See `transport.Listener`."""
        self._replica.meet(peer)
        session = self.sessions[peer] = Session(self._replica, peer, self._now_s(), self._pace)
        session.poll(self._now_s())
        self._flush(session)

    def link_down(self, peer: str) -> None:
        """See `transport.Listener`."""
        self.sessions.pop(peer, None)

    def receive(self, peer: str, data: bytes) -> None:
        """See `transport.Listener`."""
        session = self.sessions.get(peer)
        if session is None:
            return
        message = self._replica.screen().message(wire.decode(data))
        differences = session.receive(message, self._now_s())
        self._flush(session)
        if differences:
            self._changed(differences)
        self.pass_on()

    def pass_on(self) -> None:
        """Tell all sessions what the replica has seen since the last call. Called after each write
        of this host too."""
        news = self._replica.take_news()
        if not news:
            return
        for session in self.sessions.values():
            session.news(news, self._now_s())

    def poll(self) -> None:
        """Do what is due."""
        now_s = self._now_s()
        for session in tuple(self.sessions.values()):
            if session.wake_at_s <= now_s:
                session.poll(now_s)
                self._flush(session)

    def _flush(self, session: Session) -> None:
        for message in session.take_outbox():
            self._transport.send(session.peer, wire.encode(message))
