"""`tunnels`: the ways to other hosts, with the next hop that the kernel has for each just now.

Rows say addresses; this table adds device, MACs and source. A tunnel whose next hop is not
resolved, or is no Ethernet neighbour, goes by the VXLAN device, which asks the kernel for every
packet.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping

from weft.engine.ebpf import rows
from weft.engine.ebpf.codecs import decode_address, encode_address, encode_mac
from weft.engine.ebpf.next_hops import NextHop, NextHops
from weft.engine.rows import RowFailure, RowKey
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import TunnelFlag
from weft.kernel.bpf.maps import BpfMap
from weft.model.addresses import IPAddress

MAP = "tunnels_v1"


class TunnelTable:
    """See `engine.rows.Table`."""

    name = rows.TUNNELS

    def __init__(self, next_hops: NextHops, open_map: Callable[[], BpfMap]) -> None:
        self._next_hops = next_hops
        self._open_map = open_map
        self._wanted: dict[Hashable, rows.TunnelValue] = {}
        self._written: dict[bytes, bytes] = {}

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Table.read`. An entry whose next hop is not the present one reads back as words."""
        self._wanted = _tunnels(desired)
        wanted = self._encoded()
        self._written = {key: as_written(raw) for key, raw in self._open_map().read().items()}
        found: dict[Hashable, Hashable] = {}
        for raw_key, raw in self._written.items():
            tag = int.from_bytes(raw_key, "little")
            found[tag] = self._wanted[tag] if wanted.get(raw_key) == raw else describe(raw)
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Table.write`."""
        gone = [_key(tag) for tag in deletes]
        for raw_key in gone:
            self._wanted.pop(int.from_bytes(raw_key, "little"), None)
            self._written.pop(raw_key, None)
        errors = self._open_map().delete(gone) if gone else {}
        failures = [_failure(raw_key, error) for raw_key, error in errors.items()]
        changed = _tunnels(upserts)
        self._wanted.update(changed)
        for tag in changed:
            self._written.pop(_key(tag), None)
        return failures + self.follow() if changed else failures

    def follow(self) -> list[RowFailure]:
        """Look next hops up again, and write what is different. Linear in the tunnels."""
        wanted = self._encoded()
        changed = {key: raw for key, raw in wanted.items() if self._written.get(key) != raw}
        if not changed:
            return []
        errors = self._open_map().update(changed)
        self._written.update({key: raw for key, raw in changed.items() if key not in errors})
        return [_failure(raw_key, error) for raw_key, error in errors.items()]

    def _encoded(self) -> dict[bytes, bytes]:
        hops = self._next_hops.resolve(value.remote for value in self._wanted.values())
        return {_key(tag): encode(value, hops[value.remote]) for tag, value in self._wanted.items()}


def encode(value: rows.TunnelValue, hop: NextHop) -> bytes:
    """The entry of a tunnel whose next hop is this."""
    flags = TunnelFlag(0)
    if value.is_device or not hop.mac:
        flags |= TunnelFlag.TUNNEL_DEVICE
    if value.remote.version == 6:
        flags |= TunnelFlag.TUNNEL_IPV6
    if value.destination_tag:
        flags |= TunnelFlag.TUNNEL_RELAY
    return layouts.Tunnel(
        ifindex=hop.ifindex,
        flags=flags,
        next_hop=encode_mac(hop.mac),
        source_mac=encode_mac(hop.own_mac),
        local=encode_address(source_of(value, hop)),
        remote=encode_address(value.remote),
        destination_tag=value.destination_tag,
        mtu=value.mtu_bytes,
    ).encode()


def source_of(value: rows.TunnelValue, hop: NextHop) -> IPAddress:
    """The outer source: others know this host by the addresses in `sources` alone."""
    return hop.source if hop.source in value.sources else value.sources[0]


def describe(raw: bytes) -> str:
    """An entry in words."""
    tunnel = layouts.Tunnel.decode(raw)
    remote, local = decode_address(tunnel.remote), decode_address(tunnel.local)
    flags = TunnelFlag(tunnel.flags)
    return (
        f"to {remote} from {local} by device {tunnel.ifindex} and {tunnel.next_hop.hex(':')}, "
        f"{flags!r}, mtu {tunnel.mtu}, for {tunnel.destination_tag:08x}"
    )


def as_written(raw: bytes) -> bytes:
    """Without what the programs have noted in an entry since."""
    return layouts.Tunnel.decode(raw)._replace(used=0).encode()


def _tunnels(values: Mapping[Hashable, Hashable]) -> dict[Hashable, rows.TunnelValue]:
    return {tag: value for tag, value in values.items() if isinstance(value, rows.TunnelValue)}


def _key(tag: Hashable) -> bytes:
    assert isinstance(tag, int)
    return tag.to_bytes(4, "little")


def _failure(raw_key: bytes, error: Exception) -> RowFailure:
    return RowFailure(RowKey(rows.TUNNELS, int.from_bytes(raw_key, "little")), str(error))
