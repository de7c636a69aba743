"""Maps that are full, or that somebody else wrote into: the rest is as it should be."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path

import msgspec
import pytest

from tests.system.kernel.conftest import run
from tests.system.kernel.test_kernel_sink import (
    GUARDED,
    HOST,
    OTHER,
    Rows,
    port,
    rows_of,
    settle,
)
from weft.config import Settings
from weft.engine.difference import difference
from weft.engine.ebpf.drivers.tunnels import TunnelDriver
from weft.engine.ebpf.sink import Sink
from weft.engine.ebpf.tables import MAPS as TABLES
from weft.engine.ebpf.tables.peers import OWN_MAP
from weft.engine.ebpf.tables.resolvers import RESOLVERS
from weft.engine.ebpf.tables.tunnels import TUNNELS
from weft.engine.rows import RowFailure
from weft.errors import KernelError
from weft.kernel import netns
from weft.kernel.bpf import layouts
from weft.kernel.bpf.berths import OTHER_PORTS
from weft.kernel.bpf.layouts import Berth
from weft.kernel.bpf.maps import BpfMap
from weft.kernel.bpf.syscall import MapType
from weft.kernel.tunnel_traffic import MAP, WAYS_MAP
from weft.model.addresses import ip_address

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("addresses")]

MAPS = [*(table.map_name for table in TABLES), OTHER_PORTS, OWN_MAP, MAP, WAYS_MAP]


NUMBERED = ("rules_v1", "port_rules_v1")
"""Arrays to whose rows only numbers lead that weftd has given out; no other is looked at."""


@pytest.fixture
def desired(new_netns: Callable[[], str]) -> Rows:
    group = (ip_address("239.1.1.1"),)
    return rows_of(
        port(1, path=new_netns(), multicast_groups=group),
        port(2, path=new_netns(), groups=(GUARDED[0].id,)),
        *GUARDED,
        port(4, addresses=tuple(map(ip_address, ("10.5.0.5", "10.5.0.6")))),
        OTHER,
        port(5, host_id=OTHER.id, multicast_groups=group),
    )


def garbage(each: BpfMap, chance: random.Random) -> dict[bytes, bytes]:
    """Entries of a map's sizes with anything in them; keys that the kernel takes."""
    entries = {}
    for _ in range(20):
        key = chance.randbytes(each.key_size)
        if each.info.type == MapType.LPM_TRIE:
            bits = 8 * (each.key_size - 4)
            key = chance.randrange(bits + 1).to_bytes(4, "little") + key[4:]
        if each.info.type == MapType.ARRAY:
            key = chance.randrange(each.info.max_entries).to_bytes(4, "little")
        entries[key] = chance.randbytes(each.value_size)
    return entries


@pytest.mark.parametrize("name", MAPS)
def test_what_others_write_into_a_map_goes_and_nothing_else_does(
    sink: Sink, desired: Rows, settings: Settings, name: str
) -> None:
    settle(sink, desired)
    seed = random.randrange(2**32)
    with BpfMap.open(Path(settings.bpffs_dir) / "maps" / name) as each:
        before = each.read()
        made = garbage(each, random.Random(seed))
        if name in NUMBERED:
            made = dict(zip(before, made.values()))
        refused = each.update(made)
        assert not refused and each.read() != before, f"seed {seed}"
        settle(sink, desired)
        assert each.read() == before, f"seed {seed}"


def test_what_only_looks_like_a_row_is_not_taken_for_it(
    sink: Sink, desired: Rows, settings: Settings
) -> None:
    """The right entry is gone, and one with something in its spare bytes is there instead."""
    settle(sink, desired)
    with BpfMap.open(Path(settings.bpffs_dir) / "maps" / "macs_v1") as macs:
        before = macs.read()
        key = next(iter(before))
        macs.update({layouts.MacKey.decode(key).encode()[:-2] + b"\xff\xff": before[key]})
        macs.delete([key])
        settle(sink, desired)
        assert macs.read() == before


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("allowed_v1", layouts.AllowedKey(3, 0, bytes(16))),
        ("subnets_v1", layouts.SubnetKey(31, 0, bytes(16))),
        ("subnets_v1", layouts.SubnetKey(32 + 120, 5, bytes(10) + b"\xff\xff\x0a\x05\x00\x07")),
        ("host_prefixes_v1", layouts.HostPrefixKey(104, bytes(10) + b"\xff\xff\x0a\x05\x00\x07")),
    ],
)
def test_prefixes_that_are_none_go(
    sink: Sink,
    desired: Rows,
    settings: Settings,
    name: str,
    key: layouts.AllowedKey | layouts.SubnetKey | layouts.HostPrefixKey,
) -> None:
    settle(sink, desired)
    with BpfMap.open(Path(settings.bpffs_dir) / "maps" / name) as each:
        before = each.read()
        assert not each.update({key.encode(): bytes(each.value_size)})
        settle(sink, desired)
        assert each.read() == before


def test_an_entry_beside_the_array_that_belongs_into_it_goes(
    sink: Sink, desired: Rows, settings: Settings
) -> None:
    settle(sink, desired)
    with BpfMap.open(Path(settings.bpffs_dir) / "maps" / OTHER_PORTS) as others:
        key = (Berth.FIRST_IFINDEX + 1).to_bytes(4, "little")
        assert not others.update({key: bytes(others.value_size)})
        settle(sink, desired)
        assert others.read() == {}


def failures_of(sink: Sink, desired: Rows) -> list[RowFailure]:
    return sink.apply(*difference(desired, sink.actual(desired)))


def test_a_full_map_costs_the_rows_that_do_not_fit(
    sink: Sink, new_netns: Callable[[], str]
) -> None:
    """They are told, and come about as soon as there is room."""
    many = tuple(ip_address(f"198.18.{number >> 8}.{number & 255}") for number in range(300))
    host = msgspec.structs.replace(HOST, resolvers=many)
    path = new_netns()
    desired = rows_of(host, port(1, path=path), port(2))
    failures = failures_of(sink, desired)
    assert {failure.row.table for failure in failures} == {RESOLVERS.name}
    assert len(failures) == 300 - 256
    assert all("256 entries and is full" in failure.reason for failure in failures)
    upserts, deletes = difference(desired, sink.actual(desired))
    assert upserts.keys() == {RESOLVERS.name} and not deletes
    with netns.entered(path):
        run("ping -n -c 1 -W 2 10.5.0.1")
    fewer = msgspec.structs.replace(HOST, resolvers=many[:200])
    settle(sink, rows_of(fewer, port(1, path=path), port(2)))
    assert failures_of(sink, desired)
    others = msgspec.structs.replace(HOST, resolvers=many[44:])
    settle(sink, rows_of(others, port(1, path=path), port(2)))


def test_a_table_that_the_kernel_refuses_keeps_no_other_from_being_written(
    sink: Sink, desired: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(
        _: TunnelDriver, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        raise KernelError("look up routes", 105)

    with monkeypatch.context() as patch:
        patch.setattr(TunnelDriver, "write", refused)
        failures = failures_of(sink, desired)
        assert {failure.row.table for failure in failures} == {TUNNELS.name}
        assert all("look up routes" in failure.reason for failure in failures)
        upserts, deletes = difference(desired, sink.actual(desired))
        assert upserts.keys() == {TUNNELS.name} and not deletes
    settle(sink, desired)
