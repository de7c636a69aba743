"""What rows say by name and maps by number, on this host: see `map_table.Names`."""

from __future__ import annotations

from weft.engine.ebpf.ways import Ways
from weft.engine.plumbing.devices import Devices


class HostNames:
    """Those of the devices and the ways that a sink's tables share."""

    def __init__(self, devices: Devices, ways: Ways) -> None:
        self._devices = devices
        self._ways = ways

    def ifindex(self, name: str) -> int:
        """See `Names.ifindex`."""
        return self._devices.ifindex(name)

    def name(self, ifindex: int) -> str:
        """See `Names.name`."""
        return self._devices.name(ifindex)

    def way(self, tag: int) -> int:
        """See `Names.way`."""
        return self._ways.of(tag)

    def known_way(self, tag: int) -> int:
        """See `Names.known_way`."""
        return self._ways.known(tag)
