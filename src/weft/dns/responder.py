"""From a query's octets to the response's, whichever way they came."""

from __future__ import annotations

import random

import structlog

from weft.dns import unusual, wire
from weft.dns.counters import Counters
from weft.dns.forward import Forwarder
from weft.dns.shares import Shares
from weft.dns.wire import Answer, Query
from weft.dns.zone import Scope, Zone

MAX_PENDING = 4096
"""Queries of all askers that may wait for resolvers at one time; each asker has a fair share (see
`shares`). About 12 MB."""
MAX_PENDING_OF_ASKER = 1024
_NO_SUCH_NAME = Answer(wire.NXDOMAIN, (), (0, 0, 0))
_REFUSED = Answer(wire.REFUSED, (), (0, 0, 0))
_FAILED = Answer(wire.SERVFAIL, (), (0, 0, 0))

log = structlog.get_logger()


class Responder:
    """Answers from the zone and the cache at once, and from resolvers later."""

    def __init__(
        self, zone: Zone, forwarder: Forwarder, counters: Counters, random: random.Random
    ) -> None:
        self._zone = zone
        self._forwarder = forwarder
        self._counters = counters
        self._shuffle = random.sample
        self._pending = Shares(MAX_PENDING, MAX_PENDING_OF_ASKER)
        self._faults: set[type[Exception]] = set()

    def respond(self, data: bytes, scope: Scope, is_stream: bool = False) -> bytes | Query | None:
        """The response; or the query, when a resolver must be asked (see `resolve`); or None.

        Never raises: this is where hostile input ends. A fault of our own is logged, once for
        each kind, and answered with SERVFAIL.
        """
        self._counters["queries"] += 1
        try:
            return self._respond(data, scope, is_stream)
        except Exception as error:
            self._counters["errors"] += 1
            if type(error) not in self._faults:
                self._faults.add(type(error))
                log.exception("fault while answering a query", query=data[:512].hex())
            return wire.encode_error(data, wire.SERVFAIL)

    async def resolve(self, query: Query, asker: str, is_stream: bool = False) -> bytes | None:
        """The response to a query that `respond` gave back. Never raises but when cancelled.

        None: more waits already than is the asker's share. Over UDP there is no response then: the
        asker repeats the query, where SERVFAIL would be the end of it. Waits at most
        `forward.TURN_WAIT_S` and `forward.TOTAL_WAIT_S`.
        """
        answer = None
        if self._pending.may_take(asker):
            self._pending.take(asker)
            try:
                answer = await self._forwarder.answer(query, asker)
            finally:
                self._pending.give_back(asker)
        else:
            self._counters["limited"] += 1
        if answer is None:
            return self._encode(query, _FAILED, is_stream) if is_stream else None
        return self._encode(query, answer, is_stream)

    def _respond(self, data: bytes, scope: Scope, is_stream: bool) -> bytes | Query | None:
        query = wire.parse(data)
        if query is None:
            read = unusual.read(data)
            if not isinstance(read, Query):
                self._counters["malformed"] += 1
                return read
            query = read
        return self.answer(query, scope, is_stream)

    def answer(self, query: Query, scope: Scope, is_stream: bool) -> bytes | Query:
        """The response to a query that has been read; see `respond`."""
        answer = self._zone.answer(scope, query.name, query.type)
        if answer is not None:
            self._count_ours(answer)
        elif _is_meta(query.type):
            self._counters["malformed"] += 1
            answer = _REFUSED
        elif not scope.is_outside_seen:
            self._counters["internal"] += 1
            answer = _NO_SUCH_NAME
        else:
            answer = self._forwarder.cached(query)
            if answer is None:
                return query
            self._counters["cached"] += 1
        return self._encode(query, answer, is_stream)

    def _encode(self, query: Query, answer: Answer, is_stream: bool) -> bytes:
        return wire.encode(query, answer, wire.limit_bytes(query, is_stream), self._shuffle)

    def _count_ours(self, answer: Answer) -> None:
        if answer.answers:
            self._counters["answered"] += 1
        else:
            self._counters["unknown" if answer.rcode == wire.NXDOMAIN else "empty"] += 1


def _is_meta(type: int) -> bool:
    """Types that ask for something other than records (zone transfers and such); ANY is none."""
    return type == wire.OPT or 128 <= type < wire.ANY
