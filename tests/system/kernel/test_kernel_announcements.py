"""An address that comes back with another MAC: its neighbours reach it at once, and hear of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.own_addresses import await_addresses_here
from tests.system.kernel.conftest import PATIENCE, run
from tests.system.kernel.test_kernel_sink import FOO, HOST, OTHER, port, rows_of, settle
from weft.config import Settings
from weft.engine.ebpf.sink import Sink
from weft.kernel import netns
from weft.kernel.announcement import Announcer, frames
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import MacAddress, host_place_id
from weft.model.records import AllowedAddress, Owner, Port

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("addresses")]

ADDRESSES = ("10.5.0.3", "fd05::3")
OLD, NEW = MacAddress("02:00:00:00:00:02"), MacAddress("02:00:00:00:0a:0a")


@pytest.fixture
def paths(new_netns: Callable[[], str]) -> list[str]:
    return [new_netns() for _ in range(3)]


def asker(paths: list[str]) -> Port:
    return port(1, path=paths[0])


def answerer(path: str, mac: str = OLD, number: int = 2) -> Port:
    """Who has the addresses, whatever his number is."""
    return port(number, path=path, mac=MacAddress(mac), addresses=tuple(map(ip_address, ADDRESSES)))


def reaches(path: str, address: str) -> bool:
    """With its first packet."""
    with netns.entered(path):
        found = run(f"ping -n -c 1 -W {PATIENCE:g} {address} || true")
    return " 0% packet loss" in found


def cached(path: str, address: str) -> str:
    """The MAC in the neighbour cache; empty: none."""
    with netns.entered(path):
        entries = json.loads(run(f"ip -j neigh show {address}"))
    return str(entries[0].get("lladdr", "")) if entries else ""


def until_cached(path: str, address: str, mac: str) -> None:
    deadline_s = time.monotonic() + 5 * PATIENCE
    while cached(path, address) != mac:
        assert time.monotonic() < deadline_s, f"{address} is still at {cached(path, address)}"
        time.sleep(0.01)


def keep_cached(path: str, address: str, mac: str) -> None:
    """What a flow that goes on keeps as it is: an entry that is never asked about again."""
    with netns.entered(path):
        run(f"ip neigh replace {address} lladdr {mac} nud permanent dev eth0")


def test_another_mac_is_heard_of_before_anything_is_sent(sink: Sink, paths: list[str]) -> None:
    settle(sink, rows_of(asker(paths), answerer(paths[1])))
    for address in ADDRESSES:
        assert reaches(paths[0], address)
        assert cached(paths[0], address) == OLD
    settle(sink, rows_of(asker(paths)))
    settle(sink, rows_of(asker(paths), answerer(paths[2], NEW, 3)))
    for address in ADDRESSES:
        until_cached(paths[0], address, NEW)
        assert reaches(paths[0], address)
    settle(sink, rows_of(asker(paths), answerer(paths[1], OLD)))
    for address in ADDRESSES:
        until_cached(paths[0], address, OLD)
        assert reaches(paths[0], address)


def test_an_address_that_moves_between_ports_that_stay(sink: Sink, paths: list[str]) -> None:
    """The old MAC is somebody's still: nothing but the announcement tells."""
    other = port(3, path=paths[2])
    settle(sink, rows_of(asker(paths), answerer(paths[1]), other))
    for address in ADDRESSES:
        assert reaches(paths[0], address)
    bare = answerer(paths[1])
    moved = [
        port(2, path=paths[1], mac=bare.mac, addresses=(ip_address("10.5.0.99"),)),
        port(3, path=paths[2], addresses=(*other.addresses, *bare.addresses)),
    ]
    settle(sink, rows_of(asker(paths), *moved))
    for address in ADDRESSES:
        until_cached(paths[0], address, str(other.mac))


def test_an_address_that_has_gone_to_another_host(sink: Sink, paths: list[str]) -> None:
    settle(sink, rows_of(asker(paths), answerer(paths[1]), OTHER))
    for address in ADDRESSES:
        assert reaches(paths[0], address)
    far = port(2, host_id=OTHER.id, mac=NEW)
    settle(sink, rows_of(asker(paths), far, OTHER))
    for address in ADDRESSES:
        until_cached(paths[0], address, NEW)


def test_who_has_the_address_does_not_take_it_for_a_duplicate(sink: Sink, paths: list[str]) -> None:
    settle(sink, rows_of(asker(paths), answerer(paths[1])))
    settle(sink, rows_of(asker(paths), answerer(paths[1], NEW)))
    for address in ADDRESSES:
        assert reaches(paths[0], address)
    with netns.entered(paths[1]):
        assert "dadfailed" not in run("ip addr show dev eth0")


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_flow_that_knows_the_old_mac_alone_loses_no_packet(
    sink: Sink, settings: Settings, paths: list[str], address: str
) -> None:
    """Also when weftd was started anew between going and coming, and has forgotten the old one."""
    settle(sink, rows_of(asker(paths), answerer(paths[1])))
    keep_cached(paths[0], address, OLD)
    assert reaches(paths[0], address)
    settle(sink, rows_of(asker(paths)))
    other = Sink(settings)
    other.start()
    settle(other, rows_of(asker(paths), answerer(paths[2], NEW, 3)))
    assert cached(paths[0], address) == OLD
    assert reaches(paths[0], address)
    other.stop()


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_change_while_weftd_was_away_is_told_too(
    sink: Sink, settings: Settings, paths: list[str], address: str
) -> None:
    settle(sink, rows_of(asker(paths), answerer(paths[1])))
    assert reaches(paths[0], address)
    other = Sink(settings)
    other.start()
    settle(other, rows_of(asker(paths), answerer(paths[2], NEW, 3)))
    until_cached(paths[0], address, NEW)
    other.stop()


def test_the_hosts_own_place_takes_an_address_over(sink: Sink, paths: list[str]) -> None:
    settle(sink, rows_of(asker(paths), answerer(paths[1])))
    for address in ADDRESSES:
        assert reaches(paths[0], address)
    keep_cached(paths[0], ADDRESSES[0], OLD)
    place = port(
        0,
        id=host_place_id(HOST.id, FOO.id),
        mac=NEW,
        addresses=tuple(map(ip_address, ADDRESSES)),
        device=None,
        owner=Owner(frontend="host"),
    )
    settle(sink, rows_of(asker(paths), place))
    until_cached(paths[0], ADDRESSES[1], NEW)
    for address in ADDRESSES:
        assert reaches(paths[0], address)


def announce(path: str, address: str) -> None:
    """What keepalived sends as it takes an address over."""
    with netns.entered(path):
        run(f"ip addr add {address} dev eth0 {'nodad' if ':' in address else ''}")
        await_addresses_here()
        (link,) = json.loads(run("ip -j link show dev eth0"))
        announcer = Announcer()
        announcer.send("eth0", frames(ip_address(address), link["address"]))
        announcer.close()


@pytest.mark.parametrize("address", ["10.5.0.77", "fd05::77"])
def test_an_address_that_workloads_hand_over_themselves(
    sink: Sink, paths: list[str], address: str
) -> None:
    """No record says where it is: the workloads announce it, and every port hears of it."""
    shared = (AllowedAddress(cidr=ip_network(address)),)
    two = port(2, path=paths[1], allowed=shared)
    three = port(3, path=paths[2], allowed=shared)
    settle(sink, rows_of(asker(paths), two, three))
    for path, owner in ((paths[1], two), (paths[2], three), (paths[1], two)):
        announce(path, address)
        assert reaches(paths[0], address)
        until_cached(paths[0], address, str(owner.mac))
        with netns.entered(path):
            run(f"ip addr del {address} dev eth0")
