"""What a CPU keeps of where MACs are is never older than the map."""

from __future__ import annotations

import pytest

from tests.bpf import wire
from tests.bpf.judged import ACK, segment
from tests.bpf.overlay import FAR, HUGO, coming, connect, encode, endpoint_at, vxlan
from tests.bpf.world import ANN, BOB, CYD, DAN, RED, Workload, World
from weft.kernel.bpf import layouts

pytestmark = pytest.mark.usefixtures("one_cpu")


def key_of(workload: Workload, mac: str = "") -> bytes:
    return layouts.MacKey(workload.vni, wire.mac_bytes(mac or workload.mac)).encode()


def change(world: World, key: bytes, value: bytes) -> None:
    """Without a word to the programs."""
    assert not world.plane.maps["macs_v1"].update({key: value})


def set_edition(world: World, number: int) -> None:
    edition = layouts.Edition(number).encode()
    assert not world.plane.maps["macs_edition_v1"].update({bytes(4): edition})


def target(world: World, mac: str = BOB.mac) -> str:
    return world.send(ANN, segment(ANN, BOB, ACK, mac=mac)).target


def test_what_was_looked_up_is_kept_until_weftd_says_so(world: World) -> None:
    assert target(world) == BOB.device
    change(world, key_of(BOB), world.endpoint(CYD).encode())
    assert target(world) == BOB.device, "or nothing is kept, and this file proves nothing"
    world.tell_edition()
    assert target(world) == CYD.device


def test_nothing_is_kept_while_the_map_is_changed(world: World) -> None:
    assert target(world) == BOB.device
    set_edition(world, world.edition + 1)
    assert target(world) == BOB.device
    change(world, key_of(BOB), world.endpoint(CYD).encode())
    assert target(world) == CYD.device
    change(world, key_of(BOB), world.endpoint(BOB).encode())
    world.tell_edition()
    assert target(world) == BOB.device


def test_a_mac_that_is_gone_is_nobodys(world: World) -> None:
    assert target(world) == BOB.device
    address = layouts.AddressKey(RED, encode(BOB.ipv4)).encode()
    assert not world.plane.maps["macs_v1"].delete([key_of(BOB)])
    assert not world.plane.maps["addresses_v1"].delete([address])
    world.tell_edition()
    assert world.send(ANN, segment(ANN, BOB, ACK))[:2] == ("", "unknown_mac")


@pytest.mark.parametrize("vni", [RED, DAN.vni], ids=["one network", "two networks"])
def test_macs_that_share_an_entry_are_told_apart(world: World, vni: int) -> None:
    last = 2 ^ RED ^ vni
    twin = f"06:00:00:00:00:{last:02x}"
    other = ANN if vni == RED else DAN
    for mac in (twin, BOB.mac):
        if mac == twin or vni != RED:
            key = layouts.MacKey(vni, wire.mac_bytes(mac)).encode()
            world.put("macs_v1", key, world.endpoint(CYD).encode())
    for _ in range(3):
        assert target(world) == BOB.device
        assert world.send(other, segment(other, BOB, ACK, mac=twin)).target == CYD.device
        assert target(world) == BOB.device
        if vni != RED:
            assert world.send(other, segment(other, BOB, ACK)).target == CYD.device


def test_a_made_packet_takes_nothing_from_real_ones_and_leaves_them_nothing(world: World) -> None:
    world.is_trial = True
    try:
        assert target(world) == BOB.device
    finally:
        world.is_trial = False
    change(world, key_of(BOB), world.endpoint(CYD).encode())
    assert target(world) == CYD.device


def test_what_arrives_for_a_port_that_has_moved(world: World) -> None:
    connect(world)
    packet = coming(HUGO, 4, vxlan(RED, segment(FAR, BOB, ACK)))
    assert world.arrive(packet).target == BOB.device
    world.put("macs_v1", key_of(BOB), world.endpoint(CYD).encode())
    assert world.arrive(packet).target == CYD.device
    world.put("macs_v1", key_of(BOB), endpoint_at(HUGO.tag, BOB.mac).encode())
    assert world.arrive(packet)[:2] == ("", "unknown_mac")
