"""One link's protocol: messages in, messages out, no I/O.

A side sends only on top of what the other has confirmed, one delta at a time, taken over all
origins at once; what comes up meanwhile goes with the next one, so bursts are coalesced by
themselves and a slow link is never flooded. Messages may be lost, repeated and reordered: parts are
sent again until they are acknowledged, and a digest that is too old only makes a host send what
the other has already. Messages of one link must not arrive on another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from weft.errors import InvalidError
from weft.mesh.delta import Delta, Difference
from weft.mesh.digest import Digest
from weft.mesh.messages import Ack, DigestMessage, Hello, Message, Part, Summary
from weft.mesh.replica import Replica
from weft.mesh.transfer import Incoming, Outgoing
from weft.store.entry import Origin

MAX_BACKOFF = 5
"""Waiting doubles at most so often."""
MISMATCHES_BEFORE_REPAIR = 3
"""So many summaries must say that exchanging digests leads no further: that equal ones hide unequal
entries, or that unequal ones stay as they are."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how much."""

    summary_s: float = 10.0
    """Between summaries. They find what no acknowledgement could; shorter costs 20 bytes a link
    each time while nothing is wrong."""
    resend_s: float = 2.0
    """Until an unacknowledged part is sent again; doubles. Must exceed the round trip."""
    coalesce_s: float = 0.003
    """News wait so long for company."""
    part_bytes: int = 256 * 1024
    """Entries in one message. Larger saves acknowledgements, and holds up the event loop longer."""
    window: int = 4
    """Parts under way without acknowledgement."""


class Session:
    """This host's side of a link. The owner calls `poll` when `wake_at_s` has come."""

    def __init__(self, replica: Replica, peer: str, now_s: float, pace: Pace = Pace()) -> None:  # noqa: B008
        self.peer = peer
        self.is_open = False
        """Whether the peer has said hello."""
        self.is_settled = False
        """Whether all that the peer had when it said so is here."""
        self._replica = replica
        self._pace = pace
        self._theirs = Digest()
        self._behind: set[Origin] = set()
        """Origins of which the peer has not confirmed all."""
        self._goal: Digest | None = None
        self._outgoing: Outgoing | None = None
        self._incoming: Incoming | None = None
        self._transfers = 0
        self._hellos = 0
        self._send_at_s: float | None = None
        self._resend_at_s = now_s
        self._summary_at_s = now_s + pace.summary_s
        self._compared: tuple[Summary, Summary] | None = None
        self._mismatches = 0
        self._repairs = 0
        self._outbox: list[Message] = []

    @property
    def is_in_sync(self) -> bool:
        """Whether the peer has confirmed all that is here."""
        return self.is_open and not self._behind and self._outgoing is None

    @property
    def wake_at_s(self) -> float:
        """When `poll` has something to do."""
        times = [self._summary_at_s]
        if not self.is_open or self._outgoing is not None:
            times.append(self._resend_at_s)
        if self._send_at_s is not None and self._outgoing is None:
            times.append(self._send_at_s)
        return min(times)

    def take_outbox(self) -> list[Message]:
        """What is to be sent, in order."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def news(self, origins: Iterable[Origin], now_s: float) -> None:
        """The replica has seen more of these origins, by this host's writes or over another
        link."""
        if not self.is_open:
            return
        self._behind |= self._replica.digest.ahead_of(self._theirs, origins)
        if self._behind and self._send_at_s is None:
            self._send_at_s = now_s + self._pace.coalesce_s

    def poll(self, now_s: float) -> None:
        """Do what is due."""
        if not self.is_open and now_s >= self._resend_at_s:
            self._say_hello(now_s)
        if self.is_open and self._outgoing is not None and now_s >= self._resend_at_s:
            self._send_again(now_s)
        if self._send_at_s is not None and now_s >= self._send_at_s:
            self._send_news(now_s)
        if now_s >= self._summary_at_s:
            self._summary_at_s = now_s + self._pace.summary_s
            if self.is_open:
                self._outbox.append(Summary(self._replica.digest.hash, self._replica.checksum))

    def receive(self, message: Message, now_s: float) -> list[Difference]:
        """Take in a message; returns what it changed.

        InvalidError: the peer is not the host to which the link was made.
        """
        if isinstance(message, Hello):
            return self._on_hello(message, now_s)
        if isinstance(message, DigestMessage):
            return self._on_digest(message, now_s)
        if isinstance(message, Part):
            return self._on_part(message, now_s)
        if isinstance(message, Ack):
            self._on_ack(message, now_s)
        else:
            self._on_summary(message, now_s)
        return []

    def _say_hello(self, now_s: float) -> None:
        self._outbox.append(Hello(self._replica.host, self._replica.digest.copy()))
        self._resend_at_s = now_s + self._backoff(self._hellos)
        self._hellos += 1

    def _backoff(self, times: int) -> float:
        return self._pace.resend_s * float(2 ** min(times, MAX_BACKOFF))

    def _on_hello(self, message: Hello, now_s: float) -> list[Difference]:
        if message.host != self.peer:
            raise InvalidError(f"link to host {self.peer}: {message.host} answers")
        if not message.is_answer and (self.is_open or not self._hellos):
            # Who says it again has not heard ours; who says it first will, or will say it again.
            self._outbox.append(Hello(self._replica.host, self._replica.digest.copy(), True))
        return self._learn(message.digest, now_s)

    def _on_digest(self, message: DigestMessage, now_s: float) -> list[Difference]:
        if self._outgoing is not None and message.refused == self._outgoing.number:
            self._outgoing = None
        done = self._learn(message.digest, now_s)
        if message.is_answer_wanted:
            self._send_digest()
        return done

    def _learn(self, theirs: Digest, now_s: float) -> list[Difference]:
        """What the peer has seen, in its own words."""
        if self._replica.notice(theirs):
            self._send_digest()
        self.is_open = True
        self._theirs = theirs
        self._behind = self._replica.digest.ahead_of(theirs)
        if self._behind:
            self._send_at_s = now_s
            self._send_news(now_s)
        if not self.is_settled:
            self._goal = theirs.copy()
        return self._settle()

    def _settle(self) -> list[Difference]:
        """Whether what the peer had is here now."""
        if self.is_settled or self._goal is None:
            return []
        if not self._replica.has_all_of(self._goal):
            return []
        self.is_settled, self._goal = True, None
        return self._replica.settle()

    def _send_digest(self, is_answer_wanted: bool = False, refused: int = 0) -> None:
        digest = self._replica.digest.copy()
        self._outbox.append(DigestMessage(digest, is_answer_wanted, refused))

    def _send_news(self, now_s: float) -> None:
        if self._outgoing is not None:
            return
        self._send_at_s = None
        delta = self._replica.missing_for(self._theirs, self._behind)
        if delta is None:
            self._behind.clear()
            return
        self._start(delta, now_s)

    def _start(self, delta: Delta, now_s: float) -> None:
        self._transfers += 1
        pace = self._pace
        self._outgoing = Outgoing(self._transfers, delta, pace.part_bytes, pace.window)
        self._send_parts(now_s)

    def _send_parts(self, now_s: float) -> None:
        assert self._outgoing is not None
        self._outbox.extend(self._outgoing.due())
        self._resend_at_s = now_s + self._backoff(self._outgoing.retries)

    def _send_again(self, now_s: float) -> None:
        assert self._outgoing is not None
        if self._outgoing.delta.scope == "repair":
            # It holds only as long as both sides have seen the same, so it must not grow old.
            self._outgoing = None
            return
        self._outgoing.send_again()
        self._send_parts(now_s)

    def _on_ack(self, message: Ack, now_s: float) -> None:
        outgoing = self._outgoing
        if outgoing is None or message.transfer != outgoing.number:
            return
        if not outgoing.acknowledge(message.next_piece):
            return
        if not outgoing.is_done:
            self._send_parts(now_s)
            return
        self._outgoing = None
        self._confirm({origin: span.mark for origin, span in outgoing.delta.spans.items()})
        if self._behind:
            self._send_at_s = now_s
            self._send_news(now_s)

    def _confirm(self, marks: Mapping[Origin, int]) -> None:
        """The peer has seen so much."""
        self._theirs.merge(marks)
        for origin in marks:
            if self._replica.digest[origin] <= self._theirs[origin]:
                self._behind.discard(origin)

    def _on_part(self, part: Part, now_s: float) -> list[Difference]:
        incoming = self._incoming
        if incoming is None or part.transfer > incoming.number:
            if part.piece:
                return []
            incoming = self._incoming = Incoming(part.transfer)
        if part.transfer < incoming.number:
            return []
        if incoming.is_refused:
            self._send_digest(refused=part.transfer)
            return []
        if not incoming.accept(part):
            self._outbox.append(Ack(incoming.number, incoming.next_piece))
            return []
        delta = part.delta
        done = self._replica.merge_entries(delta.entries, delta.scope == "repair")
        if part.is_last:
            if not self._replica.is_based(delta.spans):
                incoming.is_refused = True
                self._send_digest(refused=part.transfer)
                return done
            done += self._replica.finish(delta, incoming.keys)
            self._confirm({origin: span.mark for origin, span in delta.spans.items()})
            done += self._settle()
        self._outbox.append(Ack(incoming.number, incoming.next_piece))
        return done

    def _on_summary(self, message: Summary, now_s: float) -> None:
        replica = self._replica
        mine = Summary(replica.digest.hash, replica.checksum)
        if mine == message:
            self._mismatches = self._repairs = 0
            return
        is_stuck = self._compared == (mine, message)
        self._compared = mine, message
        if mine.digest_hash != message.digest_hash:
            self._send_digest(is_answer_wanted=True)
        if is_stuck or mine.digest_hash == message.digest_hash:
            self._mismatches += 1
        needed = MISMATCHES_BEFORE_REPAIR * 2 ** min(self._repairs, MAX_BACKOFF)
        if self._mismatches >= needed and self._outgoing is None:
            self._mismatches = 0
            self._repairs += 1
            is_equal = mine.digest_hash == message.digest_hash
            self._start(replica.everything() if is_equal else replica.strays(), now_s)
