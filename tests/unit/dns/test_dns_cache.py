from __future__ import annotations

import struct
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.dns import cache as cache_module
from weft.dns import response, wire
from weft.dns.cache import Cache, Fetched, Key

SOA = "ns.example. root.example. 1 2 3 4 {minimum}"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def key(n: int) -> Key:
    return Key(b"\1%c\0" % n, wire.A, 0, False)


def message(*answers: str, authority: str = "", rcode: str = "NOERROR") -> dns.message.Message:
    query = dns.message.make_query("a.example.", "A", use_edns=0)
    made = dns.message.make_response(query, recursion_available=True)
    made.set_rcode(dns.rcode.from_text(rcode))
    for section, texts in ((made.answer, answers), (made.authority, [authority])):
        for text in texts:
            if text:
                owner, ttl, *rest = text.split(maxsplit=3)
                section.append(dns.rrset.from_text(owner, int(ttl), "IN", rest[0], rest[1]))
    return made


def fetched(*answers: str, authority: str = "", rcode: str = "NOERROR") -> Fetched:
    made = message(*answers, authority=authority, rcode=rcode)
    return response.read(made.to_wire(), wire.A)


def ttls(answer: wire.Answer) -> list[int]:
    question = b"\1a\7example\0\0\1\0\1"
    query = wire.Query(1, 0, question[:-4], question, wire.A, None, False)
    made = dns.message.from_wire(wire.encode(query, answer, 65535, lambda r, n: r))
    return [rrset.ttl for rrset in (*made.answer, *made.authority)]


def test_answers_are_kept_as_long_as_their_shortest_record() -> None:
    assert fetched("a.example. 300 CNAME b.example.", "b.example. 60 A 192.0.2.1").hold_s == 60
    assert fetched("a.example. 0 A 192.0.2.1").hold_s == cache_module.MIN_HOLD_S
    assert fetched("a.example. 9999999 A 192.0.2.1").hold_s == cache_module.MAX_TTL_S
    assert fetched("a.example. 2147483647 A 192.0.2.1").hold_s == cache_module.MAX_TTL_S


def test_negative_answers_are_kept_as_their_soa_says() -> None:
    soa = "example. 100 SOA " + SOA.format(minimum=30)
    assert fetched(authority=soa, rcode="NXDOMAIN").hold_s == 30
    assert fetched(authority=soa).hold_s == 30
    assert fetched(authority="example. 20 SOA " + SOA.format(minimum=30)).hold_s == 20
    long = "example. 9000 SOA " + SOA.format(minimum=9000)
    assert fetched(authority=long).hold_s == cache_module.MAX_NEGATIVE_TTL_S
    assert fetched("a.example. 10 CNAME b.example.", authority=soa).hold_s == 10


def test_negative_answers_without_soa_and_failures_are_not_kept() -> None:
    assert fetched(rcode="NXDOMAIN").hold_s == 0
    assert fetched(authority="example. 100 NS ns.example.").hold_s == 0
    assert fetched(rcode="SERVFAIL").hold_s == 0


def test_times_to_live_count_down() -> None:
    clock = Clock()
    cache = Cache(clock)
    cache.put(key(1), fetched("a.example. 60 A 192.0.2.1", authority="example. 90 NS ns.example."))
    for later_s, expected in ((0.9, [60, 90]), (0.1, [59, 89]), (58.9, [1, 31])):
        clock.now_s += later_s
        answer = cache.get(key(1))
        assert answer is not None and ttls(answer) == expected
    clock.now_s += 0.1
    assert cache.get(key(1)) is None


def test_top_bit_of_a_ttl_means_zero() -> None:
    data = bytearray(message("a.example. 60 A 192.0.2.1").to_wire())
    (record, _) = wire.walk(bytes(data))
    data[record.ttl_at] = 0x80
    assert ttls(response.read(bytes(data), wire.A).answer()) == [0]


def test_entries_are_bounded_and_the_least_used_goes() -> None:
    cache = Cache(Clock(), max_entries=3)
    kept = fetched("a.example. 60 A 192.0.2.1")
    for n in (1, 2, 3):
        cache.put(key(n), kept)
    assert cache.get(key(1)) is not None
    cache.put(key(4), kept)
    assert len(cache) == 3
    assert cache.get(key(2)) is None
    assert cache.get(key(1)) is not None


def test_put_again_takes_no_other_entry_away() -> None:
    cache = Cache(Clock(), max_entries=2)
    for n in (1, 2, 2, 2):
        cache.put(key(n), fetched("a.example. 60 A 192.0.2.1"))
    assert cache.get(key(1)) is not None


def test_stale_answers_have_an_end() -> None:
    clock = Clock()
    cache = Cache(clock)
    cache.put(key(1), fetched("a.example. 60 A 192.0.2.1"))
    clock.now_s += 100
    assert cache.get(key(1)) is None
    stale = cache.get_stale(key(1))
    assert stale is not None and ttls(stale) == [1]
    assert cache.get(key(1)) is not None  # the resolvers rest
    clock.now_s += cache_module.STALE_HOLD_S
    assert cache.get(key(1)) is None
    clock.now_s += cache_module.STALE_S
    assert cache.get_stale(key(1)) is None
    assert len(cache) == 0


def test_failures_are_never_stale_answers() -> None:
    clock = Clock()
    cache = Cache(clock)
    cache.put(key(1), Fetched(wire.SERVFAIL, (0, 0, 0), b"", (), 2.0))
    assert cache.get(key(1)) is not None
    clock.now_s += 2
    assert cache.get_stale(key(1)) is None


def test_opt_is_taken_off_wherever_it_is() -> None:
    made = message("a.example. 60 A 192.0.2.1")
    made.additional.append(dns.rrset.from_text("a.example.", 60, "IN", "A", "192.0.2.7"))
    data = made.to_wire()
    records = wire.walk(data)
    opt = next(record for record in records if record.type == wire.OPT)
    last = records[-1] if records[-1] != opt else records[-2]
    # dnspython puts OPT last; put it before the other additional record.
    assert last.end == opt.start
    swapped = data[: last.start] + data[opt.start :] + data[last.start : last.end]
    for form, additional in ((data, 1), (swapped, 0)):  # what is behind it goes as well
        read = response.read(form, wire.A)
        assert read.counts == (1, 0, additional)
        assert ttls(read.answer()) == [60]


@pytest.mark.parametrize("is_opt_first", [False, True])
@pytest.mark.parametrize("record", [b"\xc0\x0c", b"\0"], ids=["long names", "short names"])
def test_the_largest_answer_holds_up_nobody(record: bytes, is_opt_first: bool) -> None:
    """Read by dnspython, as it once was when OPT came first, it took a minute."""
    name = b"\1a" * 120 + b"\0"
    one = record + struct.pack(">HHIH", 5, 1, 60, 2) + b"\xc0\x0c"
    opt = wire.opt_record(False)
    records = [one] * ((65000 - len(name) - len(opt)) // len(one))
    records.insert(0 if is_opt_first else len(records), opt)
    header = struct.pack(">6H", 1, 0x8180, 1, 0, 0, len(records))
    reply = header + name + struct.pack(">HH", wire.A, wire.IN) + b"".join(records)
    start = time.process_time()
    assert response.read(reply, wire.A).hold_s == 0.0
    assert time.process_time() - start < 1


def test_large_answers_fill_no_more_memory_than_is_allowed() -> None:
    cache = Cache(Clock(), max_bytes=1000)
    small = Fetched(0, (1, 0, 0), bytes(10), (), 60.0)
    cache.put(key(1), small)
    for number in range(2, 50):
        cache.put(key(number), Fetched(0, (1, 0, 0), bytes(300), (), 60.0))
        assert cache.get(key(1)) is not None  # used all the while
        assert len(cache) <= 4
    cache.put(key(99), Fetched(0, (1, 0, 0), bytes(5000), (), 60.0))
    assert len(cache) == 0
    cache.put(key(1), small)
    assert cache.get(key(1)) is not None


def test_extended_response_codes_are_not_taken_for_success() -> None:
    made = message()
    made.set_rcode(dns.rcode.BADVERS)
    with pytest.raises(ValueError, match="not known"):
        response.read(made.to_wire(), wire.A)


def test_only_the_reply_to_our_query_is_one() -> None:
    query = dns.message.make_query("a.example.", "A", id=7, use_edns=False)
    question = query.to_wire()[12:]
    reply = dns.message.make_response(query).to_wire()
    assert response.is_reply(reply, 7, question)
    assert response.is_reply(reply.replace(b"example", b"ExAmPlE"), 7, question)
    assert not response.is_reply(reply, 8, question)
    assert not response.is_reply(query.to_wire(), 7, question)
    assert not response.is_reply(reply.replace(b"example", b"exbmple"), 7, question)
    assert not response.is_reply(reply[:-3] + b"\x41" + reply[-2:], 7, question)
    assert not response.is_reply(reply[:11], 7, question)
    bare = b"\0\7\x81\x81" + bytes(8)
    assert response.is_reply(bare, 7, question)
    assert not response.is_reply(b"\0\7\x81\x80" + bytes(8), 7, question)


@settings(max_examples=300)
@given(st.data(), st.lists(st.integers(0, 255), max_size=6), st.integers(0, 20))
def test_damaged_replies_raise_only_value_error(
    draw: st.DataObject, noise: list[int], cut: int
) -> None:
    soa = "example. 100 SOA " + SOA.format(minimum=30)
    made = message("a.example. 60 A 192.0.2.1", "a.example. 60 TXT x", authority=soa)
    octets = bytearray(made.to_wire())
    for byte in noise:
        octets[draw.draw(st.integers(12, len(octets) - 1))] = byte
    data = bytes(octets[: len(octets) - cut])
    try:
        read = response.read(data, wire.A)
    except ValueError:
        return
    for age_s in (0, 7, 10**6):
        query = wire.Query(1, 0, b"\0", b"\1a\7example\0\0\1\0\1", wire.A, 1232, False)
        for limit in (512, 65535):
            assert len(wire.encode(query, read.answer(age_s), limit, lambda r, n: r)) <= limit
