"""`wireguard` and `wireguard_peers`: the device that encrypts, and the hosts that it knows.

The device may be wireguard-go's, and then it goes when that process dies; weftd hears of it as of
any damage, finds the row missing and makes both anew. What is as desired is left alone, so sessions
go on when weftd starts again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from pathlib import Path

from weft.engine.ebpf import rows
from weft.engine.ebpf.devices import Devices
from weft.engine.ebpf.rows import WEFTWG
from weft.engine.rows import RowFailure, RowKey
from weft.errors import UnavailableError, WeftError
from weft.kernel import sysctl
from weft.kernel.addresses import add_address, addresses, delete_address
from weft.kernel.links import Link, forbid_link_local, set_mtu, set_queue, set_up
from weft.kernel.routes import PROTOCOL, add_route, await_own, routes
from weft.kernel.wireguard import device, key_file
from weft.kernel.wireguard.key_file import raw, text
from weft.kernel.wireguard.state import (
    KEY_BYTES,
    DeviceChange,
    DeviceState,
    Endpoint,
    Peer,
    PeerSetting,
    WireGuard,
)
from weft.model.addresses import ip_network
from weft.model.service_addresses import WIREGUARD6

KEEPALIVE_S = 25
"""Sessions are made as soon as both ends know each other, and firewalls between them stay open."""
COURTESY_S = 1.0
"""How long one of two hosts leaves the first handshake to the other. Where both begin at one
moment, each forgets its own for the other's, both wait 5 s, and may do the same again; and who has
just answered does not try again before its next keepalive."""
FRESH_S = 180.0
"""A session lives as long (WireGuard's REJECT_AFTER_TIME): an endpoint that its packets came from
is as good as the one that was configured."""
_HOST_BITS = 128
_QUEUE_PACKETS = 2000
"""For wireguard-go, which takes packets one by one: what a burst of TCP brings must wait in the
device, where 500 is usual, or is lost."""


class WireGuardTable:
    """`wireguard`. See `engine.rows.Table`."""

    name = rows.WIREGUARD

    def __init__(
        self, devices: Devices, run_dir: Path, state_dir: Path, on_new: Callable[[], None]
    ) -> None:
        """`on_new` makes the programs know a device that was made after they were loaded; it calls
        `ensure`."""
        self._on_new = on_new
        self._devices = devices
        self._netlink = devices.netlink
        self._run_dir = run_dir
        self._state_dir = state_dir
        self._ifindex = 0

    def ensure(self, is_wanted: bool) -> int:
        """Make the device, if it is wanted and not there, before programs are loaded that must
        know its ifindex. That, or the one that it had; 0: there never was one.

        Why it cannot be made is said when the row is written.
        """
        link = self._devices.look_up(WEFTWG)
        if link is None and is_wanted:
            with contextlib.suppress(WeftError, OSError):
                device.make(self._netlink, WEFTWG, self._run_dir)
                link = self._devices.look_up(WEFTWG)
        if link is not None:
            self._ifindex = link.ifindex
        return self._ifindex

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Table.read`. A device that does not answer reads back as words."""
        link = self._devices.look_up(WEFTWG)
        if link is None:
            return {}
        if not device.is_ours(link):
            return {WEFTWG: f"a device of kind {link.kind}"}
        try:
            return {WEFTWG: self._described(link, _control(link, self._run_dir).read())}
        except WeftError as error:
            return {WEFTWG: str(error)}

    def _described(self, link: Link, state: DeviceState) -> rows.WireGuardValue:
        pair = key_file.read(self._state_dir)
        is_known = pair is not None and pair.private_key == state.private_key
        held = [entry.address for entry in addresses(self._netlink, link.ifindex)]
        is_routed = any(
            route.ifindex == link.ifindex and route.protocol == PROTOCOL
            for route in routes(self._netlink)
            if route.prefix == WIREGUARD6
        )
        is_whole = link.is_up and is_routed and len(held) == 1
        return rows.WireGuardValue(
            public_key=pair.public_key if pair is not None and is_known else "",
            port=state.port,
            address=held[0] if is_whole else None,
            mtu_bytes=link.mtu_bytes,
        )

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Table.write`."""
        failures = []
        for key in deletes:
            failures += self._try(key, self._remove)
        for key, value in upserts.items():
            assert isinstance(value, rows.WireGuardValue)
            failures += self._try(key, partial(self._set_up, value))
        return failures

    def _try(self, key: Hashable, step: Callable[[], None]) -> list[RowFailure]:
        try:
            step()
        except (WeftError, OSError) as error:
            return [RowFailure(RowKey(self.name, key), str(error))]
        return []

    def _remove(self) -> None:
        device.remove(self._netlink, WEFTWG, self._run_dir)
        self._devices.forget(WEFTWG)

    def _set_up(self, wanted: rows.WireGuardValue) -> None:
        link, control, state = self._sound_device()
        if link.ifindex != self._ifindex:
            self._on_new()
        pair = key_file.read(self._state_dir)
        if pair is None or pair.public_key != wanted.public_key:
            raise UnavailableError(f"device {WEFTWG}: its private key is not there (any more)")
        change = DeviceChange(
            private_key=pair.private_key if pair.private_key != state.private_key else None,
            port=wanted.port if wanted.port != state.port else None,
        )
        if change != DeviceChange():
            control.write(change)
        self._set_up_link(link, wanted)

    def _sound_device(self) -> tuple[Link, WireGuard, DeviceState]:
        """The device, made anew when it is another's or does not answer."""
        link = self._devices.look_up(WEFTWG)
        if link is not None and device.is_ours(link):
            control = _control(link, self._run_dir)
            try:
                return link, control, control.read()
            except UnavailableError:
                pass
        if link is not None:
            device.replace(self._netlink, WEFTWG, self._run_dir)
        else:
            device.make(self._netlink, WEFTWG, self._run_dir)
        link = self._devices.look_up(WEFTWG)
        if link is None:
            raise UnavailableError(f"device {WEFTWG}: it is gone as soon as it is made")
        control = _control(link, self._run_dir)
        return link, control, control.read()

    def _set_up_link(self, link: Link, wanted: rows.WireGuardValue) -> None:
        ifindex = link.ifindex
        sysctl.ensure(f"net/ipv6/conf/{WEFTWG}/disable_ipv6", "0")
        if link.mtu_bytes != wanted.mtu_bytes:
            self._netlink.do(set_mtu(ifindex, wanted.mtu_bytes))
        self._netlink.do(
            set_queue(ifindex, _QUEUE_PACKETS), forbid_link_local(ifindex), set_up(ifindex)
        )
        held = {entry.address: entry.prefix_length for entry in addresses(self._netlink, ifindex)}
        stale = [
            delete_address(ifindex, address, length)
            for address, length in held.items()
            if address != wanted.address
        ]
        assert wanted.address is not None
        add = add_address(ifindex, wanted.address, _HOST_BITS, has_prefix_route=False)
        self._netlink.do(*stale, add, add_route(WIREGUARD6, ifindex, source=wanted.address))
        await_own(self._netlink, [wanted.address])
        device.make_room(WEFTWG, self._run_dir)


class WireGuardPeerTable:
    """`wireguard_peers`. See `engine.rows.Table`."""

    name = rows.WIREGUARD_PEERS

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
        self._courteous: dict[str, tuple[float, rows.WireGuardPeerValue]] = {}
        """Peers to which the first handshake is left, and until when."""

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Table.read`. A host that sends from elsewhere, and authentically, stays there."""
        link = self._devices.look_up(WEFTWG)
        if link is None or not device.is_ours(link):
            return {}
        try:
            peers = _control(link, self._run_dir).read().peers
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
        found = rows.WireGuardPeerValue(prefix.network_address, endpoint.address, endpoint.port)
        if isinstance(desired, rows.WireGuardPeerValue) and found.address == desired.address:
            is_fresh = self._wall_s() - peer.handshake_s < FRESH_S
            return desired if is_fresh else found
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Table.write`. All go in one message; where that is refused, one by one, so that
        what is wrong with one host's row leaves out that host alone."""
        gone = [key for key in deletes if isinstance(key, str) and _is_key(key)]
        wanted = {
            key: value
            for key, value in upserts.items()
            if isinstance(key, str) and isinstance(value, rows.WireGuardPeerValue)
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
        failures += self._tell(_control(link, self._run_dir), list(map(raw, gone)), settings)
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

    def _begin(self, peers: Mapping[str, rows.WireGuardPeerValue]) -> list[RowFailure]:
        """WireGuard sends at once to a peer that it is told to keep alive."""
        link = self._devices.look_up(WEFTWG)
        if link is None:
            return []  # and no row either, so the next look makes all anew
        settings = {
            key: _setting(key, value, keepalive_s=KEEPALIVE_S) for key, value in peers.items()
        }
        return self._tell(_control(link, self._run_dir), [], settings)


def _is_key(key: str) -> bool:
    try:
        return len(raw(key)) == KEY_BYTES
    except WeftError:
        return False


def _setting(key: str, value: rows.WireGuardPeerValue, *, keepalive_s: int) -> PeerSetting:
    endpoint = Endpoint(value.endpoint, value.port)
    return PeerSetting(raw(key), endpoint, frozenset({ip_network(value.address)}), keepalive_s)


def _control(link: Link, run_dir: Path) -> WireGuard:
    return device.control_of(link, run_dir)
