"""Two hosts that share no wire, and one between them that relays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.bpf.fabric import Fabric, Place, made, mtu_of, stream, tag
from tests.bpf.overlay import put_tunnel, tunnel_of
from weft.kernel.bpf import features
from weft.kernel.bpf.layouts import TunnelFlag

ANN, AVA, CYD, CLEO = Place(1, 0), Place(1, 1), Place(3, 0), Place(3, 1)
RELAY = 2
FAMILIES = pytest.mark.parametrize("family", [4, 6])
UNDERLAYS = {
    "IPv4": (4, 4),
    "IPv6": (6, 6),
    "IPv4 then IPv6": (4, 6),
    "IPv4 then IPv6, without the newer flags": (4, 6),
}


@pytest.fixture(scope="module", params=UNDERLAYS)
def fabric(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, objects: object
) -> Iterator[Fabric]:
    first, second = UNDERLAYS[request.param]
    mtu = mtu_of(6 if 6 in (first, second) else 4)
    folder = tmp_path_factory.mktemp("fabric")
    with ExitStack() as stack:
        if "without" in request.param:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setattr(features, "has_decap_l3", lambda: False)
        wires = [(1, 2), (2, 3)]
        fabric = stack.enter_context(made(folder, objects, max(first, second), wires))  # type: ignore[arg-type]
        one, two, three = (fabric.hosts[number] for number in (1, 2, 3))
        two.set_tunnel(1, two.links[0], first, mtu)
        two.set_tunnel(3, two.links[1], second, mtu)
        one.set_tunnel(2, one.links[0], first, mtu)
        one.set_tunnel(3, one.links[0], first, mtu)
        three.set_tunnel(2, three.links[0], second, mtu)
        three.set_tunnel(1, three.links[0], second, mtu)
        # A relay needs to know nothing of the networks that it carries.
        for name in ("networks_v1", "subnets_v1", "macs_v1", "addresses_v1"):
            each = two.plane.maps[name]
            each.delete(list(each.read()))
        yield fabric


@FAMILIES
def test_ping(fabric: Fabric, family: int) -> None:
    assert fabric.pings(ANN, CYD.address(family))
    assert fabric.pings(CLEO, AVA.address(family), "-s 5000")


@FAMILIES
def test_tcp_in_large_segments(fabric: Fabric, family: int) -> None:
    """Relayed packets keep how they are to be cut."""
    for sender, target in ((ANN, CYD), (CLEO, AVA)):
        receiver = fabric.hosts[target.host]
        before = receiver.counters(target.device)
        stream(fabric, sender, target, family)
        after = receiver.counters(target.device)
        received = after.rx_bytes - before.rx_bytes
        assert received / (after.rx_packets - before.rx_packets) > 5000


@FAMILIES
def test_second_wire_that_carries_less(fabric: Fabric, family: int) -> None:
    """The relay tells the sender, two hosts away."""
    relay = fabric.hosts[RELAY]
    maps, target_tag = relay.plane.maps, tag(3)
    former = tunnel_of(maps, target_tag)
    put_tunnel(maps, target_tag, former._replace(mtu=1300))
    try:
        target = CYD.address(family)
        said = fabric.at(ANN, f"ping -M do -c 1 -W 1 -s 1350 {target}", check=False)
        assert "1300" in said
        stream(fabric, ANN, CYD, family)
        assert relay.drops()["up0"]["too_big"] > 0
    finally:
        put_tunnel(maps, target_tag, former)
        for place in (ANN, AVA, CYD, CLEO):
            fabric.at(place, f"ip -{family} route flush cache")


@FAMILIES
def test_next_hop_that_only_the_kernel_knows(fabric: Fabric, family: int) -> None:
    relay = fabric.hosts[RELAY]
    maps, target_tag = relay.plane.maps, tag(3)
    former = tunnel_of(maps, target_tag)
    flags = former.flags | TunnelFlag.TUNNEL_DEVICE
    unknown = former._replace(flags=flags, next_hop=bytes(6), source_mac=bytes(6))
    put_tunnel(maps, target_tag, unknown)
    try:
        assert fabric.pings(ANN, CYD.address(family))
        stream(fabric, ANN, CYD, family)
    finally:
        put_tunnel(maps, target_tag, former)
