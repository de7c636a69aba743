"""Maps by ifindex that are two: an array for devices with a berth, and a hash for the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weft.errors import KernelError
from weft.kernel.bpf.layouts import Berth
from weft.kernel.bpf.maps import BpfMap

_RANGE = range(Berth.FIRST_IFINDEX, Berth.FIRST_IFINDEX + Berth.BERTHS)


def has_berth(ifindex: int) -> bool:
    """Whether arrays have the device."""
    return ifindex in _RANGE


class Berths:
    """Both maps as one, whose keys are ifindexes; see `maps.Entries`."""

    def __init__(self, array: BpfMap, others: BpfMap) -> None:
        """Both remain the caller's."""
        self._array = array
        self._others = others

    def lookup(self, key: bytes) -> bytes | None:
        """One value; None: there is no entry."""
        berth = _berth(key)
        return self._others.lookup(key) if berth is None else self._array.lookup(berth)

    def read(self) -> dict[bytes, bytes]:
        """All entries."""
        return {_key(berth): value for berth, value in self._array.read().items()} | (
            self._others.read()
        )

    def read_summed(self) -> dict[bytes, tuple[int, ...]]:
        """See `BpfMap.read_summed`."""
        return {_key(berth): value for berth, value in self._array.read_summed().items()} | (
            self._others.read_summed()
        )

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, KernelError]:
        """Write entries; gives those that were refused."""
        berths, others = _parted(items)
        failures = self._array.update({berth: items[key] for berth, key in berths.items()})
        return {berths[berth]: error for berth, error in failures.items()} | (
            self._others.update({key: items[key] for key in others})
        )

    def delete(self, keys: Iterable[bytes]) -> dict[bytes, KernelError]:
        """Remove entries; gives those that were refused."""
        berths, others = _parted(keys)
        failures = self._array.delete(berths)
        return {berths[berth]: error for berth, error in failures.items()} | (
            self._others.delete(others)
        )


def _parted(keys: Iterable[bytes]) -> tuple[dict[bytes, bytes], list[bytes]]:
    """(berth -> key of those that have one, keys of the others)."""
    berths: dict[bytes, bytes] = {}
    others = []
    for key in keys:
        berth = _berth(key)
        if berth is None:
            others.append(key)
        else:
            berths[berth] = key
    return berths, others


def _berth(key: bytes) -> bytes | None:
    ifindex = int.from_bytes(key, "little")
    return (ifindex - _RANGE.start).to_bytes(4, "little") if ifindex in _RANGE else None


def _key(berth: bytes) -> bytes:
    return (int.from_bytes(berth, "little") + _RANGE.start).to_bytes(4, "little")
