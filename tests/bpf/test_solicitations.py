"""Who looks for routers: weftd hears of it where it tells the port of them, nobody else does."""

from __future__ import annotations

import struct

import pytest

from tests.bpf import wire
from tests.bpf.test_groups import snoop
from tests.bpf.test_replicas import hearing
from tests.bpf.test_spoofing import ALL_ROUTERS, icmpv6
from tests.bpf.world import ANN, BOB, WEFT0_MAC, World
from weft.kernel.bpf.layouts import PortFlag

TOLD = ANN.flags | PortFlag.PORT_ADVERTISED
SOLICITATIONS = {
    "with its MAC": icmpv6(
        wire.RS, ANN.link_local, ALL_ROUTERS, bytes(4) + wire.mac_option(1, ANN.mac)
    ),
    "bare": icmpv6(wire.RS, ANN.link_local, ALL_ROUTERS, bytes(4)),
    "before it has an address": icmpv6(wire.RS, "::", ALL_ROUTERS, bytes(4)),
    "from its address": icmpv6(wire.RS, ANN.ipv6, ALL_ROUTERS, bytes(4)),
}


@pytest.mark.parametrize("is_snooping", [True, False])
@pytest.mark.parametrize("what", SOLICITATIONS)
def test_weftd_alone_hears_of_it(world: World, what: str, is_snooping: bool) -> None:
    if is_snooping:
        snoop(world)
    world.set_port(ANN, flags=TOLD)
    with hearing() as heard:
        outcome = world.send(ANN, SOLICITATIONS[what])
    header = bytes.fromhex(WEFT0_MAC.replace(":", ""))
    header += struct.pack(">HIH", 0x0257, world.ifindexes[ANN.device], 0x88B5)
    assert outcome == ("weft0", "", header + SOLICITATIONS[what][14:])
    assert heard == []


@pytest.mark.parametrize("what", SOLICITATIONS)
def test_where_nobody_is_told_weftd_hears_nothing(world: World, what: str) -> None:
    snoop(world)
    with hearing() as heard:
        assert world.send(ANN, SOLICITATIONS[what])[:2] == ("", "")
    assert heard == []


@pytest.mark.parametrize(
    "packet, reason",
    [
        (icmpv6(wire.RS, BOB.link_local, ALL_ROUTERS, bytes(4)), "spoofed_address"),
        (
            icmpv6(wire.RS, ANN.link_local, ALL_ROUTERS, bytes(4) + wire.mac_option(1, BOB.mac)),
            "spoofed_mac",
        ),
        (icmpv6(wire.RS, ANN.link_local, ALL_ROUTERS, b""), "malformed"),
        (icmpv6(wire.RA, ANN.link_local, "ff02::1", bytes(20)), "reserved"),
    ],
)
def test_what_is_wrong_is_dropped_all_the_same(world: World, packet: bytes, reason: str) -> None:
    world.set_port(ANN, flags=TOLD)
    assert world.send(ANN, packet)[:2] == ("", reason)


def test_who_asks_without_end_is_cut_short(world: World) -> None:
    world.set_port(ANN, flags=TOLD)
    outcomes = [world.send(ANN, SOLICITATIONS["bare"]) for _ in range(400)]
    passed = sum(one.target == "weft0" for one in outcomes)
    assert 256 <= passed < 400
    assert {one.reason for one in outcomes} == {"", "too_many"}
