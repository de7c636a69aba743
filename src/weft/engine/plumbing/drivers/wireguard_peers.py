"""`wireguard_peers`: the hosts that the device knows, and who begins a handshake."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from weft.engine.plumbing.device_names import WEFTWG
from weft.engine.plumbing.devices import Devices
from weft.engine.plumbing.tables.wireguard import (
    WIREGUARD_PEERS,
    WireGuardPeerValue,
)
from weft.engine.rows import RowFailure, RowKey
from weft.errors import WeftError
from weft.kernel.wireguard import device, key_file
from weft.kernel.wireguard.key_file import raw, text
from weft.kernel.wireguard.state import (
    KEY_BYTES,
    DeviceChange,
    Endpoint,
    Peer,
    PeerSetting,
    WireGuard,
)
from weft.model.addresses import IPNetwork, ip_network

KEEPALIVE_S = 25
"""Sessions are made as soon as both ends know each other, and firewalls between them stay open."""
COURTESY_S = 1.0
"""How long one of two hosts leaves the first handshake to the other. Where both begin at one
moment, each forgets its own for the other's, both wait 5 s, and may do the same again; and who has
just answered does not try again before its next keepalive."""
FRESH_S = 180.0
"""A session lives as long (WireGuard's REJECT_AFTER_TIME): an endpoint that its packets came from
is as good as the one that was configured."""
AGAIN_S = (0.25, 0.5)
"""After how long who begins with a new key begins anew when no session came of it, and then once
more. The key may be known here before its host has it in its device."""


class _Start(NamedTuple):
    """A peer whose session is being made."""

    value: WireGuardPeerValue
    is_left: bool
    """To the other host: the peer is set without an endpoint, so that not even a packet for it
    begins a handshake."""
    due_s: float
    """When to see to it, by the monotonic clock."""
    again_s: tuple[float, ...] = ()
    """After how long to do so again, and again."""


class WireGuardPeerDriver:
    """`wireguard_peers`. See `engine.rows.Driver`.

    When a host takes a new key, the others learn of it after it has taken it, so they begin, each
    at once, and it is silent for a moment: what it sent before they knew its key would be in vain,
    and what it sent just when they do would cross theirs.
    """

    name = WIREGUARD_PEERS.name

    def __init__(
        self,
        devices: Devices,
        run_dir: Path,
        state_dir: Path,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._devices = devices
        self._run_dir = run_dir
        self._state_dir = state_dir
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        self._starts: dict[str, _Start] = {}
        self._silent_until_s = -math.inf
        """This host has just taken a new key, until then."""

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. A host that sends from elsewhere, and authentically, stays there."""
        link = self._devices.look_up(WEFTWG)
        if link is None or not device.is_ours(link):
            return {}
        try:
            state = device.control_of(link, self._run_dir).read()
        except WeftError:
            return {}
        pair = key_file.read(self._state_dir)
        is_known = pair is not None and pair.private_key == state.private_key
        own_key = pair.public_key if pair is not None and is_known else ""
        return {
            text(key): self._described(text(key), peer, desired.get(text(key)), own_key)
            for key, peer in state.peers.items()
        }

    def _described(self, key: str, peer: Peer, desired: Hashable, own_key: str) -> Hashable:
        start = self._starts.get(key)
        endpoint = peer.endpoint
        if endpoint is None and start is not None:
            endpoint = Endpoint(start.value.endpoint, start.value.port)
        is_kept_alive = peer.keepalive_s == KEEPALIVE_S or start is not None
        if endpoint is None or len(peer.allowed) != 1 or not is_kept_alive:
            return f"endpoint {endpoint}, allowed {sorted(map(str, peer.allowed))}"
        (prefix,) = peer.allowed
        found = WireGuardPeerValue(prefix.network_address, endpoint.address, endpoint.port, own_key)
        if not isinstance(desired, WireGuardPeerValue):
            return found
        is_fresh = self._wall_s() - peer.handshake_s < FRESH_S
        if is_fresh and (found.address, own_key) == (desired.address, desired.own_key):
            return desired
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`. All go in one message; where that is refused, one by one, so that
        what is wrong with one host's row leaves out that host alone."""
        gone = [key for key in deletes if isinstance(key, str) and _is_key(key)]
        given = {
            key: value
            for key, value in upserts.items()
            if isinstance(key, str) and isinstance(value, WireGuardPeerValue)
        }
        wanted = {key: value for key, value in given.items() if _is_key(key)}
        failures = [
            RowFailure(RowKey(self.name, key), f"{key[:50]!r} is no key of WireGuard's")
            for key in given.keys() - wanted.keys()
        ]
        link = self._devices.look_up(WEFTWG)
        if link is None:
            self._starts.clear()
            reason = f"device {WEFTWG} is not there"
            return [RowFailure(RowKey(self.name, key), reason) for key in upserts]
        control = device.control_of(link, self._run_dir)
        starts = self._starts_of(wanted, gone, control)
        for key in (*gone, *wanted):
            self._starts.pop(key, None)
        left = {key for key, start in starts.items() if start.is_left}
        settings = {key: _setting(key, value, is_left=key in left) for key, value in wanted.items()}
        failures += self._tell(control, list(map(raw, [*gone, *left])), settings)
        failed = {failure.row.key for failure in failures}
        self._starts.update({key: each for key, each in starts.items() if key not in failed})
        return failures

    def _starts_of(
        self, wanted: Mapping[str, WireGuardPeerValue], gone: Iterable[str], control: WireGuard
    ) -> dict[str, _Start]:
        """Of those that are to be set, the peers to which more is to be done later."""
        before = _peers(control)
        pair = key_file.read(self._state_dir)
        made_s = pair.made_s if pair is not None else 0.0
        now_s = self._monotonic_s()
        replaced = {prefix for key in gone for prefix in _allowed(before.get(raw(key)))}
        starts = {}
        for key, value in wanted.items():
            peer = before.get(raw(key))
            if peer is not None and peer.handshake_s > made_s:
                continue  # there is a session of both keys, and it goes on
            is_theirs = key < value.own_key
            is_renewed = peer is not None and self._has_new_own_key(key, value, peer)
            if is_renewed:
                self._silent_until_s = now_s + COURTESY_S
            if is_renewed or (is_theirs and now_s < self._silent_until_s):
                # If both hosts have new keys, they do not begin at one moment.
                patience_s = COURTESY_S if is_theirs else 2 * COURTESY_S
                starts[key] = _Start(value, is_left=True, due_s=now_s + patience_s)
            elif ip_network(value.address) in replaced:
                first_s, *again_s = AGAIN_S
                starts[key] = _Start(value, False, now_s + first_s, tuple(again_s))
            elif is_theirs and peer is None:
                starts[key] = _Start(value, is_left=True, due_s=now_s + COURTESY_S)
        return starts

    def _has_new_own_key(self, key: str, value: WireGuardPeerValue, peer: Peer) -> bool:
        """Whether a peer is as it shall be but for this host's key."""
        return self._described(key, peer, value, value.own_key) == value

    def _tell(
        self, control: WireGuard, gone: list[bytes], peers: Mapping[str, PeerSetting]
    ) -> list[RowFailure]:
        try:
            control.write(DeviceChange(removed=gone, peers=list(peers.values())))
        except WeftError as error:
            if len(peers) + len(gone) < 2:
                return [RowFailure(RowKey(self.name, key), str(error)) for key in peers]
            steps = [DeviceChange(removed=[key]) for key in gone]
            for step in steps:
                with contextlib.suppress(WeftError):
                    control.write(step)  # what is left of it is found by the next look
            return [
                failure
                for key, peer in peers.items()
                for failure in self._tell(control, [], {key: peer})
            ]
        return []

    @property
    def follow_in_s(self) -> float | None:
        """When `follow` has something to do; None: not as it is now."""
        if not self._starts:
            return None
        return max(0.0, min(each.due_s for each in self._starts.values()) - self._monotonic_s())

    def follow(self) -> list[RowFailure]:
        """Begin the handshakes that others had the time to begin, if they did not, and those anew
        that came to nothing."""
        now_s = self._monotonic_s()
        due = {key: each for key, each in self._starts.items() if each.due_s <= now_s}
        for key in due:
            del self._starts[key]
        link = self._devices.look_up(WEFTWG)
        if not due or link is None:
            return []  # without the device there is no row either, so the next look makes all anew
        control = device.control_of(link, self._run_dir)
        made = {text(key) for key, peer in _peers(control).items() if peer.handshake_s}
        settings, anew = {}, []
        for key, start in due.items():
            if key not in made:
                anew.append(raw(key))  # else WireGuard waits until 5 s after it last tried
                if start.again_s:
                    next_s, *again_s = start.again_s
                    self._starts[key] = start._replace(due_s=now_s + next_s, again_s=tuple(again_s))
            if key not in made or start.is_left:
                settings[key] = _setting(key, start.value)
        return self._tell(control, anew, settings) if settings else []


def _peers(control: WireGuard) -> Mapping[bytes, Peer]:
    """Those of the device; none when it does not answer, which the next write tells."""
    try:
        return control.read().peers
    except WeftError:
        return {}


def _allowed(peer: Peer | None) -> frozenset[IPNetwork]:
    return peer.allowed if peer is not None else frozenset()


def _is_key(key: str) -> bool:
    try:
        return len(raw(key)) == KEY_BYTES
    except WeftError:
        return False


def _setting(key: str, value: WireGuardPeerValue, *, is_left: bool = False) -> PeerSetting:
    """WireGuard begins at once with a peer that it is told to keep alive."""
    endpoint = None if is_left else Endpoint(value.endpoint, value.port)
    keepalive_s = 0 if is_left else KEEPALIVE_S
    return PeerSetting(raw(key), endpoint, frozenset({ip_network(value.address)}), keepalive_s)
