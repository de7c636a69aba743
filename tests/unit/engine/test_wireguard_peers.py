"""Who of two hosts begins the first handshake."""

from __future__ import annotations

import base64
import errno
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path

import pytest

from weft.engine.plumbing.drivers.wireguard_peers import (
    AGAIN_S,
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
LEAST, MOST = (base64.b64encode(bytes([number]) * 32).decode() for number in (5, 35))
"""New keys of a host."""


def rows(own_key: str, *keys: str) -> dict[Hashable, Hashable]:
    """Of two other hosts with these keys."""
    return {
        key: WireGuardPeerValue(ip_address(f"fd57::{n}"), ip_address(f"192.0.2.{n}"), 6784, own_key)
        for n, key in enumerate(keys, 1)
    }


WANTED = rows(OWN, LESS, MORE)


class FakeDevice:
    """Keeps what is written, and counts."""

    def __init__(self) -> None:
        self.peers: dict[bytes, Peer] = {}
        self.writes = 0
        self.removed: list[str] = []
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
            self.removed.append(base64.b64encode(key).decode())
            self.peers.pop(key, None)
        for peer in change.peers:
            before = self.peers.get(peer.public_key, Peer(None, frozenset(), 0, 0.0))
            self.peers[peer.public_key] = before._replace(
                endpoint=peer.endpoint or before.endpoint,
                allowed=frozenset(peer.allowed),
                keepalive_s=peer.keepalive_s,
            )

    def shake_hands(self) -> None:
        for key, peer in self.peers.items():
            self.peers[key] = peer._replace(handshake_s=1.0)

    def endpoints(self) -> dict[str, str]:
        return {
            base64.b64encode(key).decode(): str(peer.endpoint.address) if peer.endpoint else ""
            for key, peer in self.peers.items()
        }

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
    own_pair(monkeypatch, OWN)
    return made


def own_pair(monkeypatch: pytest.MonkeyPatch, public_key: str) -> None:
    """The device and the key file have it."""
    pair = KeyPair(private_key=bytes(32), public_key=public_key, made_s=0.0)
    monkeypatch.setattr(key_file, "read", lambda state_dir: pair)


def typed(rows: Mapping[Hashable, Hashable]) -> dict[Hashable, WireGuardPeerValue]:
    return {key: value for key, value in rows.items() if isinstance(value, WireGuardPeerValue)}


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


def test_a_session_with_the_new_key_that_the_other_began_already_goes_on(
    device: FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = table(device, Clock())
    peers.write(WANTED, [])
    own_pair(monkeypatch, MOST)
    device.shake_hands()
    assert peers.write(rows(MOST, LESS, MORE), []) == []
    assert all(peer.handshake_s for peer in device.peers.values())
    assert device.keepalives() == {LESS: KEEPALIVE_S, MORE: KEEPALIVE_S}


def test_a_host_that_moves_keeps_its_session(device: FakeDevice) -> None:
    peers = table(device, Clock())
    peers.write(WANTED, [])
    device.shake_hands()
    moved = {
        key: value._replace(endpoint=ip_address("192.0.2.99"))
        for key, value in typed(WANTED).items()
    }
    assert peers.write(moved, []) == []
    assert set(device.endpoints().values()) == {"192.0.2.99"}
    assert not device.removed.count(MORE)
    assert all(peer.handshake_s for peer in device.peers.values())


@pytest.mark.parametrize("own_key", [LEAST, MOST])
def test_who_has_a_new_key_is_silent_until_the_others_had_the_time_to_begin(
    device: FakeDevice, monkeypatch: pytest.MonkeyPatch, own_key: str
) -> None:
    clock = Clock()
    peers = table(device, clock)
    peers.write(WANTED, [])
    clock.now_s += COURTESY_S
    peers.follow()
    own_pair(monkeypatch, own_key)
    wanted = rows(own_key, LESS, MORE)
    found = peers.read(wanted)
    assert found == {key: value._replace(own_key=own_key) for key, value in typed(WANTED).items()}
    assert peers.write(wanted, []) == []
    assert device.keepalives() == {LESS: 0, MORE: 0}
    assert device.endpoints() == {LESS: "", MORE: ""}
    assert peers.read(wanted) == wanted
    clock.now_s += 2 * COURTESY_S
    assert peers.follow() == []
    assert device.keepalives() == {LESS: KEEPALIVE_S, MORE: KEEPALIVE_S}
    assert device.endpoints() == {LESS: "192.0.2.1", MORE: "192.0.2.2"}
    assert peers.read(wanted) == wanted
    assert peers.follow_in_s is None


@pytest.mark.parametrize("new_key", [LEAST, MOST])
def test_the_others_begin_at_once_with_who_has_a_new_key(device: FakeDevice, new_key: str) -> None:
    peers = table(device, Clock())
    peers.write(WANTED, [])
    wanted = rows(OWN, new_key, MORE)
    assert peers.write({new_key: wanted[new_key]}, [LESS]) == []
    assert device.keepalives() == {new_key: KEEPALIVE_S, MORE: KEEPALIVE_S}
    assert device.endpoints() == {new_key: "192.0.2.1", MORE: "192.0.2.2"}


@pytest.mark.parametrize("new_key", [LEAST, MOST])
def test_what_came_to_nothing_is_begun_anew(device: FakeDevice, new_key: str) -> None:
    clock = Clock()
    peers = table(device, clock)
    peers.write(rows(OWN, MORE), [])
    wanted = rows(OWN, new_key)
    peers.write(wanted, [MORE])
    for wait_s in AGAIN_S:
        assert peers.follow_in_s == wait_s
        clock.now_s += wait_s
        assert peers.follow() == []
        assert device.removed[-1] == new_key
        assert device.keepalives() == {new_key: KEEPALIVE_S}
        assert peers.read(wanted) == wanted
    assert peers.follow_in_s is None
    assert device.removed == [MORE, new_key, new_key]


@pytest.mark.parametrize("is_own", [True, False])
def test_a_session_that_was_made_is_left_alone(
    device: FakeDevice, monkeypatch: pytest.MonkeyPatch, is_own: bool
) -> None:
    clock = Clock()
    peers = table(device, clock)
    peers.write(rows(OWN, MORE), [])
    if is_own:
        own_pair(monkeypatch, LEAST)
        peers.write(rows(LEAST, MORE), [])
    else:
        peers.write(rows(OWN, MOST), [MORE])
    device.shake_hands()
    removed = [MORE]
    assert device.removed == removed
    clock.now_s += 2 * COURTESY_S
    assert peers.follow() == []
    assert device.removed == removed
    assert list(device.keepalives().values()) == [KEEPALIVE_S]
    assert peers.follow_in_s is None


@pytest.mark.parametrize("new_key", [LEAST, MOST])
@pytest.mark.parametrize("is_told_first", [True, False])
def test_two_with_new_keys_do_not_begin_at_one_moment(
    device: FakeDevice, monkeypatch: pytest.MonkeyPatch, new_key: str, is_told_first: bool
) -> None:
    clock = Clock()
    peers = table(device, clock)
    peers.write(rows(MORE, LESS), [])
    own_pair(monkeypatch, OWN)
    if is_told_first:
        peers.write(rows(MORE, new_key), [LESS])
        peers.write(rows(OWN, new_key), [])
    else:
        peers.write(rows(OWN, LESS), [])
        peers.write(rows(OWN, new_key), [LESS])
    is_later = new_key < OWN
    if is_told_first:
        assert peers.follow_in_s == (COURTESY_S if is_later else 2 * COURTESY_S)
    else:
        assert device.keepalives() == {new_key: 0 if is_later else KEEPALIVE_S}
        assert device.endpoints() == {new_key: "" if is_later else "192.0.2.1"}


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
