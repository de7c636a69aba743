"""A link that is up: liveness, round trip, the other host's clock, and where its frames go."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from weft.cluster import greeting
from weft.cluster.connection import Connection
from weft.cluster.frames import MAX_FRAME_BYTES, Frame, Kind
from weft.cluster.greeting import Because, Confirm, Handover, Hello, Ping, Pong, Refusal
from weft.cluster.interface import Endpoint, LinkInfo
from weft.errors import UnavailableError
from weft.model.ids import HostId
from weft.printable import printable

SAMPLES = 8
"""Round trips to choose the quickest from: it says most about the clock as well."""


class Pace(NamedTuple):
    """How soon things are noticed. Shorter: sooner, and more packets while nothing happens."""

    ping_s: float = 1.5
    """A link is pinged when nothing came for so long. One end's ping tells both ends that the other
    lives, so the other end needs none."""
    sample_s: float = 15.0
    """Each end pings as often as that all the same, for the round trip and the other's clock."""
    dead_s: float = 5.0
    """A link is dead when nothing came for so long."""
    probe_s: float = 2.0
    """Within this a link that lives answers when it is doubted."""
    network_probe_s: float = 3.0
    """The same after this host's addresses or routes changed."""
    clone_probe_s: float = 4.0
    """And before another process takes the place: more patience with the first."""
    greeting_s: float = 8.0
    """From TLS to a link; exceeds both."""
    tls_s: float = 5.0
    connect_s: float = 4.0
    stagger_s: float = 0.5
    """Until a target's next address is tried beside the last one."""
    first_retry_s: float = 0.2
    """Doubles, up to `last_retry_s`."""
    last_retry_s: float = 10.0
    refused_retry_s: float = 30.0
    """`last_retry_s` where an administrator must act."""
    courtesy_s: float = 0.2
    """The host that does not decide dials so much later, so that both seldom dial at once."""
    unwanted_s: float = 60.0
    """A link that neither end wants ends after so long."""


class LinkEvents(Protocol):
    """Told by a link what happens on it."""

    def on_message(self, link: Link, data: bytes) -> None:
        """InvalidError: it is none, and the link is closed."""
        ...

    def on_ask(self, link: Link, data: bytes) -> None:
        """Of what one host asks the other."""
        ...

    def on_handover(self, link: Link, handover: Handover) -> None:
        """The other host has a newer secret."""
        ...

    def on_confirm(self, link: Link) -> None:
        """The other host's `secret_id` is another one."""
        ...

    def on_end(self, link: Link, refusal: Refusal | None) -> None:
        """The link is over; refusal: what the other host said last."""
        ...


class Link:
    """One host's link to another, after the greeting."""

    def __init__(
        self,
        connection: Connection,
        hello: Hello,
        endpoint: Endpoint | None,
        tls_secret_id: str,
        now_s: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        """endpoint: where it was dialed; None: it came. tls_secret_id: what proved it."""
        self.host_id = HostId(hello.host_id)
        self.hello = hello
        self.endpoint = endpoint
        self.tls_secret_id = tls_secret_id
        self.secret_id = hello.secret_id
        self.is_wanted_here = True
        self.is_wanted_there = True
        self.unwanted_since_s: float | None = None
        self.up_at_s = now_s()
        self._since_s = wall_s()
        self._now_s = now_s
        self._wall_s = wall_s
        self._connection = connection
        self._peer = connection.peer
        self._pings: dict[int, tuple[float, float]] = {}
        self._number = 0
        self._answered = 0
        self._pinged_at_s = -math.inf
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)
        self._pong = asyncio.Event()
        self._refusal: Refusal | None = None
        self._events: LinkEvents | None = None

    @property
    def is_outgoing(self) -> bool:
        """This host dialed."""
        return self.endpoint is not None

    @property
    def can_be_asked(self) -> bool:
        """Whether the other host knows of `Kind.ASK`."""
        return self.hello.ask_version > 0

    @property
    def is_over(self) -> bool:
        """Whether it is gone."""
        return self._connection.is_lost

    @property
    def why_over(self) -> Exception | None:
        """The error that ended it."""
        return self._connection.lost_because

    @property
    def ip(self) -> str:
        """The other host's address."""
        return str(self._peer[0])

    @property
    def local_ip(self) -> str:
        """This host's address."""
        return self._connection.local_ip

    @property
    def address(self) -> str:
        """Where it was dialed, or the address that it came from."""
        return str(self.endpoint or self.ip)

    def start(self, events: LinkEvents) -> None:
        """Take frames from now on."""
        self._events = events
        self._connection.hand_over(self._on_frame, self._on_lost, MAX_FRAME_BYTES)

    def send(self, data: bytes) -> None:
        """A message of the mesh."""
        self._connection.send(Kind.MESSAGE, data)

    def send_ask(self, data: bytes) -> None:
        """Of what one host asks the other."""
        self._connection.send(Kind.ASK, data)

    def say_wanted(self, is_wanted: bool) -> None:
        """Whether this host wants the link for itself."""
        self.is_wanted_here = is_wanted
        self._connection.send(Kind.WANTED, bytes((is_wanted,)))

    def hand_over(self, handover: Handover) -> None:
        """Give the newer secret."""
        self._connection.send(Kind.SECRET, greeting.encode(handover))

    def confirm(self, secret_id: str) -> None:
        """Say which secret this host has."""
        self._connection.send(Kind.CONFIRM, greeting.encode(Confirm(secret_id)))

    def end(self, because: Because, reason: str = "", fix: str = "") -> None:
        """Say why, and close."""
        refusal = Refusal(because=because, reason=reason, fix=fix)
        self._connection.send(Kind.REFUSE, greeting.encode(refusal))
        self._connection.close()

    def abort(self, reason: str) -> None:
        """Close without a word: nothing would arrive."""
        self._connection.abort(UnavailableError(reason))

    async def wait_gone(self, timeout_s: float) -> bool:
        """Whether it is closed, all that was said last sent, within so long."""
        return await self._connection.wait_gone(timeout_s)

    def tick(self, pace: Pace) -> None:
        """Ping when it is time; end the link when the other host is silent."""
        now_s = self._now_s()
        silent_s = now_s - self._connection.received_at_s
        pinged_s = now_s - self._pinged_at_s
        if silent_s > pace.dead_s:
            self._connection.abort(TimeoutError(f"nothing came for {silent_s:.0f} s"))
        elif min(silent_s, pinged_s) >= pace.ping_s or pinged_s >= pace.sample_s:
            self._pinged_at_s = now_s
            self._ping()

    async def lives(self, within_s: float) -> bool:
        """Whether the other host answers; ends the link if not."""
        number = self._ping()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self.is_over and self._answered < number:
                    self._pong.clear()
                    await self._pong.wait()
        if self._answered >= number:
            return not self.is_over
        self._connection.abort(TimeoutError(f"no answer within {within_s:g} s"))
        return False

    def info(self) -> LinkInfo:
        """What is known of it."""
        rtt_s, offset_s = min(self._samples, default=(None, None))
        address, port = self._peer
        return LinkInfo(
            host_id=self.host_id,
            address=address,
            port=port,
            is_outgoing=self.is_outgoing,
            since_s=self._since_s,
            name=printable(self.hello.name),
            version=printable(self.hello.version),
            instance=self.hello.instance,
            boot_id=self.hello.boot_id,
            secret_id=self.secret_id,
            rtt_s=rtt_s,
            clock_offset_s=offset_s,
        )

    def _ping(self) -> int:
        self._number += 1
        self._pings[self._number] = self._now_s(), self._wall_s()
        if len(self._pings) > SAMPLES:
            del self._pings[next(iter(self._pings))]
        self._connection.send(Kind.PING, greeting.encode(Ping(self._number)))
        return self._number

    def _on_frame(self, frame: Frame) -> None:
        assert self._events is not None
        match frame.kind:
            case Kind.MESSAGE:
                self._events.on_message(self, frame.payload)
            case Kind.ASK:
                self._events.on_ask(self, frame.payload)
            case Kind.PING:
                number = greeting.decode(frame.payload, Ping).number
                self._connection.send(Kind.PONG, greeting.encode(Pong(number, self._wall_s())))
            case Kind.PONG:
                self._on_pong(greeting.decode(frame.payload, Pong))
            case Kind.WANTED:
                self.is_wanted_there = frame.payload != b"\0"
            case Kind.SECRET:
                self._events.on_handover(self, greeting.decode(frame.payload, Handover))
            case Kind.CONFIRM:
                self.secret_id = greeting.decode(frame.payload, Confirm).secret_id
                self._events.on_confirm(self)
            case Kind.REFUSE:
                self._refusal = greeting.decode(frame.payload, Refusal)
                self._connection.close()

    def _on_pong(self, pong: Pong) -> None:
        sent = self._pings.pop(pong.number, None)
        if sent is None or not math.isfinite(pong.wall_s):
            return
        rtt_s = self._now_s() - sent[0]
        self._samples.append((rtt_s, pong.wall_s - (sent[1] + rtt_s / 2)))
        self._answered = max(self._answered, pong.number)
        self._pong.set()

    def _on_lost(self) -> None:
        assert self._events is not None
        self._pong.set()
        self._events.on_end(self, self._refusal)
