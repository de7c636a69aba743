"""`ports`: a map like the others, by whose entries programs count and ifindexes are spared."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping

from weft.engine.ebpf.drivers.sources import SourceDriver
from weft.engine.ebpf.map_table import Names
from weft.engine.ebpf.tables.ports import PORTS
from weft.engine.plumbing.devices import Devices
from weft.engine.rows import RowFailure
from weft.kernel.bpf import berths, counters
from weft.kernel.bpf.maps import BpfMap


class PortDriver(SourceDriver):
    """See `engine.rows.Driver`."""

    def __init__(
        self,
        open_maps: Callable[[], Mapping[str, BpfMap]],
        devices: Devices,
        names: Names,
        changing: Callable[[str], None],
    ) -> None:
        """`open_maps` gives all maps that are in use now; `changing`: see `SourceDriver`."""
        super().__init__(PORTS, lambda: berths.ports(open_maps()), names, changing)
        self._open_maps = open_maps
        self._devices = devices

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. The ifindex of a device that is gone is spared as long as it has an
        entry, for others may name it then: an entry of this map goes after those."""
        found = super().read(desired)
        gone = (str(key)[1:] for key in found if str(key).startswith("#"))
        self._devices.spare(int(ifindex) for ifindex in gone)
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`. What a port sends is counted from its entry on."""
        links = (self._devices.find(str(ifname)) for ifname in upserts)
        counters.begin(self._open_maps(), (link.ifindex for link in links if link is not None))
        return super().write(upserts, deletes)
