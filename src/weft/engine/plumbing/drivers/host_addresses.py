"""`host_addresses`: Weft's addresses on weft0. No prefix routes come with them: routes are rows of
their own."""

from __future__ import annotations

import errno
from collections.abc import Hashable, Iterable, Mapping

from weft.engine.plumbing.device_names import WEFT0
from weft.engine.plumbing.devices import Devices
from weft.engine.plumbing.drivers.requests import is_moot, run
from weft.engine.plumbing.tables.host_addresses import HOST_ADDRESSES, HostAddressValue
from weft.engine.rows import RowFailure
from weft.kernel.addresses import DeviceAddress, add_address, addresses, delete_address
from weft.kernel.netlink import Request
from weft.kernel.routes import await_own
from weft.model.addresses import IPAddress


class HostAddressDriver:
    """See `engine.rows.Driver`."""

    name = HOST_ADDRESSES.name

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._netlink = devices.netlink

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. An address of several prefix lengths reads back as one that is not
        desired, and is put right."""
        found: dict[Hashable, Hashable] = {key: desired[key] for key in desired if is_moot(key)}
        for entry in self._held():
            value: Hashable = HostAddressValue(entry.prefix_length)
            if entry.address in found:
                value = "several prefix lengths"
            found[entry.address] = value
        return found

    def _held(self) -> list[DeviceAddress]:
        link = self._devices.find(WEFT0)
        return addresses(self._netlink, link.ifindex) if link is not None else []

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        ifindex = self._devices.ifindex(WEFT0)
        held: dict[IPAddress, list[int]] = {}
        for entry in self._held():
            held.setdefault(entry.address, []).append(entry.prefix_length)
        requests: list[tuple[Hashable, Request]] = []
        for address in deletes:
            assert isinstance(address, IPAddress)
            for length in held.get(address, []):
                requests.append((address, delete_address(ifindex, address, length)))
        for address, value in upserts.items():
            assert isinstance(address, IPAddress) and isinstance(value, HostAddressValue)
            for length in held.get(address, []):
                if length != value.prefix_length:
                    requests.append((address, delete_address(ifindex, address, length)))
            add = add_address(ifindex, address, value.prefix_length, has_prefix_route=False)
            requests.append((address, add))
        failures = run(self._netlink, self.name, requests, errno.EADDRNOTAVAIL)
        failed = {failure.row.key for failure in failures}
        added = (address for address in upserts if isinstance(address, IPAddress))
        await_own(
            self._netlink, (each for each in added if each not in failed and not is_moot(each))
        )
        return failures
