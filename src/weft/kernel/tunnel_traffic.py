"""Which tunnels carry packets, as the programs note it in their entries."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import NamedTuple

from weft.errors import KernelError
from weft.kernel.bpf.layouts import Tunnel, TunnelFlag, Way
from weft.kernel.bpf.maps import BpfMap
from weft.model.addresses import IPAddress, address_in_packets

MAP, WAYS_MAP = "tunnels_v2", "ways_v1"


class Used(NamedTuple):
    """What the programs note of a tunnel."""

    mark: int
    """Another number a few seconds later, when packets were sent then. 0: none was sent since
    weftd wrote the entry."""
    relay: IPAddress | None = None
    """The address to which the packets go, when that is a relay's; None: they go straight."""


class TunnelTraffic:
    """Of the programs that are pinned below a directory."""

    def __init__(self, bpffs_dir: Path) -> None:
        self._maps = bpffs_dir / "maps"
        self._entries: dict[bytes, bytes] = {}
        self._used: dict[int, Used] = {}

    def used(self) -> Mapping[int, Used]:
        """By the tag of the host at the tunnel's other end. As before, when the map cannot be read:
        it is looked up anew each time, for it is made anew when somebody removed it."""
        with contextlib.suppress(KernelError):
            entries = self._read()
            used: dict[int, Used] = {}
            for way, raw in entries.items():
                tunnel = Tunnel.decode(raw)
                is_same = self._entries.get(way) == raw
                used[tunnel.tag] = self._used[tunnel.tag] if is_same else _of(tunnel)
            self._entries, self._used = entries, used
        return self._used

    def _read(self) -> dict[bytes, bytes]:
        """Of the array as much as there are ways in use, for reading all of it would cost more than
        all else that weftd does when nothing happens."""
        with BpfMap.open(self._maps / WAYS_MAP) as ways:
            found = ways.read()
        last = max((Way.decode(raw).way for raw in found.values()), default=0)
        with BpfMap.open(self._maps / MAP) as tunnels:
            return tunnels.read_first(last + 1)


def _of(tunnel: Tunnel) -> Used:
    if not tunnel.flags & TunnelFlag.TUNNEL_RELAY:
        return Used(tunnel.used)
    return Used(tunnel.used, address_in_packets(IPv6Address(tunnel.remote)))
