"""Octets from workloads and from resolvers, in no form that anybody meant."""

from __future__ import annotations

import random
import struct

import dns.message
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.dns.world import HOST, two_tenants
from weft.dns import response, wire
from weft.dns.counters import Counters
from weft.dns.forward import Forwarder
from weft.dns.responder import Responder
from weft.dns.wire import Query
from weft.dns.zone import Zone
from weft.store.memory import MemoryStore

RECORDS = ("A 192.0.2.1", "CNAME b.example.", "TXT x", "MX 1 b.example.", "SOA a. b. 1 2 3 4 5")
NAMES = ("web.", "web.foo.weft.internal.", "foo.weft.internal.", "2.1.168.192.in-addr.arpa.")


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The message with some octets changed, cut or repeated; counts above all."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, min(len(data) - 1, 40)) | st.integers(0, len(data) - 1))
        data[at] = draw(st.sampled_from([0, 1, 12, 63, 64, 0xC0, 0xFF]) | st.integers(0, 255))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    if draw(st.booleans()):
        data += draw(st.binary(max_size=40)) + data[-draw(st.integers(0, 30)) :]
    return bytes(data)


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    query = dns.message.make_query(
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from(["A", "AAAA", "SRV", "PTR", "ANY", "SOA"])),
        use_edns=draw(st.booleans()),
    )
    return draw(st.binary(max_size=80) | damaged(query.to_wire()))


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    query = dns.message.make_query("a.example.", "A", id=7, use_edns=0)
    reply = dns.message.make_response(query, recursion_available=True)
    for section in (reply.answer, reply.authority, reply.additional):
        for text in draw(st.lists(st.sampled_from(RECORDS), max_size=3)):
            type, _, rdata = text.partition(" ")
            ttl_s = draw(st.integers(0, 2**31 - 1))
            section.append(dns.rrset.from_text("a.example.", ttl_s, "IN", type, rdata))
    return draw(damaged(reply.to_wire()))


def responder() -> tuple[Responder, Zone, Counters]:
    counters = Counters()
    zone = Zone(MemoryStore(two_tenants()), "weft.internal", HOST)
    forwarder = Forwarder(lambda: (), counters, lambda: 0.0, random.Random(1))
    return Responder(zone, forwarder, counters, random.Random(1)), zone, counters


SERVER, ZONE, COUNTERS = responder()


@given(queries(), st.booleans())
def test_whatever_a_workload_asks_is_answered_refused_or_dropped(
    data: bytes, is_stream: bool
) -> None:
    for scope in (ZONE.scope_of_host(), ZONE.scope_of_network(HOST)):  # type: ignore[arg-type]
        answer = SERVER.respond(data, scope, is_stream)
        assert COUNTERS["errors"] == 0, "a fault of our own was hidden"
        if isinstance(answer, bytes):
            assert answer[:2] == data[:2] and answer[2] & 0x80
            assert is_stream or len(answer) <= wire.MAX_UDP_BYTES


@given(replies(), st.sampled_from([wire.MIN_UDP_BYTES, wire.MAX_UDP_BYTES, 65535]))
def test_whatever_a_resolver_says_is_passed_on_or_refused(data: bytes, limit: int) -> None:
    question = b"\1a\7example\0" + struct.pack(">HH", wire.A, wire.IN)
    if not response.is_reply(data, 7, question):
        return
    assert response.rcode_of(data) < 16
    response.is_truncated(data)
    try:
        fetched = response.read(data, wire.A)
    except ValueError:
        return
    query = Query(9, wire.RD, question[:-4], question, wire.A, 1232, False)
    for age_s in (0, 10, 100_000):
        answer = wire.encode(query, fetched.answer(age_s), limit, lambda all, n: all[:n])
        assert len(answer) <= limit
        assert struct.unpack_from(">HHH", answer)[0] == 9
        wire.walk(answer)
