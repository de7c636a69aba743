"""Maps from Python: in batches, one by one, full, per CPU."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator

import pytest

from tests.bpf.world import World
from weft.errors import KernelError
from weft.kernel.bpf import counters, layouts, syscall
from weft.kernel.bpf.berths import Berths
from weft.kernel.bpf.layouts import AllowedKey, Berth, Counters, DropCount, DropKey, DropReason
from weft.kernel.bpf.maps import BATCH, BpfMap, cpu_count

ENTRIES = 2 * BATCH + 5


@pytest.fixture
def addresses(world: World) -> Iterator[BpfMap]:
    found = world.plane.maps["addresses_v1"]
    found.delete(list(found.read()))
    yield found
    found.delete(list(found.read()))


def numbered(count: int) -> dict[bytes, bytes]:
    return {
        layouts.AddressKey(
            number, bytes(12) + number.to_bytes(4, "big")
        ).encode(): layouts.Endpoint(number).encode()
        for number in range(count)
    }


@pytest.mark.parametrize("has_batches", [True, False])
def test_write_read_delete(addresses: BpfMap, has_batches: bool) -> None:
    """Also as on a kernel whose maps of this type know no batches."""
    items = numbered(ENTRIES if has_batches else 300)
    single = BpfMap(syscall.map_fd(addresses.info.id))
    single._has_batches = has_batches
    with single:
        assert single.update(items) == {}
        assert single.read() == items
        changed = {key: bytes(32) for key in list(items)[:10]}
        assert single.update(changed) == {}
        assert single.read() == items | changed
        half = list(items)[::2]
        assert single.delete(half) == {}
        assert single.delete(half) == {}, "what is gone already is no failure"
        assert single.read().keys() == items.keys() - set(half)


def test_lookup(addresses: BpfMap) -> None:
    items = numbered(2)
    addresses.update(items)
    key = next(iter(items))
    assert addresses.lookup(key) == items[key]
    assert addresses.lookup(bytes(16) + b"none") is None


def test_empty(addresses: BpfMap) -> None:
    assert addresses.read() == {}
    assert addresses.update({}) == {}
    assert addresses.delete([]) == {}


def test_full_map_takes_what_fits_and_says_so(world: World) -> None:
    resolvers = world.plane.maps["resolvers_v1"]
    room = resolvers.info.max_entries - len(resolvers.read())
    items = {number.to_bytes(16, "big"): bytes(8) for number in range(room + 7)}
    failures = resolvers.update(items)
    assert len(failures) == 7
    assert len(resolvers.read()) == resolvers.info.max_entries
    error = next(iter(failures.values()))
    assert error.errno == errno.E2BIG
    assert str(error).startswith("write BPF map resolvers_v1: ")
    assert "holds 256 entries and is full" in str(error)


def test_one_bad_entry_does_not_stop_the_others(world: World) -> None:
    allowed = world.plane.maps["allowed_v1"]
    before = allowed.read()
    good = {AllowedKey(160, ifindex, bytes(16)).encode(): bytes(16) for ifindex in range(900, 920)}
    bad = AllowedKey(161, 905, bytes(16)).encode()
    keys = list(good)
    failures = allowed.update({**dict.fromkeys(keys[:5], bytes(16)), bad: bytes(16), **good})
    assert failures.keys() == {bad}
    assert failures[bad].errno == errno.EINVAL
    assert allowed.read() == before | good


def test_sizes_are_checked(addresses: BpfMap) -> None:
    with pytest.raises(ValueError, match="a key is not 20 bytes"):
        addresses.update({b"short": bytes(32)})
    with pytest.raises(ValueError, match="a value is not 32 bytes"):
        addresses.update({bytes(20): b"short"})


def test_closed_map_is_a_kernel_error(addresses: BpfMap) -> None:
    other = BpfMap(syscall.map_fd(addresses.info.id), "addresses_v1")
    other.close()
    with pytest.raises(KernelError, match="read BPF map addresses_v1"):
        other.read()


@pytest.mark.parametrize("ifindex", [77, Berth.FIRST_IFINDEX + 77], ids=["other", "berth"])
def test_counters_are_summed_over_the_cpus(world: World, ifindex: int) -> None:
    maps = world.plane.maps
    key, cpus = ifindex.to_bytes(4, "little"), cpu_count()
    traffic = Berths(maps[counters.COUNTERS], maps[counters.OTHERS])
    assert traffic.update({key: Counters(1, 100, 2, 2**40).encode() * cpus}) == {}
    for reason, packets in {DropReason.DROP_TTL: 5, 39: 2}.items():
        value = DropCount(packets).encode() * cpus
        assert maps[counters.DROPS].update({DropKey(ifindex, reason).encode(): value}) == {}
    drops = {"ttl": 5 * cpus, "reason_39": 2 * cpus}
    assert counters.read(maps)[ifindex] == (cpus, 100 * cpus, 2 * cpus, 2**40 * cpus, drops)
    assert traffic.delete([key]) == {}
    assert counters.read(maps)[ifindex] == (0, 0, 0, 0, drops)


def test_counting_begins_once(world: World) -> None:
    maps = world.plane.maps
    counters.begin(maps, [78, Berth.FIRST_IFINDEX + 78])
    value = Counters(1, 1, 1, 1).encode() * cpu_count()
    maps[counters.OTHERS].update({(78).to_bytes(4, "little"): value})
    counters.begin(maps, [78])
    assert counters.read(maps)[78].rx_packets == cpu_count()


@pytest.mark.parametrize("has_batches", [True, False])
def test_an_array_reads_as_if_it_were_a_hash(world: World, has_batches: bool) -> None:
    """What is all zero is no entry."""
    array = BpfMap(syscall.map_fd(world.plane.maps[counters.COUNTERS].info.id))
    array._has_batches = has_batches
    with array:
        key, value = bytes(4), Counters(1, 2, 3, 4).encode() * cpu_count()
        assert array.lookup(key) is None
        assert array.update({key: value}) == {}
        assert (array.read(), array.lookup(key)) == ({key: value}, value)
        assert array.delete([key]) == {}
        assert (array.read(), array.lookup(key)) == ({}, None)
        beyond = int(Berth.BERTHS).to_bytes(4, "little")
        assert array.update({beyond: value, key: value}).keys() == {beyond}
        assert array.read() == {key: value}
        array.delete([key])


def test_batches_are_worth_it(addresses: BpfMap) -> None:
    items = numbered(20_000)

    def seconds(has_batches: bool) -> float:
        addresses._has_batches = has_batches
        start = time.process_time()
        assert addresses.update(items) == {}
        return time.process_time() - start

    seconds(True)
    try:
        assert seconds(True) < seconds(False) / 1.5
    finally:
        addresses._has_batches = True
