"""`wireguard_peers`: the hosts that the device knows, and who begins a handshake."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path

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
from weft.model.addresses import ip_network

KEEPALIVE_S = 25
"""Sessions are made as soon as both ends know each other, and firewalls between them stay open."""
COURTESY_S = 1.0
"""How long one of two hosts leaves the first handshake to the other. Where both begin at one
moment, each forgets its own for the other's, both wait 5 s, and may do the same again; and who has
just answered does not try again before its next keepalive."""
FRESH_S = 180.0
"""A session lives as long (WireGuard's REJECT_AFTER_TIME): an endpoint that its packets came from
is as good as the one that was configured."""


class WireGuardPeerDriver:
    """`wireguard_peers`. See `engine.rows.Driver`."""

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
        self._courteous: dict[str, tuple[float, WireGuardPeerValue]] = {}
        """Peers to which the first handshake is left, and until when."""

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. A host that sends from elsewhere, and authentically, stays there."""
        link = self._devices.look_up(WEFTWG)
        if link is None or not device.is_ours(link):
            return {}
        try:
            peers = device.control_of(link, self._run_dir).read().peers
        except WeftError:
            return {}
        return {
            text(key): self._described(text(key), peer, desired.get(text(key)))
            for key, peer in peers.items()
        }

    def _described(self, key: str, peer: Peer, desired: Hashable) -> Hashable:
        endpoint = peer.endpoint
        is_kept_alive = peer.keepalive_s == KEEPALIVE_S or key in self._courteous
        if endpoint is None or len(peer.allowed) != 1 or not is_kept_alive:
            return f"endpoint {endpoint}, allowed {sorted(map(str, peer.allowed))}"
        (prefix,) = peer.allowed
        found = WireGuardPeerValue(prefix.network_address, endpoint.address, endpoint.port)
        if isinstance(desired, WireGuardPeerValue) and found.address == desired.address:
            is_fresh = self._wall_s() - peer.handshake_s < FRESH_S
            return desired if is_fresh else found
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`. All go in one message; where that is refused, one by one, so that
        what is wrong with one host's row leaves out that host alone."""
        gone = [key for key in deletes if isinstance(key, str) and _is_key(key)]
        wanted = {
            key: value
            for key, value in upserts.items()
            if isinstance(key, str) and isinstance(value, WireGuardPeerValue)
        }
        for key in (*gone, *wanted):
            self._courteous.pop(key, None)
        pair = key_file.read(self._state_dir)
        until_s = self._monotonic_s() + COURTESY_S
        late = {
            key: (until_s, value)
            for key, value in wanted.items()
            if pair is not None and key < pair.public_key
        }
        settings = {
            key: _setting(key, value, keepalive_s=0 if key in late else KEEPALIVE_S)
            for key, value in wanted.items()
            if _is_key(key)
        }
        failures = [
            RowFailure(RowKey(self.name, key), f"{key[:50]!r} is no key of WireGuard's")
            for key in wanted.keys() - settings.keys()
        ]
        link = self._devices.look_up(WEFTWG)
        if link is None:
            reason = f"device {WEFTWG} is not there"
            return [RowFailure(RowKey(self.name, key), reason) for key in upserts]
        failures += self._tell(
            device.control_of(link, self._run_dir), list(map(raw, gone)), settings
        )
        failed = {failure.row.key for failure in failures}
        self._courteous.update({key: each for key, each in late.items() if key not in failed})
        return failures

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
        if not self._courteous:
            return None
        return max(0.0, min(self._courteous.values())[0] - self._monotonic_s())

    def follow(self) -> list[RowFailure]:
        """Begin the handshakes that others had the time to begin, if they did not."""
        now_s = self._monotonic_s()
        due = {key: value for key, (at_s, value) in self._courteous.items() if at_s <= now_s}
        for key in due:
            del self._courteous[key]
        return self._begin(due) if due else []

    def _begin(self, peers: Mapping[str, WireGuardPeerValue]) -> list[RowFailure]:
        """WireGuard sends at once to a peer that it is told to keep alive."""
        link = self._devices.look_up(WEFTWG)
        if link is None:
            return []  # and no row either, so the next look makes all anew
        settings = {
            key: _setting(key, value, keepalive_s=KEEPALIVE_S) for key, value in peers.items()
        }
        return self._tell(device.control_of(link, self._run_dir), [], settings)


def _is_key(key: str) -> bool:
    try:
        return len(raw(key)) == KEY_BYTES
    except WeftError:
        return False


def _setting(key: str, value: WireGuardPeerValue, *, keepalive_s: int) -> PeerSetting:
    endpoint = Endpoint(value.endpoint, value.port)
    return PeerSetting(raw(key), endpoint, frozenset({ip_network(value.address)}), keepalive_s)
