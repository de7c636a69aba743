"""Packets as somebody would make them who wants to get through: right, nearly right, and wrong in
one place. All that they name comes from a cast, so that most of them get past the first check."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from tests.bpf import wire

Chance = random.Random
SCTP, IGMP, GRE, AH, ROUTING, DESTINATION_OPTIONS, NO_NEXT = 132, 2, 47, 51, 43, 60, 59
MORE = 0x2000
DONT_FRAGMENT = 0x4000
_TCP_FLAGS = (0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0x29, 0x03, 0x3F, 0xC2)
_OPTIONS4 = (
    *(b"", b"", b"", b"", b"\x94\x04\0\0", b"\x01\x01\x01\0", b"\x07\x07\x04\0\0\0\0\0"),
    *(b"\x83\x07\x04\x0a\x01\0\x0c\0", b"\x89\x07\x04\x0a\x02\0\x0e\0", b"\x44\x28\xff\xff"),
    b"\x94\0\0\0",
)
"""Router alert, padding, record route, loose and strict source routes; with lengths that lie."""
_FRAGMENTS = (0, 0, 0, 0, DONT_FRAGMENT, MORE, MORE | 1, 1, 5, MORE | 5, 0x8000, 0x1FFF)
_ERRORS4 = (3, 3, 4, 5, 11, 12)
_ERRORS6 = (1, 1, 2, 3, 4)
_NEIGHBOUR_TYPES = (128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 143, 200)
_ETHERTYPES = (wire.VLAN, 0x88A8, 0x88B5, 0x88B6, 0x8847, 0x0000, 0x0040, 0x05DC)


class Cast(NamedTuple):
    """Who occurs in packets."""

    macs: Sequence[str]
    ipv4: Sequence[str]
    ipv6: Sequence[str]
    ports: Sequence[int]


class Ends(NamedTuple):
    """Source and destination, of one family."""

    source: str
    destination: str

    @property
    def version(self) -> int:
        return 6 if ":" in self.source else 4


class Forge:
    """Makes them. What was made is remembered, to be answered, quoted and sent again."""

    def __init__(self, chance: Chance, cast: Cast) -> None:
        self._chance = chance
        self._cast = cast
        self._made: list[bytes] = []

    def volley(self, mac: str, addresses: Sequence[str] = ()) -> list[bytes]:
        """One frame, or some that belong together. `addresses`: those that its sender should use,
        and mostly does."""
        chance = self._chance
        kinds: Sequence[tuple[int, Callable[[str, Ends], list[bytes]]]] = (
            (10, self._packet),
            (3, self._pieces),
            (3, self._error),
            (4, self._answer),
            (2, self._again),
            (2, self._neighbour),
            (1, self._tagged),
        )
        weights, makers = zip(*kinds, strict=True)
        (make,) = chance.choices(makers, weights)
        source = mac if chance.random() < 0.85 else chance.choice(self._cast.macs)
        frames = [self._spoilt(each) for each in make(source, self._ends(addresses))]
        self._made += frames
        del self._made[:-200]
        return [runnable(each) for each in frames]

    def _ends(self, addresses: Sequence[str]) -> Ends:
        chance = self._chance
        version = chance.choice([4, 6])
        known = self._cast.ipv4 if version == 4 else self._cast.ipv6
        own = [each for each in addresses if (":" in each) == (version == 6)]
        source = chance.choice(own if own and chance.random() < 0.8 else known)
        return Ends(source, chance.choice(known))

    def _to(self) -> str:
        return self._chance.choice(self._cast.macs)

    def _frame(self, source: str, packet: bytes) -> bytes:
        kind = wire.IPV6 if packet[0] >> 4 == 6 else wire.IPV4
        return wire.ether(self._to(), source, kind, packet)

    def _packet(self, mac: str, ends: Ends) -> list[bytes]:
        return [self._frame(mac, self._ip(ends, *self._segment(ends)))]

    def _ip(self, ends: Ends, protocol: int, payload: bytes) -> bytes:
        chance = self._chance
        limit = chance.choice([0, 1, 1, 2, 64, 64, 255, 255])
        if ends.version == 4:
            fragment, identity = chance.choice(_FRAGMENTS), chance.randrange(4)
            return wire.ipv4(
                *ends,
                protocol,
                payload,
                ttl=limit,
                fragment=fragment,
                identity=identity,
                options=chance.choice(_OPTIONS4),
            )
        for _ in range(chance.choice([0, 0, 0, 0, 1, 2, 7])):
            protocol, payload = self._extended(protocol, payload)
        return wire.ipv6(*ends, protocol, payload, hop_limit=limit)

    def _extended(self, protocol: int, payload: bytes) -> tuple[int, bytes]:
        """With one more IPv6 header before it."""
        chance = self._chance
        kind = chance.choice([wire.HOP_BY_HOP, ROUTING, wire.FRAGMENT, AH, DESTINATION_OPTIONS])
        length = chance.choice([0, 0, 0, 0, 1, 31])
        if kind == wire.FRAGMENT:
            field = chance.choice([0, 0, 1, 8, 9, 0xFFF8])
            head = struct.pack(">BBHI", protocol, length, field, chance.randrange(4))
            return kind, head + payload
        fill = chance.choice([b"\x01\x04\0\0\0\0", b"\x05\x02\0\0\x01\0", chance.randbytes(6)])
        size = 8 * (length + 1) if chance.random() < 0.9 else 8
        if kind == AH:
            size = 4 * (length + 2)
        return kind, (bytes([protocol, length]) + fill).ljust(size, b"\0")[:size] + payload

    def _ports(self) -> tuple[int, int]:
        return self._chance.choice(self._cast.ports), self._chance.choice(self._cast.ports)

    def _segment(self, ends: Ends, size: int = 8) -> tuple[int, bytes]:
        chance, ports = self._chance, self._ports()
        data = chance.randbytes(size)
        match chance.randrange(9):
            case 0 | 1:
                return wire.TCP, wire.tcp(*ends, ports, data, chance.choice(_TCP_FLAGS))
            case 2 | 3:
                return wire.UDP, wire.udp(*ends, ports, data)
            case 4 if ends.version == 4:
                kind, code = chance.choice([0, 8, 8, 13, 5, 17]), chance.choice([0, 0, 1, 255])
                return wire.ICMP, wire.icmp(kind, data, code=code, identifier=ports[0])
            case 4 | 5 if ends.version == 6:
                kind, body = chance.choice(_NEIGHBOUR_TYPES), chance.randbytes(4)
                body += self._target() + chance.choice([b"", wire.mac_option(1, self._to())])
                return wire.ICMPV6, wire.icmpv6(*ends, kind, body, code=chance.choice([0, 0, 1]))
            case 5:
                return IGMP, bytes([chance.choice([0x11, 0x12, 0x16, 0x17, 0x22])]) + data[:11]
            case 6:
                return SCTP, struct.pack(">HHII", *ports, 0, 0) + data
            case 7:  # one family's in the other's
                return chance.choice([wire.ICMPV6, wire.ICMP, wire.FRAGMENT, NO_NEXT, GRE]), data
            case _:
                return chance.randrange(256), chance.randbytes(chance.randrange(40))

    def _target(self) -> bytes:
        return IPv6Address(self._chance.choice(self._cast.ipv6)).packed

    def _pieces(self, mac: str, ends: Ends) -> list[bytes]:
        """A datagram in pieces that overlap, come in any order, twice, or not at all."""
        chance = self._chance
        protocol, whole = self._segment(ends, chance.choice([24, 40, 64]))
        identity, to = chance.randrange(4), self._to()
        cuts = sorted(chance.sample(range(8, max(len(whole), 24), 8), 2))
        bounds = [(0, cuts[0]), (cuts[0], cuts[1]), (cuts[1], len(whole))]
        if chance.random() < 0.3:  # what comes later writes over what was first
            bounds.append((chance.choice([0, 8]), chance.choice([16, 24])))
        if chance.random() < 0.3:  # another first one, with other ports
            whole = wire.udp(*ends, self._ports(), whole[8:])
            bounds.append((0, cuts[0]))
        if chance.random() < 0.5:
            chance.shuffle(bounds)
        if chance.random() < 0.3:
            bounds.pop(chance.randrange(len(bounds)))
        frames = []
        for at, end in bounds:
            more = end < len(whole)
            part = whole[at:end]
            if ends.version == 4:
                field = at // 8 | (MORE if more else 0)
                packet = wire.ipv4(*ends, protocol, part, fragment=field, identity=identity)
                frames.append(wire.ether(to, mac, wire.IPV4, packet))
            else:
                head = struct.pack(">BBHI", protocol, 0, at | more, identity)
                packet = wire.ipv6(*ends, wire.FRAGMENT, head + part)
                frames.append(wire.ether(to, mac, wire.IPV6, packet))
        return frames

    def _error(self, mac: str, ends: Ends) -> list[bytes]:
        """About a packet that somebody sent, or nobody."""
        chance = self._chance
        quoted = self._quoted(ends)
        if ends.version == 4:
            kind, code = chance.choice(_ERRORS4), chance.randrange(5)
            body = struct.pack(">BBHI", kind, code, 0, chance.choice([0, 1280])) + quoted[:60]
            body = body[:2] + struct.pack(">H", wire.checksum(body)) + body[4:]
            return [self._frame(mac, wire.ipv4(*ends, wire.ICMP, body))]
        kind, code = chance.choice(_ERRORS6), chance.randrange(5)
        body = struct.pack(">I", chance.choice([0, 1280])) + quoted[:80]
        error = wire.icmpv6(*ends, kind, body, code=code)
        return [self._frame(mac, wire.ipv6(*ends, wire.ICMPV6, error))]

    def _quoted(self, ends: Ends) -> bytes:
        chance = self._chance
        known = [each[14:] for each in self._made if each[14:] and each[14] >> 4 == ends.version]
        if known and chance.random() < 0.7:
            return chance.choice(known)
        back = Ends(ends.destination, ends.source)
        return self._ip(back, *self._segment(back))

    def _answer(self, mac: str, ends: Ends) -> list[bytes]:
        """To a packet that was sent: turned round, from whoever it may have been for."""
        known = [each for each in self._made if len(each) >= 62]
        if not known:
            return self._packet(mac, ends)
        return [turned(self._chance.choice(known))]

    def _again(self, mac: str, ends: Ends) -> list[bytes]:
        if not self._made:
            return self._packet(mac, ends)
        return [self._chance.choice(self._made)]

    def _neighbour(self, mac: str, ends: Ends) -> list[bytes]:
        chance = self._chance
        if ends.version == 4:
            operation = chance.choice([1, 1, 1, 2, 2, 0, 3, 8])
            whose = mac if chance.random() < 0.8 else self._to()
            to = chance.choice([wire.BROADCAST, self._to()])
            return [
                wire.arp(operation, whose, *ends, self._to(), destination=to, source=mac),
            ]
        source = "::" if chance.random() < 0.2 else ends.source
        if chance.random() < 0.5:
            options = chance.choice([None, b"", wire.mac_option(1, self._to()), b"\x01\0"])
            return [wire.ns(mac, source, ends.destination, options=options)]
        flags = chance.randrange(8) << 5
        return [
            wire.na(self._to(), mac, *ends, ends.source, flags, option_mac=self._to()),
        ]

    def _tagged(self, mac: str, ends: Ends) -> list[bytes]:
        """Behind a VLAN tag, or as what is no IP."""
        (inner,) = self._packet(mac, ends)
        kind = self._chance.choice(_ETHERTYPES)
        tag = struct.pack(">HH", kind, self._chance.randrange(4096))
        return [inner[:12] + tag + inner[12:]]

    def _spoilt(self, frame: bytes) -> bytes:
        """Mostly as it is."""
        chance, packet = self._chance, bytearray(frame)
        for _ in range(chance.choice([0, 0, 0, 0, 0, 1, 3])):
            packet[chance.randrange(min(len(packet), 94))] = chance.randrange(256)
        if chance.random() < 0.06:
            packet = packet[: chance.randrange(14, len(packet) + 1)]
        if chance.random() < 0.04:
            packet += chance.randbytes(chance.choice([1, 18, 300, 1400]))
        return bytes(packet)


def turned(frame: bytes) -> bytes:
    """Sender and receiver have changed places. Sums stay right, for they do not tell who is who."""
    packet = bytearray(frame)
    packet[0:12] = frame[6:12] + frame[0:6]
    version = frame[14] >> 4
    if version == 4:
        packet[26:34] = frame[30:34] + frame[26:30]
        at, protocol = 14 + 4 * (frame[14] & 15), frame[23]
    else:
        packet[22:54] = frame[38:54] + frame[22:38]
        at, protocol = 54, frame[20]
    if protocol in (wire.TCP, wire.UDP, SCTP) and len(frame) >= at + 4:
        packet[at : at + 4] = frame[at + 2 : at + 4] + frame[at : at + 2]
    if protocol == wire.TCP and len(frame) > at + 13 and frame[at + 13] & 2:
        packet[at + 13] = 0x12
    if protocol == wire.ICMP and len(frame) > at and frame[at] == 8:
        packet[at] = 0
    if protocol == wire.ICMPV6 and len(frame) > at and frame[at] == 128:
        packet[at] = 129
    return bytes(packet)


def runnable(packet: bytes) -> bytes:
    """BPF_PROG_TEST_RUN takes no IP packets without a whole header."""
    (kind,) = struct.unpack_from(">H", packet, 12)
    return packet.ljust({wire.IPV4: 34, wire.IPV6: 54}.get(kind, 14), b"\0")


def packed(address: str) -> bytes:
    """As it is in packets."""
    return IPv6Address(address).packed if ":" in address else IPv4Address(address).packed
