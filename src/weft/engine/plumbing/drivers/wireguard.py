"""`wireguard`: the device that encrypts.

The device may be wireguard-go's, and then it goes when that process dies; weftd hears of it as of
any damage, finds the row missing and makes both anew. What is as desired is left alone, so sessions
go on when weftd starts again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from pathlib import Path

from weft.engine.plumbing.device_names import WEFTWG
from weft.engine.plumbing.devices import Devices
from weft.engine.plumbing.tables.wireguard import (
    WIREGUARD,
    WireGuardValue,
)
from weft.engine.rows import RowFailure, RowKey
from weft.errors import UnavailableError, WeftError
from weft.kernel import sysctl
from weft.kernel.addresses import add_address, addresses, delete_address
from weft.kernel.links import Link, forbid_link_local, set_mtu, set_queue, set_up
from weft.kernel.routes import PROTOCOL, add_route, await_own, routes
from weft.kernel.wireguard import device, key_file
from weft.kernel.wireguard.state import (
    DeviceChange,
    DeviceState,
    WireGuard,
)
from weft.model.service_addresses import WIREGUARD6

_HOST_BITS = 128
_QUEUE_PACKETS = 2000
"""For wireguard-go, which takes packets one by one: what a burst of TCP brings must wait in the
device, where 500 is usual, or is lost."""


class WireGuardDriver:
    """`wireguard`. See `engine.rows.Driver`."""

    name = WIREGUARD.name

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
        """See `Driver.read`. A device that does not answer reads back as words."""
        link = self._devices.look_up(WEFTWG)
        if link is None:
            return {}
        if not device.is_ours(link):
            return {WEFTWG: f"a device of kind {link.kind}"}
        try:
            return {WEFTWG: self._described(link, device.control_of(link, self._run_dir).read())}
        except WeftError as error:
            return {WEFTWG: str(error)}

    def _described(self, link: Link, state: DeviceState) -> WireGuardValue:
        pair = key_file.read(self._state_dir)
        is_known = pair is not None and pair.private_key == state.private_key
        held = [entry.address for entry in addresses(self._netlink, link.ifindex)]
        is_routed = any(
            route.ifindex == link.ifindex and route.protocol == PROTOCOL
            for route in routes(self._netlink)
            if route.prefix == WIREGUARD6
        )
        is_whole = link.is_up and is_routed and len(held) == 1
        return WireGuardValue(
            public_key=pair.public_key if pair is not None and is_known else "",
            port=state.port,
            address=held[0] if is_whole else None,
            mtu_bytes=link.mtu_bytes,
        )

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        failures = []
        for key in deletes:
            failures += self._try(key, self._remove)
        for key, value in upserts.items():
            assert isinstance(value, WireGuardValue)
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

    def _set_up(self, wanted: WireGuardValue) -> None:
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
            control = device.control_of(link, self._run_dir)
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
        control = device.control_of(link, self._run_dir)
        return link, control, control.read()

    def _set_up_link(self, link: Link, wanted: WireGuardValue) -> None:
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
