"""`tunnels`: the ways to other hosts, with the next hop that the kernel has for each just now.

Rows say addresses; this table adds device, MACs and source. A tunnel whose next hop is not
resolved goes by the VXLAN device, which asks the kernel for every packet; WireGuard's has none to
resolve. Where the array has a tunnel, `ways` says, and a map for what knows a host's tag alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import NamedTuple

from weft.engine.ebpf.map_table import (
    decode_address,
    decode_u32,
    encode_address,
    encode_mac,
    encode_u32,
)
from weft.engine.ebpf.next_hops import NextHop, NextHops
from weft.engine.ebpf.tables.tunnels import TUNNELS, TunnelValue
from weft.engine.ebpf.ways import Ways
from weft.engine.rows import RowFailure
from weft.errors import NotFoundError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import TunnelFlag
from weft.kernel.bpf.maps import BpfMap
from weft.model.addresses import IPAddress

TYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
_DONT_FRAGMENT = b"\x40\x00"


class TunnelDriver:
    """See `engine.rows.Driver`."""

    name = TUNNELS.name

    def __init__(
        self,
        next_hops: NextHops,
        ways: Ways,
        open_map: Callable[[], BpfMap],
        open_ways: Callable[[], BpfMap],
    ) -> None:
        self._next_hops = next_hops
        self._ways = ways
        self._open_map = open_map
        self._open_ways = open_ways
        self._wanted: dict[int, TunnelValue] = {}
        self._written: dict[int, bytes] = {}
        """By tag."""

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. An entry whose next hop is not the present one reads back as words."""
        self._wanted = _tunnels(desired)
        wanted = self._encoded()
        tunnels = {way: as_written(raw) for way, raw in self._open_map().read().items()}
        ways = self._open_ways().read()
        self._written = {}
        found: dict[Hashable, Hashable] = {}
        for raw_way, raw in tunnels.items():
            way, tag = decode_u32(raw_way), layouts.Tunnel.decode(raw).tag
            is_found = ways.get(encode_u32(tag)) == layouts.Way(way).encode()
            if not (is_found and self._ways.found(tag, way)):
                found[Stray(way)] = describe(raw)
                continue
            self._ways.hold(tag)
            self._written[tag] = raw
            found[tag] = self._wanted[tag] if wanted.get(tag) == raw else describe(raw)
        for tag in map(decode_u32, ways):
            found.setdefault(tag, "a way without a tunnel")
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        failures = self._delete(list(deletes))
        changed = _tunnels(upserts)
        self._wanted.update(changed)
        for tag in changed:
            self._written.pop(tag, None)
        return failures + self.follow() if changed else failures

    def _delete(self, keys: list[Hashable]) -> list[RowFailure]:
        if not keys:
            return []
        strays = [key.way for key in keys if isinstance(key, Stray)]
        tags = [key for key in keys if isinstance(key, int)]
        for tag in tags:
            self._wanted.pop(tag, None)
            self._written.pop(tag, None)
            self._ways.release(tag)
        errors = self._open_ways().delete(map(encode_u32, tags))
        ways = [self._ways.known(tag) for tag in tags]
        self._open_map().delete(encode_u32(way) for way in (*strays, *ways) if way)
        return [_failure(decode_u32(raw_tag), error) for raw_tag, error in errors.items()]

    def follow(self) -> list[RowFailure]:
        """Look next hops up again, and write what is different. Linear in the tunnels."""
        failures: list[RowFailure] = []
        tunnels: dict[bytes, bytes] = {}
        tags: dict[bytes, int] = {}
        for tag, raw in self._encoded().items():
            if self._written.get(tag) == raw:
                continue
            try:
                raw_way = encode_u32(self._ways.of(tag))
            except NotFoundError as error:
                failures.append(_failure(tag, error))
                continue
            tunnels[raw_way], tags[raw_way] = raw, tag
        if not tunnels:
            return failures
        errors = self._open_map().update(tunnels)
        errors |= self._open_ways().update(
            {encode_u32(tags[each]): each + bytes(4) for each in tunnels}
        )
        for raw_way, tag in tags.items():
            refused = errors.get(raw_way) or errors.get(encode_u32(tag))
            if refused is not None:
                failures.append(_failure(tag, refused))
            else:
                self._written[tag] = tunnels[raw_way]
                self._ways.hold(tag)
        return failures

    def _encoded(self) -> dict[int, bytes]:
        hops = self._next_hops.resolve(value.remote for value in self._wanted.values())
        return {tag: encode(tag, value, hops[value.remote]) for tag, value in self._wanted.items()}


class Stray(NamedTuple):
    """An entry that no host's tunnel is: somebody else wrote it, and it goes."""

    way: int


def encode(tag: int, value: TunnelValue, hop: NextHop) -> bytes:
    """The entry of a tunnel whose next hop is this."""
    local = source_of(value, hop)
    return layouts.Tunnel(
        ifindex=hop.ifindex,
        flags=flags_of(value, hop),
        next_hop=encode_mac(hop.mac),
        source_mac=encode_mac(hop.own_mac),
        type_be=TYPES[value.remote.version],
        local=encode_address(local),
        remote=encode_address(value.remote),
        tag=tag,
        destination_tag=value.destination_tag,
        sum=constant_sum(local, value.remote),
        mtu=value.mtu_bytes,
    ).encode()


def flags_of(value: TunnelValue, hop: NextHop) -> TunnelFlag:
    """How programs send by this tunnel. The device of WireGuard is known by its number and needs no
    MAC; any other device does."""
    flags = TunnelFlag(0)
    is_resolved = hop.ifindex if value.is_encrypted else hop.mac
    if value.is_device or not is_resolved:
        flags |= TunnelFlag.TUNNEL_DEVICE
    if value.is_encrypted:
        flags |= TunnelFlag.TUNNEL_ENCRYPTED
    if value.remote.version == 6:
        flags |= TunnelFlag.TUNNEL_IPV6
    if value.destination_tag:
        flags |= TunnelFlag.TUNNEL_RELAY
    return flags


def constant_sum(local: IPAddress, remote: IPAddress) -> int:
    """Of the words of an outer IPv4 header that are the same in all packets, as programs add them
    up: flags and addresses. 0 for IPv6, which has no checksum."""
    if remote.version == 6:
        return 0
    return sum(struct.unpack("<5H", _DONT_FRAGMENT + local.packed + remote.packed))


def source_of(value: TunnelValue, hop: NextHop) -> IPAddress:
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


def _tunnels(values: Mapping[Hashable, Hashable]) -> dict[int, TunnelValue]:
    return {
        tag: value
        for tag, value in values.items()
        if isinstance(tag, int) and isinstance(value, TunnelValue)
    }


def _failure(tag: int, error: Exception) -> RowFailure:
    return RowFailure(TUNNELS.row_key(tag), str(error))
