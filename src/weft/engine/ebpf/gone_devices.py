"""What programs have written about devices that are gone: it goes, too.

A device made later may get the ifindex of one that is gone. It must not find that one's counters,
its limits, or answers to its DNS queries.
"""

from __future__ import annotations

from collections.abc import Mapping

from weft.engine.plumbing.devices import Devices
from weft.kernel.bpf.berths import Berths
from weft.kernel.bpf.counters import COUNTERS, DROPS, OTHERS
from weft.kernel.bpf.maps import BpfMap, Entries

BY_IFINDEX = (DROPS, "answers_v1", "reports_v1", "queries_v1", "dns_flows_v1")
"""Maps that programs write whose keys begin with an ifindex. Their entries come by themselves."""


class GoneDevices:
    """Knows whether what was there before this weftd has been looked through."""

    def __init__(self) -> None:
        self._is_first = True

    def forget(self, maps: Mapping[str, BpfMap], devices: Devices) -> None:
        """Call it after each look at the devices. Costs nothing when none has gone."""
        if not self._is_first and not devices.gone:
            return
        counters = Berths(maps[COUNTERS], maps[OTHERS])
        by_ifindex: list[Entries] = [counters, *(maps[name] for name in BY_IFINDEX)]
        for each in by_ifindex:
            each.delete([key for key in each.read() if self._is_stale(key, devices)])
        self._is_first = False
        devices.gone.clear()

    def _is_stale(self, key: bytes, devices: Devices) -> bool:
        ifindex = int.from_bytes(key[:4], "little")
        return not devices.is_there(ifindex) if self._is_first else ifindex in devices.gone
