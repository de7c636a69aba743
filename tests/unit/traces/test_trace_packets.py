"""Made packets: whole, right in every checksum, and answered as workloads do."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tests.bpf import wire
from weft.observers.traces import packets
from weft.observers.traces.packets import ICMP, ICMPV6, SCTP, TCP, UDP, Made, Shown

ENDS = {4: ("10.0.0.2", "10.0.0.3"), 6: ("fd00::2", "fd00::3")}
MACS = ("02:00:00:00:00:03", "02:00:00:00:00:02")
BOTH = pytest.mark.parametrize("version", [4, 6])


def made(version: int, protocol: int, **facts: int) -> Made:
    source, destination = map(ip_address, ENDS[version])
    return Made(protocol, source, destination, 50000, 80, **facts)


def shown(packet: bytes) -> Shown:
    found = packets.shown_in(packets.ethernet(*MACS, packet))
    assert found is not None
    return found


def is_right(found: Shown) -> bool:
    """Whether the checksum behind IP is."""
    ends = str(found.source), str(found.destination)
    pseudo = wire.pseudo(*ends, found.protocol, len(found.payload))
    return wire.checksum((b"" if found.protocol == ICMP else pseudo) + found.payload) == 0


@BOTH
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_what_has_ports_is_answered_by_the_other_one(version: int, protocol: int) -> None:
    question = shown(packets.first_packet(made(version, protocol)))
    assert is_right(question)
    reply = packets.answer_to(question)
    assert reply is not None
    answer = shown(reply)
    assert is_right(answer)
    assert (answer.source, answer.destination) == (question.destination, question.source)
    assert answer.payload[:4] == question.payload[2:4] + question.payload[:2]
    if protocol == TCP:
        assert (question.payload[13], answer.payload[13]) == (packets.SYN, 0x12)


@pytest.mark.parametrize(
    ("version", "protocol", "types"), [(4, ICMP, (8, 0)), (6, ICMPV6, (128, 129))]
)
def test_pings_are_answered_and_other_icmp_is_not(
    version: int, protocol: int, types: tuple[int, int]
) -> None:
    question = shown(packets.first_packet(made(version, protocol, icmp_type=types[0])))
    reply = packets.answer_to(question)
    assert reply is not None and is_right(question) and is_right(shown(reply))
    assert (question.payload[0], shown(reply).payload[0]) == types
    assert shown(reply).payload[4:6] == question.payload[4:6], "the identifier"
    error = shown(packets.first_packet(made(version, protocol, icmp_type=3)))
    assert packets.answer_to(error) is None


def test_other_protocols_are_answered_by_the_same() -> None:
    for protocol in (SCTP, 47):
        question = shown(packets.first_packet(made(4, protocol)))
        reply = packets.answer_to(question)
        assert reply is not None and shown(reply).protocol == protocol


@BOTH
def test_a_neighbour_is_asked_for_and_heard(version: int) -> None:
    source, target = map(ip_address, ENDS[version])
    question = packets.mac_question(MACS[1], source, target)
    if version == 4:
        assert question == wire.arp(1, MACS[1], str(source), str(target))
        answer = wire.arp(2, MACS[0], str(target), str(source), MACS[1], destination=MACS[1])
    else:
        assert question == wire.ns(MACS[1], str(source), str(target))
        answer = wire.na(MACS[1], MACS[0], str(target), str(source), str(target), 0x60)
    assert packets.mac_answer(answer) == MACS[0]
    assert packets.mac_answer(question) is None
    for at in range(len(answer)):
        assert packets.mac_answer(answer[:at]) is None


@BOTH
def test_what_a_device_wraps_is_unwrapped(version: int) -> None:
    frame = packets.ethernet(*MACS, packets.first_packet(made(4, TCP)))
    source, destination = map(ip_address, ENDS[version])
    wrapped = packets.wrapped(frame, source, destination, 77, 4789)
    assert packets.outer_of(wrapped) == (source, destination, 77, 0, frame)
    assert packets.outer_of(frame) is None
    for at in range(len(wrapped) - len(frame) + 13):
        assert packets.outer_of(wrapped[:at]) is None


def test_nonsense_shows_nothing() -> None:
    for frame in (b"", bytes(14), bytes(60), b"\xff" * 60):
        assert packets.shown_in(frame) is None
        assert packets.outer_of(frame) is None
        assert packets.mac_answer(frame) is None
