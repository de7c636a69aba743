"""Devices get ifindexes by which arrays find them, and no device is taken for the one before it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.system.kernel.conftest import run
from tests.system.kernel.test_kernel_sink import port, rows_of, settle, until_gone
from weft.config import Settings
from weft.engine.difference import difference
from weft.engine.ebpf.sink import Sink
from weft.engine.ebpf.tables.ports import PORTS
from weft.engine.plumbing.devices import WEFT1_IFINDEX
from weft.kernel import netns
from weft.kernel.bpf import counters
from weft.kernel.bpf.layouts import (
    AnswerLimit,
    Berth,
    Counters,
    DnsFlow,
    DnsFlowKey,
    DropCount,
    DropKey,
)
from weft.kernel.bpf.maps import BpfMap, cpu_count

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("addresses")]

FIRST = int(Berth.FIRST_IFINDEX)
RANGE = range(FIRST, FIRST + Berth.BERTHS)


def name(number: int) -> str:
    """Of the device of `port(number)`."""
    return f"weft{number:011x}"


def ifindex(number: int) -> int:
    return socket.if_nametoindex(name(number))


def begin_again(sink: Sink) -> None:
    """As if all others had had their turn."""
    assert sink._devices is not None
    sink._devices._given = 0


def ifindexes(*numbers: int) -> list[int]:
    return [ifindex(number) for number in numbers]


def test_every_device_has_an_ifindex_of_the_range(sink: Sink, new_netns: Callable[[], str]) -> None:
    settle(sink, rows_of(port(1), port(2, path=new_netns())))
    assert ifindexes(1, 2) == [FIRST + 1, FIRST + 2]
    assert socket.if_nametoindex("weft1") == WEFT1_IFINDEX == FIRST


def test_two_hosts_on_one_machine_give_the_same(
    sink: Sink, settings: Settings, new_netns: Callable[[], str]
) -> None:
    settle(sink, rows_of(port(1)))
    other = msgspec.structs.replace(
        settings, bpffs_dir=f"{settings.bpffs_dir}2", run_dir=f"{settings.run_dir}2"
    )
    with netns.entered(new_netns()):
        run("ip link set lo up; ip addr add 192.0.2.10/32 dev lo; ip addr add 2001:db8::10 dev lo")
        made = Sink(other)
        try:
            made.start()
            settle(made, rows_of(port(2)))
            assert ifindex(2) == FIRST + 1
        finally:
            made.purge()
    assert ifindex(1) == FIRST + 1


def test_what_somebody_elses_device_has_is_passed_over(sink: Sink) -> None:
    """At the last look and since."""
    run(f"ip link add theirs1 index {FIRST + 1} type veth peer name theirs2")
    settle(sink, rows_of(port(1)))
    run(f"ip link add theirs3 index {FIRST + 3} type veth peer name theirs4")
    before = rows_of(port(1))
    desired = rows_of(port(1), port(2), port(3))
    assert sink.apply(*difference(desired, before)) == []
    assert ifindexes(1, 2, 3) == [FIRST + 2, FIRST + 4, FIRST + 5]
    settle(sink, desired)


def test_the_hosts_own_pair_does_without(settings: Settings, new_netns: Callable[[], str]) -> None:
    """And what the host is sent is counted all the same."""
    path = new_netns()
    run(f"ip link add theirs1 index {FIRST} type veth peer name theirs2")
    made = Sink(settings)
    try:
        made.start()
        settle(made, rows_of(port(1, path=path)))
        assert socket.if_nametoindex("weft1") not in RANGE
        with netns.entered(path):
            run("ping -n -c 1 -W 2 192.0.2.10")
        assert made.counters()["weft1"].rx_packets >= 1
    finally:
        made.purge()


def test_a_name_that_is_taken_is_still_told(sink: Sink, new_netns: Callable[[], str]) -> None:
    path = new_netns()
    with netns.entered(path):
        run("ip link add eth0 type veth peer name other")
    desired = rows_of(port(1, path=path))
    failures = sink.apply(*difference(desired, sink.actual(desired)))
    assert any("choose another" in failure.reason for failure in failures)


def test_a_device_that_is_made_anew_keeps_its_own(sink: Sink, new_netns: Callable[[], str]) -> None:
    settle(sink, rows_of(port(1)))
    before = ifindex(1)
    settle(sink, rows_of(port(1, path=new_netns())))
    assert ifindex(1) == before


def test_none_is_given_again_before_a_look_has_found_it_free(sink: Sink) -> None:
    """Until then entries of maps may name the device that had it."""
    settle(sink, rows_of(port(1)))
    begin_again(sink)
    before = rows_of(port(1))
    run(f"ip link del {name(1)}")
    assert sink.apply(*difference(rows_of(port(2)), before)) == []
    assert ifindex(2) != FIRST + 1


def test_devices_beyond_the_range_get_what_the_kernel_gives(
    sink: Sink, new_netns: Callable[[], str]
) -> None:
    path = new_netns()
    settle(sink, rows_of())
    sink._devices.spare(RANGE)  # type: ignore[union-attr]  # as if so many devices were there
    desired = rows_of(port(1, path=path), port(2, path=new_netns()))
    assert sink.apply(*difference(desired, rows_of())) == []
    assert not {*ifindexes(1, 2)} & {*RANGE}
    with netns.entered(path):
        run("ping -n -c 1 -W 2 10.5.0.3")


def test_a_container_that_dies_gives_its_ifindex_back(
    sink: Sink, new_netns: Callable[[], str]
) -> None:
    path = new_netns()
    settle(sink, rows_of(port(1, path=path)))
    run(f"ip netns del {path.rpartition('/')[2]}")
    until_gone(name(1))
    settle(sink, rows_of())
    begin_again(sink)
    settle(sink, rows_of())
    settle(sink, rows_of(port(2)))
    assert ifindex(2) == FIRST + 1


def noise(ifindex: int) -> dict[str, dict[bytes, bytes]]:
    """Everything that programs write about a device."""
    key, cpus = ifindex.to_bytes(4, "little"), cpu_count()
    berth = (ifindex - FIRST).to_bytes(4, "little")
    return {
        counters.COUNTERS: {berth: Counters(1, 2, 3, 4).encode() * cpus},
        counters.DROPS: {DropKey(ifindex, 1).encode(): DropCount(1).encode() * cpus},
        "answers_v1": {key: AnswerLimit(1, 1).encode()},
        "reports_v1": {key: AnswerLimit(1, 1).encode()},
        "queries_v1": {key: AnswerLimit(1, 1).encode()},
        "dns_flows_v1": {DnsFlowKey(ifindex, b"\1\2", 17, 4).encode(): DnsFlow(b"c" * 16).encode()},
    }


def make_noise(settings: Settings, ifindex: int) -> None:
    for name, entries in noise(ifindex).items():
        with BpfMap.open(Path(settings.bpffs_dir) / "maps" / name) as each:
            assert not each.update(entries)


def heard(settings: Settings, ifindex: int) -> set[str]:
    """Maps in which there is something of it."""
    found = set()
    for name, entries in noise(ifindex).items():
        with BpfMap.open(Path(settings.bpffs_dir) / "maps" / name) as each:
            found |= {name for key in entries if each.lookup(key)}
    return found


def test_a_port_finds_nothing_of_the_one_that_had_its_ifindex_before(
    sink: Sink, settings: Settings
) -> None:
    settle(sink, rows_of(port(1), port(3)))
    first, third = ifindexes(1, 3)
    for each in (first, third):
        make_noise(settings, each)
    assert heard(settings, third) == set(noise(third))
    settle(sink, rows_of(port(3)))
    sink.actual(rows_of(port(3)))
    begin_again(sink)
    settle(sink, rows_of(port(2), port(3)))
    assert ifindex(2) == first
    assert heard(settings, first) == set()
    assert sink.counters()[name(3)].rx_packets == cpu_count()
    assert heard(settings, third) == set(noise(third)), "who is still there keeps everything"


def test_nor_does_a_weftd_that_was_away(sink: Sink, settings: Settings) -> None:
    """The device went in the meantime, or came and went between two looks."""
    settle(sink, rows_of(port(1), port(3)))
    first, third = ifindexes(1, 3)
    make_noise(settings, first)
    make_noise(settings, third)
    sink.stop()
    run(f"ip link del {name(1)}")
    sink.start()
    settle(sink, rows_of(port(3)))
    assert (heard(settings, first), heard(settings, third)) == (set(), set(noise(third)))
    before = rows_of(port(3))
    assert sink.apply(*difference(rows_of(port(3), port(4)), before)) == []
    fourth = ifindex(4)
    make_noise(settings, fourth)
    assert sink.apply(*difference(before, rows_of(port(3), port(4)))) == []
    settle(sink, before)
    assert heard(settings, fourth) == set()


def test_an_ifindex_is_spared_as_long_as_the_map_of_ports_names_it(
    sink: Sink, settings: Settings
) -> None:
    """What else names it goes before that entry does, and may not be gone yet."""
    settle(sink, rows_of(port(1)))
    first = ifindex(1)
    run(f"ip link del {name(1)}")
    begin_again(sink)
    desired = rows_of(port(2))
    upserts, deletes = difference(desired, sink.actual(desired))
    assert f"#{first}" in deletes[PORTS.name]
    assert sink.apply(upserts, deletes) == []
    assert ifindex(2) != first
    settle(sink, desired)
    begin_again(sink)
    settle(sink, rows_of(port(2), port(4)))
    assert ifindex(4) == first


def test_devices_without_a_berth_are_counted_too(sink: Sink, new_netns: Callable[[], str]) -> None:
    path = new_netns()
    settle(sink, rows_of())
    sink._devices.spare(RANGE)  # type: ignore[union-attr]
    assert sink.apply(*difference(rows_of(port(1, path=path)), rows_of())) == []
    assert ifindex(1) not in RANGE
    with netns.entered(path):
        run("ping -n -c 1 -W 2 10.5.0.1")
    found = sink.counters()[name(1)]
    assert found.tx_packets >= 2 and found.rx_packets >= 2
    settle(sink, rows_of())
    assert name(1) not in sink.counters()
