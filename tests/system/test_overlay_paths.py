"""Data paths that break, mend, shrink and grow; and hosts between that relay."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import families
from tests.system import overlay as world
from tests.system.overlay import Overlay
from tests.system.overlay_host import OverlayHost
from tests.system.overlay_workload import sh, until

pytestmark = pytest.mark.root


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Overlay]:
    with world.made(tmp_path) as made:
        yield made


def finds(host: OverlayHost, other: OverlayHost, mtu_bytes: int) -> None:
    """The path works and carries just this."""

    def is_so() -> bool:
        state = host.path(other)
        return state is not None and not state.is_broken and state.mtu_bytes == mtu_bytes

    until(is_so, f"path from {host.name} to {other.name} is not found", timeout_s=30)


def limit(switch: str, bytes_: int, *hosts: OverlayHost) -> None:
    """Longer packets vanish on the switch, silently. Hosts cut their packets themselves, so that
    none is longer only because nobody has cut it yet."""
    for host in hosts:
        host.run("ethtool -K up0 tso off gso off tx-udp_tnl-segmentation off")
    sh(switch, "nft add table bridge t; nft flush table bridge t")
    rule = f"meta length \\> {bytes_} drop"
    sh(switch, "nft add chain bridge t f '{ type filter hook forward priority 0; }'")
    sh(switch, f"nft add rule bridge t f {rule}")


@pytest.mark.smoke
@pytest.mark.parametrize(
    "addresses",
    [("192.0.2.1/24", "192.0.2.2/24"), ("2001:db8::1/64", "2001:db8::2/64")],
    ids=["IPv4", "IPv6"],
)
def test_a_path_is_measured_up_to_jumbo(overlay: Overlay, addresses: tuple[str, str]) -> None:
    switch = overlay.switch()
    one, two = (overlay.host(switch, address, mtu_bytes=9000) for address in addresses)
    overlay.probe()
    overlay.start()
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    finds(one, two, 9000)
    finds(two, one, 9000)
    overhead = 70 if ":" in addresses[0] else 50
    a.reaches(b, size=9000 - overhead - 70)
    a.transfers(b)
    state = one.path(two)
    assert state is not None and state.rtt_s is not None and 0 < state.rtt_s < 1


def test_a_path_that_shrinks_is_noticed_and_one_that_grows_as_well(overlay: Overlay) -> None:
    switch = overlay.switch()
    one = overlay.host(switch, "192.0.2.1/24")
    two = overlay.host(switch, "192.0.2.2/24")
    overlay.probe()
    overlay.start()
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    finds(one, two, 1500)
    a.reaches(b)  # a path that carries nothing is looked at seldom
    limit(switch, 1400, one, two)
    finds(one, two, 1400)
    finds(two, one, 1400)
    a.transfers(b)
    a.transfers(b, 6)
    a.run("ping -M do -c 1 -W 1 -s 1400 10.5.0.11 || true")
    (route,) = json.loads(a.run("ip -json route get 10.5.0.11"))
    assert route["metrics"] == [{"mtu": 1350}]
    sh(switch, "nft delete table bridge t")
    finds(one, two, 1500)
    finds(two, one, 1500)


def test_lost_probes_change_nothing(overlay: Overlay) -> None:
    switch = overlay.switch()
    one = overlay.host(switch, "192.0.2.1/24")
    two = overlay.host(switch, "192.0.2.2/24")
    overlay.probe()
    overlay.start()
    overlay.workload(one, 10).reaches(overlay.workload(two, 11))
    finds(one, two, 1500)
    seen = []
    assert one.prober is not None
    one.prober.on_change = [lambda: seen.append(one.path(two))]
    sh(switch, "nft add table bridge t")
    sh(switch, "nft add chain bridge t f '{ type filter hook forward priority 0; }'")
    sh(switch, "nft add rule bridge t f udp dport 4789 numgen inc mod 3 0 counter drop")
    dropped = re.compile(r"counter packets (\d+)")

    def lost() -> int:
        found = dropped.search(sh(switch, "nft list table bridge t"))
        return int(found[1]) if found else 0

    until(lambda: lost() > 20, "nothing was lost", timeout_s=60)
    assert seen == []


def chain(overlay: Overlay, one: str, two: str) -> tuple[OverlayHost, OverlayHost, OverlayHost]:
    """A - B - C, where A and C share no link."""
    left, right = overlay.switch(), overlay.switch()
    network = {"4": ("192.0.2", ".{}/24"), "6": ("2001:db8:1:", ":{}/64")}
    other = {"4": ("198.51.100", ".{}/24"), "6": ("2001:db8:2:", ":{}/64")}

    def at(family: tuple[str, str], number: int) -> str:
        return family[0] + family[1].format(number)

    a = overlay.host(left, at(network[one], 1))
    b = overlay.host(left, at(network[one], 2))
    overlay.plug(b.name, right, "up1", at(other[two], 2))
    b.addresses.append(at(other[two], 2))
    c = overlay.host(right, at(other[two], 3))
    return a, b, c


@pytest.mark.parametrize("versions", families.of(["46", "44", "66"]))
def test_hosts_that_share_no_link_are_relayed_by_one_between(
    overlay: Overlay, versions: str
) -> None:
    a, b, c = chain(overlay, *versions)
    overlay.probe((a, b), (b, c))
    overlay.start()
    one, other = overlay.workload(a, 10), overlay.workload(c, 11)
    one.reaches(other)
    one.reaches(other, 6)
    one.transfers(other)
    other.transfers(one, 6)
    overhead = 70 if "6" in versions else 50
    until(lambda: one.pings(other, size=1500 - overhead - 28), "what fits does not pass")
    assert not one.pings(other, size=1500 - overhead - 27)


def test_a_broken_path_is_relayed_and_direct_again_when_it_mends(overlay: Overlay) -> None:
    switch = overlay.switch()
    a, b, c = (overlay.host(switch, f"192.0.2.{number}/24") for number in (1, 2, 3))
    overlay.probe((a, b), (b, c), (a, c))
    overlay.start()
    one, other = overlay.workload(a, 10), overlay.workload(c, 11)
    one.reaches(other)
    finds(a, c, 1500)
    sh(switch, "nft add table bridge t")
    sh(switch, "nft add chain bridge t f '{ type filter hook forward priority 0; }'")
    # One way is enough.
    sh(switch, "nft add rule bridge t f ip saddr 192.0.2.1 ip daddr 192.0.2.3 udp dport 4789 drop")
    until(lambda: not one.pings(other), "the path did not break")
    until(lambda: one.pings(other, times=5), "it was not relayed")
    one.transfers(other)
    sh(switch, "nft delete table bridge t")
    finds(a, c, 1500)
    finds(c, a, 1500)
    until(lambda: not a.is_relayed(c) and not c.is_relayed(a), "still relayed")
    assert one.pings(other, times=5)


def test_a_path_that_broke_while_it_carried_nothing_is_gone_round_at_the_first_packets(
    overlay: Overlay,
) -> None:
    switch = overlay.switch()
    a, b, c = (overlay.host(switch, f"192.0.2.{number}/24") for number in (1, 2, 3))
    overlay.probe((a, b), (b, c), (a, c))
    overlay.start()
    one, other = overlay.workload(a, 10), overlay.workload(c, 11)
    finds(a, c, 1500)
    finds(c, a, 1500)
    sh(switch, "nft add table bridge t")
    sh(switch, "nft add chain bridge t f '{ type filter hook forward priority 0; }'")
    sh(switch, "nft add rule bridge t f ip saddr 192.0.2.3 ip daddr 192.0.2.1 udp dport 4789 drop")
    until(lambda: one.pings(other), "it was not relayed")
    until(lambda: a.is_relayed(c) and c.is_relayed(a), "not both ends go round it")


def test_of_several_addresses_the_one_that_works_is_used(overlay: Overlay) -> None:
    switch = overlay.switch()
    one = overlay.host(switch, "192.0.2.1/24", "2001:db8::1/64")
    two = overlay.host(switch, "192.0.2.2/24", "2001:db8::2/64")
    overlay.probe((one, two))
    overlay.start()
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    sh(switch, "nft add table bridge t")
    sh(switch, "nft add chain bridge t f '{ type filter hook forward priority 0; }'")
    sh(switch, "nft add rule bridge t f ip protocol udp drop")
    until(lambda: not a.pings(b), "the path did not break")
    until(lambda: a.pings(b), "the other address is not used", timeout_s=30)
    a.transfers(b)
