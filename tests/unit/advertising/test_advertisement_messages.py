"""Advertisements byte by byte, and which solicitations are read."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address, IPv6Network

import pytest

from weft.errors import InvalidError
from weft.observers.advertising.messages import NOTHING, advertisement, check_solicitation
from weft.observers.multicast.messages import icmpv6_checksum
from weft.semantics.advertised import Advertised, AdvertisedPrefix

ONE, TWO = IPv6Network("fd00:1::/64"), IPv6Network("fd00:2::/48")
GATEWAY = IPv6Address("fe80::857:45ff:fe46:5401")
SAID = Advertised(
    prefixes=(AdvertisedPrefix(ONE, is_autonomous=True),),
    is_router=True,
    routes=(TWO,),
    resolvers=(IPv6Address("fd00:1::1"), IPv6Address("2001:db8::53")),
    mtu_bytes=1400,
)
Options = list[tuple[int, bytes]]


def opened(frame: bytes) -> tuple[bytes, Options]:
    """The fixed part, and the options; all around them is as RFC 4861 4.2 wants it."""
    assert frame[:14].hex() == "333300000001" + "0a5745465401" + "86dd"
    length, protocol, hop_limit = struct.unpack_from(">HBB", frame, 18)
    source, destination = frame[22:38], frame[38:54]
    assert (protocol, hop_limit) == (58, 255)
    assert IPv6Address(source) == GATEWAY
    assert IPv6Address(destination) == IPv6Address("ff02::1")
    message = frame[54:]
    assert len(message) == length
    assert icmpv6_checksum(source, destination, message) == bytes(2)
    options, at = [], 16
    while at < length:
        size = message[at + 1] * 8
        assert size
        options.append((message[at], message[at : at + size]))
        at += size
    assert at == length
    return message[:16], options


def test_all_that_is_said() -> None:
    head, options = opened(advertisement(SAID))
    assert head[:2] == bytes((134, 0))
    assert head[4:] == bytes((64, 0)) + struct.pack(">HII", 65535, 0, 0)
    assert [kind for kind, _ in options] == [1, 5, 3, 24, 25]
    link, mtu, prefix, route, resolvers = (body for _, body in options)
    assert link[2:].hex() == "0a5745465401"
    assert struct.unpack(">HI", mtu[2:]) == (0, 1400)
    assert prefix[2:4] == bytes((64, 0xC0))
    assert struct.unpack(">III", prefix[4:16]) == (2**32 - 1, 2**32 - 1, 0)
    assert prefix[16:] == ONE.network_address.packed
    assert route[1:4] == bytes((2, 48, 0))
    assert route[8:] == TWO.network_address.packed[:8]
    assert resolvers[8:] == b"".join(each.packed for each in SAID.resolvers)


def test_no_address_is_formed_and_no_way_is_led_where_that_is_not_said() -> None:
    said = SAID._replace(is_router=False, prefixes=(AdvertisedPrefix(ONE, is_autonomous=False),))
    head, options = opened(advertisement(said))
    assert head[6:8] == bytes(2)
    assert dict(options)[3][3] == 0x80


def test_what_holds_no_more_is_taken_back() -> None:
    head, options = opened(advertisement(NOTHING, SAID))
    assert head[6:8] == bytes(2)
    kinds = dict(options)
    assert set(kinds) == {1, 3, 24, 25}
    assert kinds[3][4:12] == bytes(8)
    assert kinds[24][4:8] == kinds[25][4:8] == bytes(4)
    _, options = opened(advertisement(SAID._replace(routes=()), SAID))
    assert [kind for kind, body in options if body[4:8] == bytes(4) and kind in (3, 24)] == [24]


def solicitation(**wrong: object) -> bytes:
    source, destination = IPv6Address("fe80::ff:fe00:1").packed, IPv6Address("ff02::2").packed
    body = bytes((int(str(wrong.get("kind", 133))), 0, 0, 0)) + bytes(4)
    body += bytes.fromhex("0101020000000001")
    sum_ = icmpv6_checksum(source, destination, body) if "sum" not in wrong else b"\1\2"
    body = body[:2] + sum_ + body[4:]
    length = int(str(wrong.get("length", len(body))))
    hops = int(str(wrong.get("hops", 255)))
    return struct.pack(">IHBB", 6 << 28, length, 58, hops) + source + destination + body


def test_a_sound_solicitation_is_one() -> None:
    check_solicitation(solicitation())


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes(200),
        solicitation()[:47],
        solicitation(kind=134),
        solicitation(sum=1),
        solicitation(length=400),
        solicitation(length=4),
        solicitation(hops=254),
    ],
)
def test_what_else_is_sent_is_none(packet: bytes) -> None:
    with pytest.raises(InvalidError):
        check_solicitation(packet)
