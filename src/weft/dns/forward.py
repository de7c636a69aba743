"""Names that are not ours: asked of the host's resolvers, with a cache and one question at a time.

Askers of the same question wait for one answer. A resolver that fails is asked last for a while.
When none answers in time the asker gets what the cache still has, though expired, or SERVFAIL;
either holds for a few seconds, so that a host without its resolvers does not wait for each name.

The number of questions asked at one time is bounded. Others wait for their turn, and each asker has
a fair share of the turns (see `shares`); SERVFAIL for want of a turn would make programs give up.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections.abc import Callable, Sequence

import structlog

from weft.dns import response, upstream, wire
from weft.dns.cache import Cache, Fetched, Key
from weft.dns.counters import Counters
from weft.dns.shares import Turns
from weft.dns.wire import Answer, Query
from weft.model.addresses import IPAddress

WAITS_S = (1.0, 1.5, 2.0)
"""How long each resolver may take, in the first, second and third round."""
TOTAL_WAIT_S = 4.5
"""For all rounds together: less than the 5 s after which the C library gives up."""
DOWN_S = 10.0
"""For how long a resolver that failed is asked only after the others."""
FAILURE_HOLD_S = 2.0
"""For how long a question that nobody answered is not asked again (RFC 9520 section 3.2)."""
MAX_IN_FLIGHT = 256
"""Questions asked at one time; each has a socket."""
TURN_WAIT_S = 4.5
"""For how long a question waits for its turn; its asker then repeats it."""

log = structlog.get_logger()


class Forwarder:
    """Asks the resolvers in `servers`. `run` must be running for anything to be asked."""

    def __init__(
        self,
        servers: Callable[[], Sequence[IPAddress]],
        counters: Counters,
        clock: Callable[[], float],
        random: random.Random,
        port: int = 53,
    ) -> None:
        self._servers = servers
        self._counters = counters
        self._clock = clock
        self._random = random
        self._port = port
        self._cache = Cache(clock)
        self._turns = Turns(MAX_IN_FLIGHT)
        self._in_flight: dict[Key, asyncio.Task[Answer]] = {}
        self._down_until_s: dict[IPAddress, float] = {}
        self._without_edns: set[IPAddress] = set()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Own the questions in flight until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await asyncio.Event().wait()
        finally:
            self._tasks = None

    def forget_health(self) -> None:
        """The list of resolvers changed: think nothing bad of any."""
        self._down_until_s.clear()
        self._without_edns.clear()

    def cached(self, query: Query) -> Answer | None:
        """The answer if the cache has it."""
        return self._cache.get(_key(query))

    @property
    def waiting(self) -> int:
        """Questions that wait for their turn now."""
        return self._turns.waiting

    @property
    def in_flight(self) -> int:
        """Questions that are asked now."""
        return len(self._in_flight)

    async def answer(self, query: Query, asker: str) -> Answer | None:
        """The answer from the cache, or from a resolver; None: the asker's turn did not come in
        time.

        Within TURN_WAIT_S and TOTAL_WAIT_S. Never raises but when cancelled; when a caller that
        waits is cancelled, the question goes on for other callers and for the cache.
        """
        if self._tasks is None:
            return _failure(wire.SERVFAIL)
        key = _key(query)
        if key not in self._in_flight and not self._turns.try_take(asker):
            self._counters["waited"] += 1
            try:
                await self._turns.take(asker, TURN_WAIT_S)
            except TimeoutError:
                self._counters["limited"] += 1
                return None
            # Others may have asked the same meanwhile.
            kept = self._cache.get(key)
            if kept is not None or key in self._in_flight:
                self._turns.give_back(asker)
            if kept is not None:
                return kept
        return await asyncio.shield(self._in_flight.get(key) or self._start(key, asker))

    def _start(self, key: Key, asker: str) -> asyncio.Task[Answer]:
        """Ask, in the turn that the asker has taken."""
        assert self._tasks is not None

        def end(_: object) -> None:
            del self._in_flight[key]
            self._turns.give_back(asker)

        task = self._in_flight[key] = self._tasks.create_task(self._fetch(key))
        task.add_done_callback(end)
        return task

    async def _fetch(self, key: Key) -> Answer:
        try:
            fetched = await self._ask_all(key)
        except Exception:
            # A fault of our own, perhaps made by hostile octets: it must not end the server.
            self._counters["errors"] += 1
            log.exception("fault while asking resolvers", query=key.name.hex(), type=key.type)
            fetched = None
        if fetched is not None and fetched.is_usable:
            self._cache.put(key, fetched)
            self._counters["forwarded"] += 1
            return fetched.answer()
        stale = self._cache.get_stale(key)
        if stale is not None:
            self._counters["stale"] += 1
            return stale
        self._counters["failed"] += 1
        rcode = wire.SERVFAIL if fetched is None else fetched.flags & 0xF
        self._cache.put(key, Fetched(rcode, (0, 0, 0), b"", (), FAILURE_HOLD_S))
        return _failure(rcode)

    async def _ask_all(self, key: Key) -> Fetched | None:
        """The first answer that can be used; else the last error that a resolver gave, or None.

        A slow resolver is asked again in the next round; a resolver that cannot be reached or says
        no is not.
        """
        now_s = self._clock()
        asked = sorted(self._servers(), key=lambda s: self._down_until_s.get(s, 0.0) > now_s)
        refusal = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TOTAL_WAIT_S):
                for wait_s in WAITS_S:
                    for server in tuple(asked):
                        try:
                            async with asyncio.timeout(wait_s):
                                fetched = await self._ask(server, key)
                        except TimeoutError:
                            self._set_down(server, "no answer in time")
                            continue
                        except (OSError, ValueError, upstream.BadReplyError) as error:
                            self._set_down(server, str(error))
                            asked.remove(server)
                            continue
                        self._set_up(server)
                        if fetched.is_usable:
                            return fetched
                        self._counters["upstream_failures"] += 1
                        refusal = fetched
                        asked.remove(server)
        return refusal

    async def _ask(self, server: IPAddress, key: Key) -> Fetched:
        """Ask one resolver, once more without EDNS if it does not know that."""
        if server not in self._without_edns:
            reply = await self._exchange(server, key, wire.opt_record(key.is_dnssec_ok))
            if response.rcode_of(reply) not in (wire.FORMERR, wire.NOTIMP):
                return response.read(reply, key.type)
        fetched = response.read(await self._exchange(server, key, b""), key.type)
        if fetched.is_usable:
            self._without_edns.add(server)
        return fetched

    async def _exchange(self, server: IPAddress, key: Key, opt: bytes) -> bytes:
        self._counters["upstream_queries"] += 1
        id = self._random.getrandbits(16)
        question = key.name + struct.pack(">HH", key.type, wire.IN)
        query = wire.encode_query(id, wire.RD | key.flags, question, opt)
        return await upstream.ask(server, self._port, id, question, query)

    def _set_down(self, server: IPAddress, reason: str) -> None:
        self._counters["upstream_failures"] += 1
        if server not in self._down_until_s:
            log.warning("resolver does not answer", resolver=str(server), reason=reason)
        self._down_until_s[server] = self._clock() + DOWN_S

    def _set_up(self, server: IPAddress) -> None:
        if self._down_until_s.pop(server, None) is not None:
            log.info("resolver answers again", resolver=str(server))


def _key(query: Query) -> Key:
    return Key(query.name, query.type, query.flags & (wire.AD | wire.CD), query.is_dnssec_ok)


def _failure(rcode: int) -> Answer:
    return Answer(rcode, (), (0, 0, 0))
