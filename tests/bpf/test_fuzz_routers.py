"""Hostile packets where routers join two networks: none gets to a third."""

from __future__ import annotations

import random
import time

import pytest

from tests.bpf import fuzzing
from tests.bpf.routers import R1, R2, R2_MAC, by_mac, connect, connected, hop, own_mac, put, via
from tests.bpf.test_fuzz import frame
from tests.bpf.world import ANN, BLUE, BOB, DAN, EVE, INA, INTERNAL, RED, World
from weft.kernel.bpf.layouts import NetworkFlag, RouteKind
from weft.model.service_addresses import GATEWAY_MAC


@pytest.fixture
def routers(world: World) -> World:
    """R1 joins RED and BLUE; R2, which is on RED as well, has a route of each kind."""
    connect(world, R1, RED, BLUE)
    own_mac(world, RED, R2_MAC, R2, "10.1.0.250")
    by_mac(world, RED, GATEWAY_MAC, R1)
    connected(world, R2, "10.2.0.0/24", BLUE)
    put(world, R1, "fd00:3::/64", RouteKind.ROUTE_UNREACHABLE)
    via(world, R1, "192.0.2.0/24", hop(RED, BOB.ipv4), hop(BLUE, DAN.ipv4))
    via(world, R1, "198.51.100.0/24", hop(RED, "10.1.0.250", R2))
    via(world, R2, "198.51.100.0/24", hop(RED, "10.1.0.1", R1))
    for vni in (RED, BLUE, INTERNAL):
        world.set_network(vni, NetworkFlag.NETWORK_HAS_UNKNOWN | NetworkFlag.NETWORK_SNOOPS)
    return world


def test_nothing_gets_to_a_network_that_no_router_leads_to(routers: World) -> None:
    seed = fuzzing.seed()
    chance = random.Random(seed)
    joined = routers.ports_of(RED) | routers.ports_of(BLUE) | {"weft0", ""}
    apart = routers.ports_of(INTERNAL) | {"weft0", ""}
    outcomes: set[tuple[int, str]] = set()
    everywhere = {(RED, DAN.device), (RED, "ttl")}
    end = time.monotonic() + fuzzing.DURATION_S
    while time.monotonic() < end or not everywhere <= outcomes:
        for _ in range(500):
            sender = chance.choice([ANN, EVE, EVE, DAN, INA])
            packet = frame(chance, sender)
            outcome = routers.send(sender, packet)
            allowed = apart if sender is INA else joined
            assert outcome.target in allowed, f"seed {seed}: {sender.device} {packet.hex()}"
            outcomes.add((sender.vni, outcome.reason or outcome.target))
