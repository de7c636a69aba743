"""Reports of groups: every version, and rubbish; and the queries that Weft sends."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import InvalidError
from weft.model.addresses import IPAddress, ip_address
from weft.model.multicast_groups import is_flooded, is_multicast_group
from weft.observers.multicast.messages import Said, Verb, igmp_query, mld_query, parse

ALERT4 = bytes.fromhex("94040000")
ALERT6 = bytes.fromhex("3a00050200000100")
SOURCE4, SOURCE6 = IPv4Address("10.1.0.11"), IPv6Address("fe80::11")
A4, B4 = IPv4Address("239.1.1.1"), IPv4Address("239.2.2.2")
A6, B6 = IPv6Address("ff05::1"), IPv6Address("ff05::2")
JOIN, LEAVE, DOUBT = Verb.JOIN, Verb.LEAVE, Verb.DOUBT


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def igmp(body: bytes, options: bytes = ALERT4, extra: bytes = b"") -> bytes:
    body = body[:2] + struct.pack(">H", checksum(body)) + body[4:]
    length = 20 + len(options) + len(body)
    first = 0x45 + len(options) // 4
    head = struct.pack(">BBHHHBBH", first, 0, length, 0, 0, 1, 2, 0)
    return head + SOURCE4.packed + bytes([224, 0, 0, 22]) + options + body + extra


def mld(body: bytes, extensions: bytes = ALERT6, following: int = 0, extra: bytes = b"") -> bytes:
    to = IPv6Address("ff02::16").packed
    pseudo = SOURCE6.packed + to + struct.pack(">II", len(body), 58)
    body = body[:2] + struct.pack(">H", checksum(pseudo + body)) + body[4:]
    payload = extensions + body
    head = struct.pack(">IHBB", 6 << 28, len(payload), following, 1)
    return head + SOURCE6.packed + to + payload + extra


def old(kind: int, group: IPAddress) -> bytes:
    """IGMPv1, v2 and MLDv1."""
    if group.version == 4:
        return igmp(struct.pack(">BBH", kind, 0, 0) + group.packed)
    return mld(struct.pack(">BBHHH", kind, 0, 0, 0, 0) + group.packed)


def new(*records: tuple[int, IPAddress, int], auxiliary: int = 0) -> bytes:
    """IGMPv3 and MLDv2: (type, group, number of sources)."""
    is_ipv4 = records[0][1].version == 4
    body = struct.pack(">BBHHH", 0x22 if is_ipv4 else 143, 0, 0, 0, len(records))
    for kind, group, sources in records:
        body += struct.pack(">BBH", kind, auxiliary, sources) + group.packed
        body += bytes(sources * len(group.packed) + auxiliary * 4)
    return igmp(body) if is_ipv4 else mld(body)


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (old(0x12, A4), [(A4, JOIN)]),
        (old(0x16, A4), [(A4, JOIN)]),
        (old(0x17, A4), [(A4, LEAVE)]),
        (old(131, A6), [(A6, JOIN)]),
        (old(132, A6), [(A6, LEAVE)]),
    ],
    ids=["IGMPv1 report", "IGMPv2 report", "IGMPv2 leave", "MLDv1 report", "MLDv1 done"],
)
def test_one_group_of_the_older_versions(packet: bytes, said: list[Said]) -> None:
    assert parse(packet) == said


@pytest.mark.parametrize(("a", "b"), [(A4, B4), (A6, B6)], ids=["IGMPv3", "MLDv2"])
@pytest.mark.parametrize(
    ("kind", "sources", "verb"),
    [
        (1, 0, LEAVE),
        (1, 2, JOIN),
        (2, 0, JOIN),
        (2, 3, JOIN),
        (3, 0, LEAVE),
        (3, 1, JOIN),
        (4, 0, JOIN),
        (4, 2, JOIN),
        (5, 0, None),
        (5, 1, JOIN),
        (6, 0, None),
        (6, 1, DOUBT),
        (7, 1, None),
        (0, 0, None),
    ],
)
def test_records_of_the_newer_versions(
    a: IPAddress, b: IPAddress, kind: int, sources: int, verb: Verb | None
) -> None:
    said = [(a, verb)] if verb is not None else []
    packet = new((kind, a, sources), (4, b, 0), auxiliary=2)
    assert parse(packet) == [*said, (b, JOIN)]


def test_what_follows_the_packet_is_padding() -> None:
    assert parse(igmp(b"\x16\0\0\0" + A4.packed, extra=bytes(14))) == [(A4, JOIN)]
    body = struct.pack(">BBHHH", 131, 0, 0, 0, 0) + A6.packed
    assert parse(mld(body, extra=bytes(6))) == [(A6, JOIN)]


def test_the_headers_may_have_options_or_none() -> None:
    assert parse(igmp(b"\x16\0\0\0" + A4.packed, options=b"")) == [(A4, JOIN)]
    body = struct.pack(">BBHHH", 131, 0, 0, 0, 0) + A6.packed
    assert parse(mld(body, b"", 58)) == [(A6, JOIN)]
    assert parse(mld(body, bytes([60, 0]) + bytes(6) + ALERT6)) == [(A6, JOIN)]


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        bytes(64),
        old(0x16, A4)[:-1],
        old(131, A6)[:-1],
        old(0x16, A4)[:-1] + b"\xff",
        old(131, A6)[:-1] + b"\xff",
        old(0x11, A4),
        old(130, A6),
        old(0x99, A4),
        igmp(struct.pack(">BBHHH", 0x22, 0, 0, 0, 2) + b"\4\0\0\0" + A4.packed),
        igmp(struct.pack(">BBHHH", 0x22, 0, 0, 0, 1) + b"\4\0\0\1" + A4.packed),
        igmp(struct.pack(">BBHHH", 0x22, 0, 0, 0, 1) + b"\4\xff\0\0" + A4.packed),
        mld(struct.pack(">BBHHH", 143, 0, 0, 0, 1) + b"\4\0\xff\xff" + A6.packed),
        mld(struct.pack(">BBHHH", 131, 0, 0, 0, 0) + A6.packed, bytes([0, 255]) + bytes(6)),
        mld(struct.pack(">BBHHH", 131, 0, 0, 0, 0) + A6.packed, following=17),
        mld(b"\x83\0\0\0"),
    ],
)
def test_what_is_no_sound_report_is_refused(packet: bytes) -> None:
    with pytest.raises(InvalidError):
        parse(packet)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x45", b"\x46", b"\x60"]))
def test_rubbish_is_refused_or_says_something(rubbish: bytes, first: bytes) -> None:
    try:
        said = parse(first + rubbish)
    except InvalidError:
        return
    assert all(isinstance(each.verb, Verb) for each in said)


@given(st.data())
def test_a_damaged_report_never_says_more_than_it_holds(data: st.DataObject) -> None:
    packet = bytearray(
        data.draw(st.sampled_from([new((4, A4, 1), (3, B4, 0)), new((2, A6, 2), (6, B6, 1))]))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(packet) - 1))
        packet[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(packet)))
    try:
        said = parse(bytes(packet[:cut]))
    except InvalidError:
        return
    assert len(said) <= 2


def test_an_igmp_query_asks_all_or_about_one_group() -> None:
    for group, to, mac in (
        (None, "224.0.0.1", "01005e000001"),
        (A4, "239.1.1.1", "01005e010101"),
    ):
        frame = igmp_query(IPv4Address("10.1.0.1"), 10.0, 125, group)
        assert frame[:14].hex() == f"{mac}0a57454654010800"
        head, body = frame[14:38], frame[38:]
        assert checksum(head) == 0 and checksum(body) == 0
        assert head[:2] == b"\x46\xc0" and head[8:10] == b"\x01\x02"
        assert IPv4Address(head[12:16]) == IPv4Address("10.1.0.1")
        assert IPv4Address(head[16:20]) == IPv4Address(to)
        assert head[20:] == ALERT4
        assert body[:2] == bytes([0x11, 100])
        assert IPv4Address(body[4:8]) == (group or IPv4Address(0))
        assert body[8:] == bytes([2, 125, 0, 0])


def test_an_mld_query_asks_all_or_about_one_group() -> None:
    for group, to, mac in (
        (None, "ff02::1", "333300000001"),
        (A6, "ff05::1", "333300000001"),
        (IPv6Address("ff05::1:2:3"), "ff05::1:2:3", "333300020003"),
    ):
        frame = mld_query(SOURCE6, 1.0, 125, group)
        assert frame[:14].hex() == f"{mac}0a574546540186dd"
        head, body = frame[14:54], frame[62:]
        assert IPv6Address(head[8:24]) == SOURCE6 and IPv6Address(head[24:40]) == IPv6Address(to)
        assert head[6:8] == b"\x00\x01" and frame[54:62] == ALERT6
        assert struct.unpack(">H", head[4:6]) == (len(frame) - 54,)
        pseudo = head[8:40] + struct.pack(">II", len(body), 58)
        assert checksum(pseudo + body) == 0
        assert body[:2] == bytes([130, 0]) and body[4:6] == (1000).to_bytes(2, "big")
        assert IPv6Address(body[8:24]) == (group or IPv6Address(0))
        assert body[24:] == bytes([2, 125, 0, 0])


@pytest.mark.parametrize(
    ("address", "flooded", "joined"),
    [
        ("224.0.0.251", True, False),
        ("224.0.1.1", False, True),
        ("239.255.255.255", False, True),
        ("223.255.255.255", False, False),
        ("240.0.0.1", False, False),
        ("ff02::1", True, False),
        ("ff02::1:ff00:1", True, False),
        ("ff02::2", False, True),
        ("ff02::fb", False, True),
        ("ff05::1", False, True),
        ("ff3e::8000:1", False, True),
        ("ff00::1", False, False),
        ("ff01::1", False, False),
        ("ff11::1", False, False),
        ("fe80::1", False, False),
    ],
)
def test_which_addresses_are_groups(address: str, flooded: bool, joined: bool) -> None:
    assert is_flooded(ip_address(address)) == flooded
    assert is_multicast_group(ip_address(address)) == joined
