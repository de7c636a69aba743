"""Maps by ifindex that are two: an array for devices with a berth, and a hash for the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weft.errors import KernelError
from weft.kernel.bpf.layouts import Berth
from weft.kernel.bpf.maps import BpfMap

PORTS, OTHER_PORTS = "ports_v2", "other_ports_v1"
_RANGE = range(Berth.FIRST_IFINDEX, Berth.FIRST_IFINDEX + Berth.BERTHS)
_SIZE = 4
_MISPLACED = b"!"


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
        """All entries. One of the hash that would belong into the array has a key that is longer
        than an ifindex, so that it is taken for no device's."""
        others = self._others.read().items()
        return {_key(berth): value for berth, value in self._array.read().items()} | {
            key if _berth(key) is None else key + _MISPLACED: value for key, value in others
        }

    def read_summed(self) -> dict[bytes, tuple[int, ...]]:
        """See `BpfMap.read_summed`."""
        return self._others.read_summed() | {
            _key(berth): value for berth, value in self._array.read_summed().items()
        }

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, KernelError]:
        """Write entries; gives those that were refused."""
        berths, others = _parted(items)
        return _under(
            berths, self._array.update({each: items[key] for each, key in berths.items()})
        ) | _under(others, self._others.update({each: items[key] for each, key in others.items()}))

    def delete(self, keys: Iterable[bytes]) -> dict[bytes, KernelError]:
        """Remove entries; gives those that were refused."""
        berths, others = _parted(keys)
        return _under(berths, self._array.delete(berths)) | _under(
            others, self._others.delete(others)
        )


def ports(maps: Mapping[str, BpfMap]) -> Berths:
    """The two maps of ports."""
    return Berths(maps[PORTS], maps[OTHER_PORTS])


def _parted(keys: Iterable[bytes]) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Of the array and of the hash: the map's own key, and the one that was given."""
    berths: dict[bytes, bytes] = {}
    others: dict[bytes, bytes] = {}
    for key in keys:
        berth = _berth(key)
        if berth is None:
            others[key.removesuffix(_MISPLACED) if len(key) > _SIZE else key] = key
        else:
            berths[berth] = key
    return berths, others


def _under(
    given: Mapping[bytes, bytes], failures: Mapping[bytes, KernelError]
) -> dict[bytes, KernelError]:
    """Failures under the keys that the caller gave."""
    return {given[key]: error for key, error in failures.items()}


def _berth(key: bytes) -> bytes | None:
    """None: the hash has it."""
    ifindex = int.from_bytes(key, "little")
    if len(key) > _SIZE or ifindex not in _RANGE:
        return None
    return (ifindex - _RANGE.start).to_bytes(_SIZE, "little")


def _key(berth: bytes) -> bytes:
    return (int.from_bytes(berth, "little") + _RANGE.start).to_bytes(_SIZE, "little")
