"""Packets between hosts whose underlay loses, delays and reorders them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import families
from tests.system import encryption, weather
from tests.system import overlay as world
from tests.system.encryption import KIND, EncryptedOverlay
from tests.system.overlay import Overlay
from tests.system.overlay_host import OverlayHost
from tests.system.overlay_workload import Workload, sh, until
from tests.system.workload import ping_counts

pytestmark = pytest.mark.root

WATCHED_PINGS = 60
"""Five a second: meanwhile each host probes each path a dozen times or more."""


@pytest.fixture(scope="module", autouse=True)
def netem() -> None:
    if not weather.is_known_here():
        pytest.skip(weather.REASON)


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Overlay]:
    with world.made(tmp_path) as made:
        yield made


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[EncryptedOverlay]:
    with encryption.made(tmp_path) as made:
        yield made


def talk(one: Workload, other: Workload, kind: str) -> None:
    """Pings pass, all but those that the weather takes; TCP passes whole, both ways."""
    for version in (4, 6):
        printed = one.run(
            f"ping -n -q -c {WATCHED_PINGS // 2} -i 0.2 -W 2 {other.address(version)}", 60
        )
        sent, answered = ping_counts(printed)
        # One in ten is lost of round trips, and none where nothing is.
        assert answered >= (sent * 0.6 if "loss" in kind else sent), printed
    megabytes = 1 if kind == weather.ALL else 3
    one.transfers(other, 4, megabytes, timeout_s=120)
    other.transfers(one, 6, megabytes, timeout_s=120)


def lost(host: OverlayHost) -> int:
    """Packets that netem dropped on a host's way out."""
    found = re.search(r"dropped (\d+)", host.run("tc -s qdisc show dev up0 root"))
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("kind", families.of(weather.KINDS.values(), ids=[*weather.KINDS]))
def test_packets_pass_and_no_path_is_given_up_made_smaller_or_gone_round(
    overlay: Overlay, kind: str
) -> None:
    """Three hosts, of which each could relay for the other two, and none is needed."""
    switch = overlay.switch()
    hosts = [overlay.host(switch, f"192.0.2.{number}/24") for number in (1, 2, 3)]
    one, two, three = hosts
    pairs = [(one, two), (one, three), (two, three)]
    overlay.probe(*pairs)
    overlay.start()
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    overlay.workload(three, 12)
    both_ways = [*pairs, *((there, here) for here, there in pairs)]
    until(
        lambda: all(here.path(there) is not None for here, there in both_ways),
        "not all paths are known",
        timeout_s=30,
    )
    told: list[tuple[str, str, bool, int]] = []

    def note(here: OverlayHost) -> None:
        for there in hosts:
            state = here.path(there)
            if state is not None:
                told.append((here.name, there.name, state.is_broken, state.mtu_bytes))
        assert here.publish is not None
        here.publish(here)

    for host in hosts:
        assert host.prober is not None
        host.prober.on_change = [partial(note, host)]
        host.run(weather.on("up0", kind))
    talk(a, b, kind)
    if "loss" in kind:
        until(lambda: lost(one) >= 5 and lost(two) >= 5, "nothing was lost", timeout_s=60)
    assert [each for each in told if each[2:] != (False, 1500)] == []
    assert not any(here.is_relayed(there) for here, there in both_ways)


@pytest.mark.parametrize("underlay", families.of(["IPv4", "IPv6"]))
def test_a_path_is_measured_and_one_that_breaks_is_relayed_in_bad_weather(
    overlay: Overlay, underlay: str
) -> None:
    """All that is found out of a path is found out there as well; it only takes longer."""
    switch = overlay.switch()
    prefix, length = ("192.0.2.", 24) if underlay == "IPv4" else ("2001:db8::", 64)
    hosts = [
        overlay.host(switch, f"{prefix}{number}/{length}", mtu_bytes=9000) for number in (1, 2, 3)
    ]
    a, b, c = hosts
    for host in hosts:
        host.run(weather.on("up0", f"delay 20ms {weather.LOSS}"))
    overlay.probe((a, b), (b, c), (a, c))
    overlay.start()
    one, other = overlay.workload(a, 10), overlay.workload(c, 11)

    def measured(here: OverlayHost, there: OverlayHost) -> bool:
        state = here.path(there)
        return state is not None and not state.is_broken and state.mtu_bytes == 9000

    until(lambda: measured(a, c) and measured(c, a), "it is not measured", timeout_s=60)
    until(lambda: one.pings(other), "nothing passes")
    family = "ip" if underlay == "IPv4" else "ip6"
    sh(switch, "nft add table bridge t")
    sh(switch, "nft add chain bridge t f '{ type filter hook forward priority 0; }'")
    rule = f"{family} saddr {prefix}1 {family} daddr {prefix}3 udp dport 4789 drop"
    sh(switch, f"nft add rule bridge t f {rule}")
    until(lambda: a.is_relayed(c) and c.is_relayed(a), "it is not relayed", timeout_s=30)
    until(lambda: one.pings(other), "nothing passes")
    one.transfers(other, megabytes=1, timeout_s=120)
    sh(switch, "nft delete table bridge t")
    until(lambda: not a.is_relayed(c) and not c.is_relayed(a), "still relayed", timeout_s=60)
    until(lambda: one.pings(other), "nothing passes any more")


@pytest.mark.skipif(KIND == "none", reason="neither the kernel's WireGuard nor wireguard-go")
@pytest.mark.parametrize("kind", families.of(weather.KINDS.values(), ids=[*weather.KINDS]))
def test_encryption_is_turned_on_and_packets_pass(encrypted: EncryptedOverlay, kind: str) -> None:
    switch = encrypted.switch()
    one, two = (encrypted.make(switch, f"192.0.2.{number}/24") for number in (1, 2))
    for host in (one, two):
        host.run(weather.on("up0", kind))
    encrypted.start()
    encrypted.all_beside()
    a, b = encrypted.workload(one, 10), encrypted.workload(two, 11)
    until(lambda: a.pings(b), "they do not reach each other plain")
    encrypted.ask(True)
    until(lambda: a.pings(b), "they do not reach each other encrypted")
    talk(a, b, kind)
    assert [host.failures() for host in (one, two)] == [[], []]
