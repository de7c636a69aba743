"""A packet, or a connection, on its way: sent by a socket, followed by the taps at both ends."""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from tests.conformance import packets
from tests.conformance.packets import ICMP, ICMPV6, SCTP, TCP, UDP, Seen
from tests.conformance.place import Place
from tests.conformance.sentences import Outcome, Probe
from tests.conformance.services import FAMILIES

_MTU_DISCOVER = {4: (socket.IPPROTO_IP, 10), 6: (socket.IPPROTO_IPV6, 23)}
_PROBE = 3
"""Of MTU discovery: never cut, and let no earlier answer keep it from being sent (ip(7))."""
_HOPS = {4: (socket.IPPROTO_IP, socket.IP_TTL), 6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)}
_ICMP = {4: ICMP, 6: ICMPV6}
_TOLD = {
    (ICMP, 3, 0): "no-route",
    (ICMP, 3, 1): "unreachable",
    (ICMP, 3, 2): "closed",
    (ICMP, 3, 3): "closed",
    (ICMP, 3, 4): "too-big",
    (ICMP, 3, 13): "refused",
    (ICMP, 11, 0): "expired",
    (ICMPV6, 1, 0): "no-route",
    (ICMPV6, 1, 1): "refused",
    (ICMPV6, 1, 3): "unreachable",
    (ICMPV6, 1, 4): "closed",
    (ICMPV6, 2, 0): "too-big",
    (ICMPV6, 3, 0): "expired",
    (ICMPV6, 4, 1): "closed",
}


class Ends(NamedTuple):
    """Between whom."""

    place: Place
    """Of the sender."""
    source: str
    destination: str

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.source else 4


class Attempt:
    """A probe that is sent. What is known of it grows as the taps are read."""

    def __init__(self, probe: Probe, ends: Ends) -> None:
        self.probe = probe
        self.ends = ends
        self.arrived: Seen | None = None
        self.strayed_to: str | None = None
        """Who has got it and should not have."""
        self.told: tuple[str, str] | None = None
        """What the sender heard, and from whom."""
        self.is_answered = False
        self._token = os.urandom(8)
        self._payload = self._token.ljust(probe.size, b"\0")
        self._key: int | bytes = random.randrange(20_000, 30_000)
        """What tells it from others: a source port, an identifier, or what is in it."""
        try:
            self._send()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Send no more."""
        self._socket.close()

    def came_in(self, packet: Seen, wrong: str | None = None) -> None:
        """A tap has seen a packet: the receiver's, or that of somebody else with its address."""
        if not self._is_mine(packet):
            return
        if wrong is not None:
            self.strayed_to = wrong
        elif self.arrived is None:
            self.arrived = packet

    def came_back(self, packet: Seen) -> None:
        """The sender's tap has seen a packet."""
        about = packet.about
        if about is not None and self._is_mine(about):
            word = _TOLD.get((packet.protocol, *packet.icmp), f"icmp {packet.icmp}")
            self.told = self.told or (word, str(packet.source))

    def look(self) -> None:
        """See what the socket has to say."""

    def word(self) -> str:
        """What has become of it so far."""
        if self.is_answered:
            return "answered"
        if self.told is None:
            return "silent" if self.arrived is None else "arrives"
        word, by = self.told
        is_by_receiver = self.arrived is not None and by == self.ends.destination
        return "closed" if is_by_receiver and word == "refused" else word

    def __str__(self) -> str:
        word = self.word()
        by = f" by {self.told[1]}" if self.told and word != "answered" else ""
        there = "" if self.arrived is None else f", got there with {self.arrived.hops} hops"
        elsewhere = "" if self.strayed_to is None else f", got to {self.strayed_to}"
        return f"{word}{by}{there}{elsewhere}"

    def _send(self) -> None:
        raise NotImplementedError

    def _is_mine(self, packet: Seen) -> bool:
        if str(packet.destination) != self.ends.destination:
            return False
        if isinstance(self._key, bytes):
            return self._key in packet.payload
        return packet.protocol == self._protocol and packet.ends[0] == self._key

    @property
    def _protocol(self) -> int:
        raise NotImplementedError

    def _opened(self, kind: int, protocol: int = 0, port: int = 0) -> socket.socket:
        version = self.ends.version
        self._socket = made = self.ends.place.socket(FAMILIES[version], kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.probe.hops:
            made.setsockopt(*_HOPS[version], self.probe.hops)
        if self.probe.is_whole:
            made.setsockopt(*_MTU_DISCOVER[version], _PROBE)
        made.bind((self.ends.source, port))
        return made


class TcpAttempt(Attempt):
    """A connection, and something that is sent and given back on it."""

    _protocol = TCP
    _has_sent = False

    def _send(self) -> None:
        made = self._opened(socket.SOCK_STREAM, port=self.probe.source_port)
        self._key = made.getsockname()[1]
        with suppress(BlockingIOError):
            made.connect((self.ends.destination, self.probe.number))

    def look(self) -> None:
        """See `Attempt.look`."""
        with suppress(OSError):  # not yet, or the taps tell why not
            if not self._has_sent:
                self._socket.send(self._payload)
                self._has_sent = True
            self.is_answered = self.is_answered or self._token in self._socket.recv(65535)

    def came_back(self, packet: Seen) -> None:
        """See `Attempt.came_back`."""
        super().came_back(packet)
        if packet.is_reset and packet.ends[1] == self._key:
            self.told = self.told or ("refused", str(packet.source))


class UdpAttempt(Attempt):
    """A datagram, and its echo."""

    _protocol = UDP

    def _send(self) -> None:
        made = self._opened(socket.SOCK_DGRAM, port=self.probe.source_port)
        made.connect((self.ends.destination, self.probe.number))
        self._key = made.getsockname()[1]
        made.send(self._payload)

    def look(self) -> None:
        """See `Attempt.look`."""
        with suppress(OSError):
            self.is_answered = self.is_answered or self._token in self._socket.recv(65535)


class DnsAttempt(UdpAttempt):
    """A query for a name that nobody has, and the answer that says so."""

    def _send(self) -> None:
        name = self._token.hex().encode()
        labels = (name, b"weft", b"internal", b"")
        question = b"".join(bytes([len(each)]) + each for each in labels)
        self._payload = struct.pack("!6H", random.randrange(2**16), 0x0100, 1, 0, 0, 0)
        self._payload += question + struct.pack("!HH", 1, 1)
        self._token = name
        super()._send()


class IcmpAttempt(Attempt):
    """A message of ICMP; a ping if it says no other type."""

    def _send(self) -> None:
        version, probe = self.ends.version, self.probe
        kind = packets.ECHO_REQUEST[version] if probe.kind == "ping" else probe.number
        rest = struct.pack("!HH", self._key, 1) + self._payload
        made = self._opened(socket.SOCK_RAW, self._protocol)
        made.sendto(packets.icmp(version, kind, probe.code, rest), (self.ends.destination, 0))

    @property
    def _protocol(self) -> int:
        return _ICMP[self.ends.version]

    def came_back(self, packet: Seen) -> None:
        """See `Attempt.came_back`."""
        super().came_back(packet)
        is_from_there = str(packet.source) == self.ends.destination
        if packet.protocol == self._protocol and is_from_there and packet.ends[0] == self._key:
            is_reply = packet.icmp[0] == packets.ECHO_REPLY[self.ends.version]
            self.is_answered = self.is_answered or is_reply


class SolicitAttempt(Attempt):
    """A router solicitation, and an advertisement (RFC 4861)."""

    _protocol = ICMPV6

    def _send(self) -> None:
        made = self._opened(socket.SOCK_RAW, ICMPV6)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, packets.NEIGHBOURS_HOPS)
        made.sendto(packets.icmp(6, packets.SOLICITATION, 0, bytes(4)), (self.ends.destination, 0))

    def came_back(self, packet: Seen) -> None:
        """See `Attempt.came_back`."""
        super().came_back(packet)
        is_near = packet.hops == packets.NEIGHBOURS_HOPS and packet.source.is_link_local
        if packet.protocol == ICMPV6 and packet.icmp[0] == packets.ADVERTISEMENT and is_near:
            self.is_answered = True


class RawAttempt(Attempt):
    """A packet of any protocol."""

    @property
    def _protocol(self) -> int:
        return self.probe.number if self.probe.kind == "protocol" else SCTP

    def _send(self) -> None:
        made = self._opened(socket.SOCK_RAW, self._protocol)
        data = self._payload
        if self.probe.kind == "protocol":
            self._key = self._token
        else:
            assert isinstance(self._key, int)
            data = packets.sctp_init((self._key, self.probe.number), self._token)
        made.sendto(data, (self.ends.destination, 0))


class StrayAttempt(Attempt):
    """A segment from the middle of a connection of which nobody knows."""

    _protocol = TCP

    def _send(self) -> None:
        made = self._opened(socket.SOCK_RAW, TCP)
        assert isinstance(self._key, int)
        ports = self._key, self.probe.number
        source, destination = self.ends.source, self.ends.destination
        segment = packets.tcp(source, destination, ports, packets.ACK, self._payload)
        made.sendto(segment, (destination, 0))


class TailAttempt(Attempt):
    """The last fragment of a datagram that has no first one."""

    _protocol = UDP

    def _send(self) -> None:
        self._key = self._token
        source, destination = self.ends.source, self.ends.destination
        if self.ends.version == 4:
            made = self._opened(socket.SOCK_RAW, socket.IPPROTO_RAW)
            data = packets.later_fragment4(source, destination, UDP, self._payload)
        else:
            made = self._opened(socket.SOCK_RAW, packets.FRAGMENT)
            data = packets.later_fragment6(UDP, self._payload)
        made.sendto(data, (destination, 0))


def begun(probe: Probe, ends: Ends) -> Attempt:
    """Send it."""
    if probe.is_stray:
        return StrayAttempt(probe, ends)
    if probe.is_tail:
        return TailAttempt(probe, ends)
    match probe.kind:
        case "tcp":
            return TcpAttempt(probe, ends)
        case "udp":
            return UdpAttempt(probe, ends)
        case "dns":
            return DnsAttempt(probe, ends)
        case "ping" | "icmp":
            return IcmpAttempt(probe, ends)
        case "solicit":
            return SolicitAttempt(probe, ends)
        case _:
            return RawAttempt(probe, ends)


def fits(attempt: Attempt, expected: Outcome, names: Mapping[str, str]) -> bool:
    """Whether it is by now as a case file says. names: the addresses of those who may tell."""
    word, arrived = attempt.word(), attempt.arrived
    match expected.word:
        case "arrives":
            is_so = arrived is not None
        case "unanswered":
            is_so = word == "arrives"
        case "closed":
            is_so = word == "closed" and arrived is not None
        case "answered":
            is_so = word == "answered"
        case _:
            is_so = word == expected.word and arrived is None
    if expected.hops is not None:
        is_so = is_so and arrived is not None and arrived.hops == expected.hops
    if expected.by is not None:
        is_so = is_so and attempt.told is not None and attempt.told[1] == names[expected.by]
    return is_so and attempt.strayed_to is None


def needs_time(expected: Outcome) -> bool:
    """Whether it is so only if nothing comes for a while."""
    return expected.word in ("silent", "unanswered")
