"""Probes of the way between two hosts."""

from __future__ import annotations

import struct

import pytest

from tests.bpf import wire
from tests.bpf.overlay import (
    HUGO,
    NEXT_HOP_MAC,
    OWN4,
    OWN6,
    STRANGER,
    UPLINK_MAC,
    coming,
    connect,
    outer,
    vxlan,
)
from tests.bpf.world import HOST_TAG, World
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Overlay

UNDERLAYS = pytest.mark.parametrize("version", [4, 6])
NONCE = bytes(range(8))


def message(kind: int, tag: int, slot: int = 3, *, magic: int = 0, size: int = 0) -> bytes:
    """A whole VXLAN payload, padded to `size`."""
    number = magic or Overlay.OVERLAY_PROBE_MAGIC
    body = layouts.ProbeMessage(
        bytes(6),
        bytes(6),
        struct.pack(">H", Overlay.OVERLAY_PROBE_TYPE),
        struct.pack(">H", kind),
        struct.pack(">I", number),
        struct.pack(">I", tag),
        struct.pack(">I", slot),
        NONCE,
    ).encode()
    return vxlan(Overlay.OVERLAY_PROBE_VNI, body.ljust(size, b"\0"))


REQUEST, ANSWER = Overlay.OVERLAY_PROBE_REQUEST, Overlay.OVERLAY_PROBE_ANSWER


@UNDERLAYS
@pytest.mark.parametrize("size", [0, 500, 1430])
def test_request_is_answered_at_its_size(world: World, version: int, size: int) -> None:
    connect(world, version)
    request = coming(HUGO, version, message(REQUEST, HUGO.tag, size=size), hop_limit=60)
    ends = (OWN4, HUGO.ipv4) if version == 4 else (OWN6, HUGO.ipv6)
    answer = message(ANSWER, HUGO.tag, size=size)
    expected = outer(*ends, answer, macs=(NEXT_HOP_MAC, UPLINK_MAC))
    assert world.arrive(request) == ("uplink", "", expected)


@UNDERLAYS
def test_checksum_of_the_answer_is_right(world: World, version: int) -> None:
    connect(world, version)
    ends = (HUGO.ipv4, OWN4) if version == 4 else (HUGO.ipv6, OWN6)
    datagram = wire.udp(*ends, (50000, 4789), message(REQUEST, HUGO.tag))
    make, kind = (wire.ipv4, wire.IPV4) if version == 4 else (wire.ipv6, wire.IPV6)
    request = wire.ether(UPLINK_MAC, NEXT_HOP_MAC, kind, make(*ends, wire.UDP, datagram))
    answer = wire.udp(*ends[::-1], (50000, 4789), message(ANSWER, HUGO.tag))
    expected = make(*ends[::-1], wire.UDP, answer)
    assert world.arrive(request).packet == wire.ether(NEXT_HOP_MAC, UPLINK_MAC, kind, expected)


@UNDERLAYS
def test_answer_is_kept_for_weftd(world: World, version: int) -> None:
    connect(world, version)
    packet = coming(HUGO, version, message(ANSWER, HOST_TAG, size=500))
    assert world.arrive(packet)[:2] == ("", "")
    raw = world.plane.maps["probes_v1"].lookup(layouts.ProbeKey(HUGO.tag, 3).encode())
    assert raw is not None
    kept = layouts.Probe.decode(raw)
    assert kept.nonce == int.from_bytes(NONCE, "little")
    assert kept.size == len(packet) - 14
    assert kept.arrival_ns > 0
    assert world.counters("uplink").drops == {}


@pytest.mark.parametrize(
    "payload",
    [
        message(ANSWER, HOST_TAG + 1),
        message(ANSWER, HOST_TAG, Overlay.OVERLAY_PROBE_SLOTS),
        message(ANSWER, HOST_TAG, 2**32 - 1),
        message(3, HOST_TAG),
        message(0, HOST_TAG),
        message(REQUEST, HUGO.tag, magic=1),
        message(REQUEST, HUGO.tag)[:-1],
        vxlan(Overlay.OVERLAY_PROBE_VNI, bytes(100)),
    ],
    ids=lambda _: "packet",
)
def test_what_is_no_probe(world: World, payload: bytes) -> None:
    connect(world)
    assert world.arrive(coming(HUGO, 4, payload))[:2] == ("", "malformed")
    assert world.plane.maps["probes_v1"].read() == {}


@UNDERLAYS
@pytest.mark.parametrize("kind", [REQUEST, ANSWER])
def test_strangers_get_nothing(world: World, version: int, kind: int) -> None:
    connect(world)
    own = OWN4 if version == 4 else OWN6
    packet = outer(STRANGER[version], own, message(kind, HOST_TAG))
    assert world.arrive(packet)[:2] == ("", "unknown_peer")
    assert world.plane.maps["probes_v1"].read() == {}
