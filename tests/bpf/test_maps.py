"""Maps from Python: in batches, one by one, full, per CPU."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator

import pytest

from tests.bpf.world import World
from weft.errors import KernelError
from weft.kernel.bpf import counters, layouts, syscall
from weft.kernel.bpf.layouts import AllowedKey, Counters, DropReason
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


def test_counters_are_summed_over_the_cpus(world: World) -> None:
    found = world.plane.maps["counters_v1"]
    drops = [0] * DropReason.DROP_REASONS
    drops[DropReason.DROP_TTL] = 5
    drops[23] = 2
    value = Counters(1, 100, 2, 2**40, tuple(drops)).encode()
    assert found.update({(77).to_bytes(4, "little"): value * cpu_count()}) == {}
    cpus = cpu_count()
    assert counters.read(found)[77] == (
        cpus,
        100 * cpus,
        2 * cpus,
        2**40 * cpus,
        {"ttl": 5 * cpus, "reason_23": 2 * cpus},
    )
    assert counters.forget(found, [77, 78]) == []
    assert 77 not in counters.read(found)


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
