"""Tunnels as the programs see them."""

from __future__ import annotations

from pathlib import Path

from weft.kernel.bpf.layouts import Tunnel
from weft.kernel.bpf.maps import BpfMap
from weft.kernel.tunnel_traffic import MAP, WAYS_MAP


def tunnel_to(bpffs_dir: str, tag: int) -> Tunnel | None:
    """The way to a host; None: there is none."""
    with BpfMap.open(Path(bpffs_dir) / "maps" / WAYS_MAP) as ways:
        way = ways.lookup(tag.to_bytes(4, "little"))
    if way is None:
        return None
    with BpfMap.open(Path(bpffs_dir) / "maps" / MAP) as tunnels:
        raw = tunnels.lookup(way[:4])
    tunnel = Tunnel.decode(raw) if raw is not None else None
    return tunnel if tunnel is not None and tunnel.tag == tag else None
