"""What the tables of flows take, as the kernel counts it and by what its allocator has more."""

from __future__ import annotations

from pathlib import Path

from weft.config import Settings
from weft.errors import UnavailableError
from weft.kernel.bpf.flow_table import MAPS, FlowTable
from weft.kernel.bpf.maps import BpfMap


def bpffs_of(pid: int) -> Path:
    """Where a weftd has pinned its maps, in its own mounts."""
    return Path(f"/proc/{pid}/root{Settings().bpffs_dir}")


def entries(pid: int) -> int:
    """Of flows of IPv4."""
    with FlowTable(bpffs_of(pid)) as table:
        return sum(batch.entries for batch in table.batches(is_ipv6=False))


def counted_mb(pid: int) -> float:
    """Of the tables of both families, in 10**6 bytes."""
    found = 0
    for name in MAPS.values():
        with BpfMap.open(bpffs_of(pid) / "maps" / name) as opened:
            found += _memory_bytes(Path(f"/proc/self/fdinfo/{opened.fd}").read_text())
    return found / 1e6


def _memory_bytes(fdinfo: str) -> int:
    for line in fdinfo.splitlines():
        key, _, value = line.partition(":")
        if key == "memlock":
            return int(value)
    raise UnavailableError("this kernel does not say what a map takes")


def slab_mb() -> float:
    """Of the kernel's allocator, from which entries are taken, in 10**6 bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "Slab":
            return int(value.split()[0]) * 1024 / 1e6
    raise UnavailableError("/proc/meminfo does not say what the kernel's allocator has")
