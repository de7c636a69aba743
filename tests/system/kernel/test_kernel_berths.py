"""Devices get ifindexes by which arrays find them, and no device is taken for the one before it."""

from __future__ import annotations

import socket
from collections.abc import Callable

import msgspec
import pytest

from tests.system.kernel.conftest import run
from tests.system.kernel.test_kernel_sink import port, rows_of, settle, until_gone
from weft.config import Settings
from weft.engine.ebpf.devices import WEFT1_IFINDEX
from weft.engine.ebpf.sink import Sink
from weft.engine.engine import difference
from weft.kernel import netns
from weft.kernel.bpf.layouts import Berth

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("addresses")]

FIRST = int(Berth.FIRST_IFINDEX)
RANGE = range(FIRST, FIRST + Berth.BERTHS)


def name(number: int) -> str:
    """Of the device of `port(number)`."""
    return f"weft{number:011x}"


def ifindex(number: int) -> int:
    return socket.if_nametoindex(name(number))


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


def test_the_hosts_own_pair_does_without(settings: Settings) -> None:
    run(f"ip link add theirs1 index {FIRST} type veth peer name theirs2")
    made = Sink(settings)
    try:
        made.start()
        settle(made, rows_of(port(1)))
        assert socket.if_nametoindex("weft1") not in RANGE
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
    sink._devices._given = 0  # type: ignore[union-attr]  # as if all others had had their turn
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
    sink._devices._given = 0  # type: ignore[union-attr]
    settle(sink, rows_of())
    settle(sink, rows_of(port(2)))
    assert ifindex(2) == FIRST + 1
