"""IGMP (RFC 1112, 2236, 3376) and MLD (RFC 2710, 3810): reports to read, queries to send.

Filters by source are not followed: a workload that wants a group from some sources is a member of
the group, and sorts out by itself what it gets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from weft.errors import InvalidError
from weft.model.addresses import IPAddress
from weft.model.multicast_groups import SOLICITED
from weft.model.service_addresses import GATEWAY_MAC

_IGMP, _ICMPV6 = 2, 58
_HOP_OPTIONS, _DESTINATION_OPTIONS = 0, 60
_MAX_EXTENSIONS = 6
_IGMP_QUERY, _MLD_QUERY = 0x11, 130
_IGMP_V1_REPORT, _IGMP_V2_REPORT, _IGMP_LEAVE, _IGMP_V3_REPORT = 0x12, 0x16, 0x17, 0x22
_MLD_V1_REPORT, _MLD_DONE, _MLD_V2_REPORT = 131, 132, 143
_IS_INCLUDE, _IS_EXCLUDE, _TO_INCLUDE, _TO_EXCLUDE, _ALLOW, _BLOCK = range(1, 7)
"""Types of group records (RFC 3376 section 4.2.12, RFC 3810 section 5.2.12)."""
ROBUSTNESS = 2
"""Of that many queries or reports in a row one may be lost."""
_GATEWAY = bytes.fromhex(GATEWAY_MAC.replace(":", ""))
_ALL_HOSTS, _ALL_NODES = IPv4Address("224.0.0.1"), IPv6Address("ff02::1")
_ROUTER_ALERT4 = bytes.fromhex("94040000")
_ROUTER_ALERT6 = bytes.fromhex("3a00050200000100")
"""A hop-by-hop header: ICMPv6 follows, router alert (RFC 2711), padding."""
_CONTROL = 0xC0
"""Traffic class of network control."""
_SOLICITED = SOLICITED.network_address.packed[: SOLICITED.prefixlen // 8]
"""The beginning of the groups that a port joins for its own addresses. They are flooded, and most
reports name no others."""


class Verb(Enum):
    """A statement of a port about a group."""

    JOIN = "join"
    LEAVE = "leave"
    DOUBT = "doubt"
    """It wants less than before, perhaps nothing: it has to be asked."""


class Said(NamedTuple):
    """One thing that a report says."""

    group: IPAddress
    verb: Verb


def parse(packet: bytes) -> list[Said]:
    """The reports in an IP packet, in its order. InvalidError: it holds no sound report."""
    try:
        match packet[0] >> 4 if packet else 0:
            case 4:
                return list(_parse_igmp(_igmp_of(packet)))
            case 6:
                return list(_parse_mld(_mld_of(packet)))
    except (struct.error, ValueError, IndexError) as error:
        raise InvalidError(f"report of groups: cut short ({error})") from error
    raise InvalidError("report of groups: no IP packet")


def igmp_query(
    source: IPv4Address, max_response_s: float, interval_s: int, group: IPv4Address | None = None
) -> bytes:
    """An Ethernet frame that asks by IGMPv3 for all groups, or for one. Older hosts understand it.

    `max_response_s` and `interval_s` below 12.8 and 128.
    """
    tenths = max(1, round(max_response_s * 10))
    asked = (group or IPv4Address(0)).packed
    body = struct.pack(">BBH4sBBH", _IGMP_QUERY, tenths, 0, asked, ROBUSTNESS, interval_s, 0)
    body = body[:2] + _checksum(body) + body[4:]
    to = group or _ALL_HOSTS
    head = struct.pack(
        ">BBHHHBBH4s4s4s",
        *(0x46, _CONTROL, 24 + len(body), 0, 0, 1, _IGMP, 0),
        *(source.packed, to.packed, _ROUTER_ALERT4),
    )
    head = head[:10] + _checksum(head) + head[12:]
    low = int(to) & 0x7FFFFF
    return bytes.fromhex("01005e") + low.to_bytes(3, "big") + _GATEWAY + b"\x08\x00" + head + body


def mld_query(
    source: IPv6Address, max_response_s: float, interval_s: int, group: IPv6Address | None = None
) -> bytes:
    """The same by MLDv2. `source` is link-local; `max_response_s` below 32.768."""
    to = group or _ALL_NODES
    asked = (group or IPv6Address(0)).packed
    response = max(1, round(max_response_s * 1000))
    body = struct.pack(
        ">BBHHH16sBBH", _MLD_QUERY, 0, 0, response, 0, asked, ROBUSTNESS, interval_s, 0
    )
    body = body[:2] + icmpv6_checksum(source.packed, to.packed, body) + body[4:]
    payload = _ROUTER_ALERT6 + body
    head = struct.pack(">IHBB", 6 << 28 | _CONTROL << 20, len(payload), _HOP_OPTIONS, 1)
    ethernet = b"\x33\x33" + to.packed[12:] + _GATEWAY + b"\x86\xdd"
    return ethernet + head + source.packed + to.packed + payload


def _igmp_of(packet: bytes) -> bytes:
    header = (packet[0] & 15) * 4
    (total,) = struct.unpack_from(">H", packet, 2)
    if packet[9] != _IGMP or not 20 <= header <= total <= len(packet):
        raise InvalidError("report of groups: no IGMP, or longer than its packet")
    body = packet[header:total]
    if len(body) < 8 or _checksum(body) != bytes(2):
        raise InvalidError("report of groups: wrong checksum")
    return body


def _mld_of(packet: bytes) -> bytes:
    length, protocol = struct.unpack_from(">HB", packet, 4)
    start, end = 40, 40 + length
    if end > len(packet):
        raise InvalidError("report of groups: longer than its packet")
    for _ in range(_MAX_EXTENSIONS):
        if protocol not in (_HOP_OPTIONS, _DESTINATION_OPTIONS):
            break
        protocol, size = packet[start], (packet[start + 1] + 1) * 8
        start += size
    body = packet[start:end]
    if protocol != _ICMPV6 or len(body) < 8:
        raise InvalidError("report of groups: no MLD")
    if icmpv6_checksum(packet[8:24], packet[24:40], body) != bytes(2):
        raise InvalidError("report of groups: wrong checksum")
    return body


def _parse_igmp(body: bytes) -> Iterator[Said]:
    kind = body[0]
    if kind in (_IGMP_V1_REPORT, _IGMP_V2_REPORT):
        yield Said(IPv4Address(body[4:8]), Verb.JOIN)
    elif kind == _IGMP_LEAVE:
        yield Said(IPv4Address(body[4:8]), Verb.LEAVE)
    elif kind == _IGMP_V3_REPORT:
        yield from _parse_records(body, 4)
    else:
        raise InvalidError(f"report of groups: IGMP type {kind:#x}")


def _parse_mld(body: bytes) -> Iterator[Said]:
    kind = body[0]
    if kind == _MLD_V1_REPORT:
        yield Said(IPv6Address(body[8:24]), Verb.JOIN)
    elif kind == _MLD_DONE:
        yield Said(IPv6Address(body[8:24]), Verb.LEAVE)
    elif kind == _MLD_V2_REPORT:
        yield from _parse_records(body, 16)
    else:
        raise InvalidError(f"report of groups: MLD type {kind}")


def _parse_records(body: bytes, width: int) -> Iterator[Said]:
    """The group records of IGMPv3 and MLDv2, which differ in how wide an address is alone."""
    (count,) = struct.unpack_from(">H", body, 6)
    at = 8
    for _ in range(count):
        kind, auxiliary, sources = struct.unpack_from(">BBH", body, at)
        raw = body[at + 4 : at + 4 + width]
        at += 4 + width + sources * width + auxiliary * 4
        if at > len(body):
            raise InvalidError("report of groups: a record is longer than its packet")
        if raw.startswith(_SOLICITED):
            continue
        group = IPv4Address(raw) if width == 4 else IPv6Address(raw)
        verb = _verb(kind, bool(sources))
        if verb is not None:
            yield Said(group, verb)


def _verb(kind: int, has_sources: bool) -> Verb | None:
    """None: it says nothing (records of an unknown type are passed over)."""
    if kind in (_IS_EXCLUDE, _TO_EXCLUDE):
        return Verb.JOIN
    if kind in (_IS_INCLUDE, _TO_INCLUDE):
        return Verb.JOIN if has_sources else Verb.LEAVE
    if not has_sources:
        return None
    return {_ALLOW: Verb.JOIN, _BLOCK: Verb.DOUBT}.get(kind)


def icmpv6_checksum(source: bytes, destination: bytes, message: bytes) -> bytes:
    """Of a message, and of what else it covers (RFC 8200 section 8.1). Of one that holds its own it
    is zero."""
    pseudo = source + destination + struct.pack(">II", len(message), _ICMPV6)
    return _checksum(pseudo + message)


def _checksum(data: bytes) -> bytes:
    """RFC 1071; of data that holds its own checksum zero."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")
