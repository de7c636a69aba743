"""Which tunnels carry packets, as the programs note it in their entries."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import NamedTuple

from weft.errors import KernelError
from weft.kernel.bpf.layouts import Tunnel, TunnelFlag
from weft.kernel.bpf.maps import BpfMap
from weft.model.addresses import IPAddress, address_in_packets

MAP = "tunnels_v1"


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
        self._map = bpffs_dir / "maps" / MAP
        self._entries: dict[bytes, bytes] = {}
        self._used: dict[int, Used] = {}

    def used(self) -> Mapping[int, Used]:
        """By the tag of the host at the tunnel's other end. As before, when the map cannot be read:
        it is looked up anew each time, for it is made anew when somebody removed it."""
        with contextlib.suppress(KernelError), BpfMap.open(self._map) as tunnels:
            entries = tunnels.read()
            used: dict[int, Used] = {}
            for key, raw in entries.items():
                tag = int.from_bytes(key, "little")
                used[tag] = self._used[tag] if self._entries.get(key) == raw else _of(raw)
            self._entries, self._used = entries, used
        return self._used


def _of(raw: bytes) -> Used:
    tunnel = Tunnel.decode(raw)
    if not tunnel.flags & TunnelFlag.TUNNEL_RELAY:
        return Used(tunnel.used)
    return Used(tunnel.used, address_in_packets(IPv6Address(tunnel.remote)))
