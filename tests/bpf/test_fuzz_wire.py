"""Random and mutated packets from the underlay.

No crash, nothing that is not ours is taken or changed, and nothing gets in but from known hosts,
into the network that it names.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from tests.bpf import fuzzing, wire
from tests.bpf.hostile_packets import runnable
from tests.bpf.overlay import (
    HUGO,
    IDA,
    OWN4,
    OWN6,
    PORT,
    STRANGER,
    add_peer,
    connect,
    outer,
    vxlan,
)
from tests.bpf.test_fuzz import Chance, frame
from tests.bpf.test_probes import message
from tests.bpf.world import ANN, BLUE, BOB, EVE, HOST_TAG, INTERNAL, RED, World
from weft.kernel.bpf.layouts import PeerFlag

SECRET = "192.0.2.9"
"""Of a host that must encrypt."""
SOURCES4 = [HUGO.ipv4, HUGO.ipv4, IDA.ipv4, OWN4, STRANGER[4], SECRET, "0.0.0.0", "255.255.255.255"]
SOURCES6 = [HUGO.ipv6, HUGO.ipv6, IDA.ipv6, OWN6, STRANGER[6], "::", "ff02::1", f"::ffff:{OWN4}"]
TAGS = [0, 0, 0, 0, HOST_TAG, HUGO.tag, IDA.tag, 1, 0xFFFFFFFF]
VNIS = [RED, RED, RED, BLUE, INTERNAL, 0, 1, 4711, 2**24 - 1]
KNOWN = {HUGO.ipv4, IDA.ipv4, HUGO.ipv6, IDA.ipv6}


def arriving(chance: Chance) -> bytes:
    """VXLAN with something wrong, or nothing."""
    sources = chance.choice([SOURCES4, SOURCES6])
    own = OWN4 if sources is SOURCES4 else OWN6
    destination = own if chance.random() < 0.9 else chance.choice(sources)
    flags = 8 if chance.random() < 0.9 else chance.randrange(256)
    payload = vxlan(chance.choice(VNIS), frame(chance, EVE), chance.choice(TAGS), flags)
    if chance.random() < 0.1:
        payload = message(chance.randrange(4), chance.choice(TAGS), chance.randrange(70))
    packet = bytearray(
        outer(
            chance.choice(sources),
            destination,
            payload,
            port=PORT if chance.random() < 0.95 else chance.randrange(65536),
            traffic_class=chance.randrange(256),
            hop_limit=chance.choice([0, 1, 2, 64, 255]),
            fragment=chance.choice([0x4000] * 9 + [0, 0x2000, 0x2005]),
            checksum=chance.choice([0, 0, 1, 0xFFFF]),
        )
    )
    for _ in range(chance.choice([0, 0, 0, 1, 3])):
        packet[chance.randrange(len(packet))] = chance.randrange(256)
    if chance.random() < 0.1:
        packet = packet[: chance.randrange(14, len(packet) + 1)]
    return runnable(bytes(packet))


def noise(chance: Chance) -> bytes:
    return runnable(chance.randbytes(chance.randrange(14, 200)))


@pytest.mark.parametrize("make", [arriving, noise])
def test_only_what_is_ours_is_taken(world: World, make: Callable[[Chance], bytes]) -> None:
    connect(world)
    add_peer(world, SECRET, 0x77, PeerFlag.PEER_REFUSED)
    seed = fuzzing.seed()
    chance = random.Random(seed)
    outcomes: set[str] = set()
    everywhere = {ANN.device, BOB.device, "weft0", "uplink", "kernel", "unknown_peer", "ttl"}
    everywhere |= {"unknown_vni", "unknown_mac", "unencrypted", "no_tunnel", "malformed"}
    everywhere |= {"fragment", "congestion", "reserved"}
    end = time.monotonic() + fuzzing.DURATION_S
    while time.monotonic() < end or (make is arriving and not everywhere <= outcomes):
        for _ in range(500):
            packet = make(chance)
            outcome = world.arrive(packet)
            what = f"seed {seed}: {packet.hex()} -> {outcome}"
            if outcome.target == "kernel":
                assert outcome.packet == packet or is_ours(packet), what
            elif outcome.target:
                assert is_ours(packet), what
                check_network(world, packet, outcome.target, what)
            outcomes.add(outcome.reason or outcome.target)


def is_ours(packet: bytes) -> bool:
    """From a known host to this one, on the overlay's port."""
    (kind,) = struct.unpack_from(">H", packet, 12)
    if kind == wire.IPV4:
        source, target, udp = packet[26:30], packet[30:34], 34
    else:
        source, target, udp = packet[22:38], packet[38:54], 54
    own = {encoded(OWN4), encoded(OWN6)}
    known = {encoded(each) for each in KNOWN}
    return source in known and target in own and packet[udp + 2 : udp + 4] == b"\x12\xb5"


def encoded(address: str) -> bytes:
    return ip_address(address).packed


def check_network(world: World, packet: bytes, target: str, what: str) -> None:
    """Ports get what names their network; relayed packets leave by the underlay."""
    start = 42 if packet[12:14] == b"\x08\x00" else 62
    vni = int.from_bytes(packet[start + 4 : start + 7], "big")
    if target not in ("uplink", "weft0"):
        assert target in world.ports_of(vni), what
