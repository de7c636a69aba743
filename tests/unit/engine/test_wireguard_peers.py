"""Who of two hosts begins the first handshake."""

from __future__ import annotations

import base64
import errno
from collections.abc import Callable, Hashable
from pathlib import Path

import pytest

from weft.engine.plumbing.drivers.wireguard_peers import (
    COURTESY_S,
    KEEPALIVE_S,
    WireGuardPeerDriver,
)
from weft.engine.plumbing.tables.wireguard import WireGuardPeerValue
from weft.errors import KernelError
from weft.kernel.wireguard import device as wireguard
from weft.kernel.wireguard import key_file
from weft.kernel.wireguard.key_file import KeyPair
from weft.kernel.wireguard.state import DeviceChange, DeviceState, Peer
from weft.model.addresses import ip_address

LESS, OWN, MORE = (base64.b64encode(bytes([number]) * 32).decode() for number in (10, 20, 30))
WANTED: dict[Hashable, Hashable] = {
    key: WireGuardPeerValue(ip_address(f"fd57::{n}"), ip_address(f"192.0.2.{n}"), 6784)
    for n, key in enumerate((LESS, MORE), 1)
}


class FakeDevice:
    """Keeps what is written, and counts."""

    def __init__(self) -> None:
        self.peers: dict[bytes, Peer] = {}
        self.writes = 0
        self.refused = b""
        """A key that the kernel does not take."""

    def look_up(self, name: str) -> FakeDevice:
        return self

    def read(self) -> DeviceState:
        return DeviceState(bytes(32), 6784, self.peers)

    def write(self, change: DeviceChange) -> None:
        self.writes += 1
        if self.refused in {each.public_key for each in change.peers}:
            raise KernelError("set device weftwg", errno.EINVAL)
        for key in change.removed:
            self.peers.pop(key, None)
        for peer in change.peers:
            self.peers[peer.public_key] = Peer(
                peer.endpoint, frozenset(peer.allowed), peer.keepalive_s, 0.0
            )

    def keepalives(self) -> dict[str, int]:
        return {base64.b64encode(key).decode(): p.keepalive_s for key, p in self.peers.items()}


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    made = FakeDevice()
    monkeypatch.setattr(wireguard, "control_of", lambda link, run_dir: made)
    monkeypatch.setattr(wireguard, "is_ours", lambda link: True)
    pair = KeyPair(private_key=bytes(32), public_key=OWN, made_s=0.0)
    monkeypatch.setattr(key_file, "read", lambda state_dir: pair)
    return made


def table(device: FakeDevice, clock: Callable[[], float]) -> WireGuardPeerDriver:
    return WireGuardPeerDriver(device, Path(), Path(), monotonic_s=clock)  # type: ignore[arg-type]


def test_one_of_two_begins_and_the_other_a_moment_later(device: FakeDevice) -> None:
    clock = Clock()
    peers = table(device, clock)
    assert peers.follow_in_s is None
    assert peers.write(WANTED, []) == []
    assert device.keepalives() == {LESS: 0, MORE: KEEPALIVE_S}
    assert peers.read(WANTED) == WANTED
    assert peers.follow_in_s == COURTESY_S
    assert peers.follow() == []
    assert device.writes == 1
    clock.now_s += COURTESY_S
    assert peers.follow_in_s == 0.0
    assert peers.follow() == []
    assert device.keepalives() == {LESS: KEEPALIVE_S, MORE: KEEPALIVE_S}
    assert peers.follow_in_s is None
    assert peers.read(WANTED) == WANTED


def test_a_peer_that_goes_is_not_begun_with(device: FakeDevice) -> None:
    clock = Clock()
    peers = table(device, clock)
    peers.write(WANTED, [])
    peers.write({}, [LESS])
    clock.now_s += COURTESY_S
    assert peers.follow_in_s is None
    assert peers.follow() == []
    assert device.keepalives() == {MORE: KEEPALIVE_S}


def test_a_weftd_that_ended_in_between_is_made_up_for(device: FakeDevice) -> None:
    clock = Clock()
    table(device, clock).write(WANTED, [])
    later = table(device, clock)
    found = later.read(WANTED)
    assert found[MORE] == WANTED[MORE]
    assert found[LESS] != WANTED[LESS]
    later.write({LESS: WANTED[LESS]}, [])
    clock.now_s += COURTESY_S
    later.follow()
    assert later.read(WANTED) == WANTED
    assert device.keepalives() == {LESS: KEEPALIVE_S, MORE: KEEPALIVE_S}


@pytest.mark.parametrize("bad", ["", "zz", "not base64!", "AAAA", "A" * 43, "\u00e9" * 44])
def test_a_key_that_is_none_leaves_out_its_host_alone(device: FakeDevice, bad: str) -> None:
    peers = table(device, Clock())
    wanted = WANTED | {bad: WANTED[MORE]}
    (failure,) = peers.write(wanted, [])
    assert failure.row.key == bad
    assert "no key" in failure.reason
    assert peers.read(wanted) == WANTED
    assert peers.write({}, [bad, LESS]) == []
    assert device.keepalives() == {MORE: KEEPALIVE_S}


@pytest.mark.parametrize("refused", [LESS, MORE])
def test_a_peer_that_the_kernel_refuses_leaves_out_its_host_alone(
    device: FakeDevice, refused: str
) -> None:
    clock = Clock()
    peers = table(device, clock)
    device.refused = base64.b64decode(refused)
    (failure,) = peers.write(WANTED, [])
    assert failure.row.key == refused
    clock.now_s += COURTESY_S
    assert peers.follow() == []
    (other,) = WANTED.keys() - {refused}
    assert device.keepalives() == {other: KEEPALIVE_S}
    assert peers.write({}, [other, refused]) == []
    assert device.keepalives() == {}
