"""The hand-made half of the wire format against dnspython, which serves as the reference."""

from __future__ import annotations

import contextlib
import random
import struct

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from weft.dns import unusual, wire
from weft.dns.wire import Answer, Query

SHUFFLE = random.Random(0).sample

labels = st.binary(min_size=1, max_size=63)
names = st.lists(labels, max_size=8).filter(lambda ls: sum(len(x) + 1 for x in ls) < 255)
types = st.integers(0, 65535)


@st.composite
def queries(draw: st.DrawFn) -> dns.message.Message:
    """Queries of the common form, as dnspython makes them."""
    name = dns.name.Name([*draw(names), b""])
    type = dns.rdatatype.RdataType.make(draw(types.filter(lambda t: t != wire.OPT)))
    message = dns.message.make_query(name, type, id=draw(st.integers(0, 65535)), use_edns=False)
    message.flags = draw(st.sampled_from([0, wire.RD, wire.RD | wire.AD, wire.CD]))
    if draw(st.booleans()):
        option = dns.edns.GenericOption(
            dns.edns.OptionType.make(65001), draw(st.binary(max_size=24))
        )
        message.use_edns(
            0,
            draw(st.sampled_from([0, wire.DNSSEC_OK])),
            payload=draw(st.integers(0, 65535)),
            options=[option] if draw(st.booleans()) else [],
        )
    return message


def parsed(message: dns.message.Message) -> Query:
    query = wire.parse(message.to_wire())
    assert query is not None
    return query


def reference(message: dns.message.Message) -> Query:
    """The same by dnspython."""
    (question,) = message.question
    name = question.name.to_wire()
    assert name is not None
    return Query(
        message.id,
        int(message.flags),
        name.lower(),
        name + struct.pack(">HH", question.rdtype, question.rdclass),
        int(question.rdtype),
        message.payload if message.edns >= 0 else None,
        bool(message.ednsflags & dns.flags.DO),
    )


@given(queries())
def test_common_queries_are_read_as_dnspython_reads_them(message: dns.message.Message) -> None:
    data = message.to_wire()
    query = wire.parse(data)
    assert query is not None
    assert query == unusual.read(data) == reference(message)
    assert wire.encode_name(wire.labels_of(query.name)) == query.name


@given(queries(), st.binary(max_size=30), st.data())
def test_damaged_queries_never_raise(
    message: dns.message.Message, noise: bytes, draw: st.DataObject
) -> None:
    data = bytearray(message.to_wire())
    for at, byte in enumerate(noise):
        data[draw.draw(st.integers(0, len(data) - 1))] = byte
        if at % 7 == 6:
            del data[draw.draw(st.integers(0, len(data) - 1)) :]
            assume(data)
    check_any(bytes(data))


@settings(max_examples=500)
@given(st.binary(max_size=600))
def test_random_octets_never_raise(data: bytes) -> None:
    check_any(data)


@settings(max_examples=500)
@given(st.binary(max_size=300), st.integers(0, 5))
def test_random_octets_after_a_fair_header_never_raise(data: bytes, additionals: int) -> None:
    check_any(struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, additionals) + data)


def check_any(data: bytes) -> None:
    """What is taken for a query is the one that dnspython reads; all else is refused properly."""
    query = wire.parse(data)
    read = unusual.read(data)
    if query is not None:
        assert query == read or len(data) > unusual.MAX_QUERY_BYTES
    if isinstance(read, Query):
        with contextlib.suppress(dns.exception.DNSException):  # of records that we step over
            assert read == reference(dns.message.from_wire(data))
    if isinstance(read, bytes):
        response = dns.message.from_wire(read)
        assert response.id == data[0] << 8 | data[1]
        assert response.flags & dns.flags.QR
        assert response.rcode() != dns.rcode.NOERROR


addresses = st.lists(st.ip_addresses(v=4), min_size=1, max_size=40, unique=True)


@given(queries(), addresses, st.integers(0, 2**31 - 1))
def test_answers_equal_those_of_dnspython(
    message: dns.message.Message, holders: list[object], ttl_s: int
) -> None:
    message.question[0].rdtype = dns.rdatatype.A
    query = parsed(message)
    records = tuple(wire.resource_record(wire.A, ttl_s, h.packed) for h in holders)  # type: ignore[attr-defined]
    answer = Answer(wire.AA, records, (len(records), 0, 0))
    made = dns.message.from_wire(wire.encode(query, answer, 65535, SHUFFLE))

    expected = dns.message.make_response(message, recursion_available=True, our_payload=1232)
    expected.flags |= dns.flags.AA | (message.flags & dns.flags.CD)
    rrset = dns.rrset.from_text_list(
        message.question[0].name, ttl_s, "IN", "A", [str(h) for h in holders]
    )
    expected.answer.append(rrset)
    assert made == expected
    assert made.edns == expected.edns
    assert made.payload == expected.payload
    assert made.ednsflags & wire.DNSSEC_OK == message.ednsflags & wire.DNSSEC_OK


@given(queries().filter(lambda m: m.edns < 0))
def test_single_answers_equal_dnspythons_to_the_octet(message: dns.message.Message) -> None:
    message.question[0].rdtype = dns.rdatatype.AAAA
    query = parsed(message)
    record = wire.resource_record(wire.AAAA, 1, bytes(15) + b"\1")
    made = wire.encode(query, Answer(wire.AA, (record,), (1, 0, 0)), 512, SHUFFLE)
    expected = dns.message.make_response(message, recursion_available=True)
    expected.flags |= dns.flags.AA | (message.flags & dns.flags.CD)
    expected.answer.append(dns.rrset.from_text(message.question[0].name, 1, "IN", "AAAA", "::1"))
    # Compression of a name that is nothing but the root differs: ours points to it.
    assume(len(query.name) > 1)
    assert made == expected.to_wire()


@given(queries(), st.integers(1, 400), st.integers(0, 5))
def test_what_does_not_fit_is_cut_between_records(
    message: dns.message.Message, count: int, additionals: int
) -> None:
    query = parsed(message)
    limit = wire.limit_bytes(query, is_stream=False)
    records = tuple(wire.resource_record(wire.A, 1, struct.pack(">I", n)) for n in range(count))
    more = wire.resource_record(wire.A, 1, bytes(4)) * additionals
    answer = Answer(wire.AA, records, (count, 0, additionals), more)
    response = wire.encode(query, answer, limit, SHUFFLE)
    assert len(response) <= limit
    read = dns.message.from_wire(response)
    sent = sum(len(rrset) for rrset in read.answer)
    assert bool(read.flags & dns.flags.TC) == (sent < count)
    assert (read.edns == 0) == (query.udp_bytes is not None)
    if sent < count:
        assert limit - len(response) < 16 and not read.additional


@pytest.mark.parametrize(
    ("udp_bytes", "expected"), [(None, 512), (0, 512), (512, 512), (1000, 1000), (4096, 1232)]
)
def test_udp_size_is_between_512_and_1232(udp_bytes: int | None, expected: int) -> None:
    query = Query(1, 0, b"\0", b"\0\0\1\0\1", 1, udp_bytes, False)
    assert wire.limit_bytes(query, is_stream=False) == expected
    assert wire.limit_bytes(query, is_stream=True) == 65535


@given(st.binary(max_size=200))
def test_walking_random_octets_raises_only_value_error(data: bytes) -> None:
    for message in (data, struct.pack(">HHHHHH", 7, 0x8180, 1, 1, 1, 1) + data):
        try:
            records = wire.walk(message)
        except ValueError:
            continue
        assert not records or records[-1].end == len(message)


@pytest.mark.parametrize(
    ("flags", "counts", "rcode"),
    [
        (0x2800, (1, 0, 0, 0), dns.rcode.NOTIMP),  # UPDATE
        (0x1000, (0, 0, 0, 0), dns.rcode.NOTIMP),  # STATUS
        (0x0100, (0, 0, 0, 0), dns.rcode.FORMERR),
        (0x0100, (2, 0, 0, 0), dns.rcode.FORMERR),
        (0x0100, (1, 1, 0, 0), dns.rcode.FORMERR),
        (0x0100, (1, 0, 0, 9), dns.rcode.FORMERR),
    ],
)
def test_refused_by_the_header(
    flags: int, counts: tuple[int, int, int, int], rcode: dns.rcode.Rcode
) -> None:
    question = b"\1a\0\0\1\0\1"
    data = struct.pack(">HHHHHH", 7, flags, *counts) + question * counts[0]
    assert wire.parse(data) is None
    response = unusual.read(data)
    assert isinstance(response, bytes)
    assert dns.message.from_wire(response).rcode() == rcode


def test_responses_and_fragments_of_a_header_get_no_response() -> None:
    assert unusual.read(b"\0" * 11) is None
    assert unusual.read(struct.pack(">HHHHHH", 7, 0x8180, 1, 0, 0, 0) + b"\1a\0\0\1\0\1") is None


def test_later_edns_version_is_badvers() -> None:
    query = dns.message.make_query("web.", "A", use_edns=1)
    assert wire.parse(query.to_wire()) is None
    response = unusual.read(query.to_wire())
    assert isinstance(response, bytes)
    read = dns.message.from_wire(response)
    assert (read.rcode(), read.edns, read.payload) == (dns.rcode.BADVERS, 0, 1232)
    assert read.question == query.question


def test_other_classes_are_refused() -> None:
    query = dns.message.make_query("version.bind.", "TXT", "CH")
    response = unusual.read(query.to_wire())
    assert isinstance(response, bytes)
    assert dns.message.from_wire(response).rcode() == dns.rcode.REFUSED


def test_records_beside_opt_are_read_over() -> None:
    query = dns.message.make_query("web.", "A", use_edns=0, payload=1400)
    query.additional.append(dns.rrset.from_text("x.", 0, "IN", "TXT", "y"))
    assert wire.parse(query.to_wire()) is None
    read = unusual.read(query.to_wire())
    assert isinstance(read, Query)
    assert (read.name, read.type, read.udp_bytes) == (b"\3web\0", wire.A, 1400)


@pytest.mark.parametrize(
    "rest",
    [
        b"\1a\0\0\1\0\1" + b"\0\0\x29\4\0\0\0\0\0\0\0" * 2,  # two OPT records
        b"\xc0\x0c\0\1\0\1" + b"\1x\0\0\x10\0\1\0\0\0\0\0\0" * 2,  # a name that points to itself
        b"\1a\0\0\1\0\1" + b"\1x\0\0\x10\0\1\0\0\0\0\0\0" * 2 + b"x",
        b"\1a\0\0\1\0\1" + b"\1x\0\0\x10\0\1\0\0\0\0\0\0",
        b"\x3f" + b"a" * 63 + b"\0\0",
    ],
)
def test_malformed_beyond_the_header_is_formerr(rest: bytes) -> None:
    response = unusual.read(struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 2) + rest)
    assert isinstance(response, bytes)
    assert dns.message.from_wire(response).rcode() == dns.rcode.FORMERR


def test_hostile_many_records_are_not_looked_at() -> None:
    data = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 4) + b"\1a\0\0\1\0\1" + b"\0" * 5000
    response = unusual.read(data)
    assert isinstance(response, bytes)
    assert dns.message.from_wire(response).rcode() == dns.rcode.FORMERR
