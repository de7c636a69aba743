"""Traffic between hosts, encrypted: by the kernel's WireGuard, or by wireguard-go."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests import families
from tests.bpf.overlay import outer, vxlan
from tests.system import encryption as world
from tests.system import frames
from tests.system.encryption import (
    KIND,
    MARKER,
    EncryptedHost,
    EncryptedOverlay,
    captured,
    mac_of,
    say,
    talking,
)
from tests.system.overlay import FOO
from tests.system.overlay_workload import Workload, sh, until
from tests.system.workload import PATIENCE
from weft.errors import ConflictError
from weft.kernel.bpf.layouts import DropReason
from weft.kernel.wireguard import buffers, device, process
from weft.model.choices import EncryptionStage
from weft.model.records import Neighbours
from weft.model.service_addresses import wireguard_address
from weft.topology.encryption import cluster_settings

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(KIND == "none", reason="neither the kernel's WireGuard nor wireguard-go"),
]

UNDERLAYS = {
    "IPv4": ("192.0.2.1/24", "192.0.2.2/24"),
    "IPv6": ("2001:db8::1/64", "2001:db8::2/64"),
}


class Pair:
    """Two hosts on one switch, a workload on each."""

    def __init__(
        self, overlay: EncryptedOverlay, underlay: str, encapsulation: str = "push"
    ) -> None:
        self.overlay = overlay
        self.switch = overlay.switch()
        self.one, self.two = (overlay.make(self.switch, each) for each in UNDERLAYS[underlay])
        for host in overlay.members:
            host.settings = msgspec.structs.replace(host.settings, encapsulation=encapsulation)
        overlay.start()
        overlay.all_beside()
        self.a = overlay.workload(self.one, 10)
        self.b = overlay.workload(self.two, 11)


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[EncryptedOverlay]:
    with world.made(tmp_path) as made:
        yield made


@pytest.fixture
def pair(overlay: EncryptedOverlay) -> Pair:
    return Pair(overlay, "IPv4")


def is_seen(pair: Pair, pcap: Path) -> bool:
    """Whether what the workloads say can be read on the underlay."""
    with captured(pair.switch, pcap):
        say(pair.a, pair.b)
        say(pair.b, pair.a)
    return MARKER[:16] in pcap.read_bytes()


@pytest.mark.smoke
@pytest.mark.parametrize("underlay", families.of(reversed(UNDERLAYS)))
def test_nothing_can_be_read_on_the_underlay(
    overlay: EncryptedOverlay, underlay: str, tmp_path: Path
) -> None:
    pair = Pair(overlay, underlay)
    pair.a.reaches(pair.b)
    assert is_seen(pair, tmp_path / "plain.pcap")
    overlay.ask(True)
    pair.a.reaches(pair.b)
    assert not is_seen(pair, tmp_path / "encrypted.pcap")
    overlay.ask(False)
    pair.a.reaches(pair.b)
    assert is_seen(pair, tmp_path / "plain-again.pcap")
    for host in overlay.hosts:
        assert host.failures() == []
        assert "weftwg" not in host.run("ip -br link")


@pytest.mark.parametrize("underlay", families.of(UNDERLAYS))
def test_large_transfers_pass_encrypted(overlay: EncryptedOverlay, underlay: str) -> None:
    pair = Pair(overlay, underlay)
    overlay.ask(True)
    for version in (4, 6):
        pair.a.reaches(pair.b, version)
        pair.a.transfers(pair.b, version)
        pair.b.transfers(pair.a, version)


def test_turning_it_on_and_off_breaks_no_connection(pair: Pair) -> None:
    pair.a.reaches(pair.b)
    pair.a.reaches(pair.b, 6)
    with talking(pair.a, pair.b) as traffic:
        for _ in range(3):
            pair.overlay.ask(True)
            pair.overlay.ask(False)
        lost, echoed = traffic.end()
    assert lost == 0
    assert echoed > 0


def test_a_forged_plain_packet_is_refused_and_counted(pair: Pair) -> None:
    inner = frames.udp(
        pair.a.port.mac, pair.b.port.mac, pair.a.address(4), pair.b.address(4), b"forged" * 10
    )
    macs = (mac_of(pair.two.name, "up0"), mac_of(pair.one.name, "up0"))
    plain = outer("192.0.2.1", "192.0.2.2", vxlan(FOO.vni, inner), macs=macs)
    inside = outer(
        str(wireguard_address(pair.one.id)),
        str(wireguard_address(pair.two.id)),
        vxlan(FOO.vni, inner),
        macs=macs,
    )
    assert hears(pair, plain)
    pair.overlay.ask(True)
    before = pair.two.drops(DropReason.DROP_UNENCRYPTED)
    assert not hears(pair, plain)
    assert not hears(pair, inside)
    assert pair.two.drops(DropReason.DROP_UNENCRYPTED) == before + 2
    assert pair.a.pings(pair.b)


def hears(pair: Pair, frame: bytes) -> bool:
    """Whether a frame on the switch gets to the second workload; a good one after it does."""
    script = Path(frames.__file__)
    last = b"the good one"
    good = frames.udp(
        pair.a.port.mac, pair.b.port.mac, pair.a.address(4), pair.b.address(4), last * 3
    )
    listen = ["nsenter", f"--net=/run/netns/{pair.b.name}", sys.executable, str(script)]
    with subprocess.Popen(
        [*listen, "listen", "eth0", last.hex()], stdout=subprocess.PIPE, text=True
    ) as listener:
        try:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "listening\n"
            sh(pair.switch, f"{sys.executable} {script} send sw {frame.hex()}")
            sh(pair.a.name, f"{sys.executable} {script} send eth0 {good.hex()}")
            heard = listener.communicate(timeout=20 * PATIENCE)[0]
        finally:
            listener.kill()
    assert last.hex() in heard
    return b"forged".hex() in heard


def test_what_is_meant_for_wireguard_goes_nowhere_else(pair: Pair, tmp_path: Path) -> None:
    """Not even when the device is gone: nothing is sent plain in its place."""
    pair.overlay.ask(True)
    inside = wireguard_address(pair.two.id)
    pair.one.run("ip -6 route add default via 2001:db8::99 dev up0 onlink")
    assert "weftwg" in pair.one.run(f"ip -6 route get {inside}")
    pair.one.stop()
    pair.one.run("ip link del weftwg")
    with captured(pair.switch, tmp_path / "leak.pcap"):
        assert not pair.a.pings(pair.b)
        pair.one.run(f"bash -c 'echo plain >/dev/udp/{inside}/4789' 2>/dev/null || true")
    assert inside.packed not in (tmp_path / "leak.pcap").read_bytes()
    pair.one.start()
    pair.a.reaches(pair.b)


COUNTED = """
    chain input {
        type filter hook input priority 0; iifname weftwg udp dport 4789 counter
    }
    chain output {
        type filter hook output priority 0; oifname weftwg udp dport 4789 jump sent
    }
    chain sent {
        ct state untracked counter accept
        counter
    }
"""


def counted(host: EncryptedHost) -> list[int]:
    """What the rules of `COUNTED` have met: packets in, out untracked, out tracked."""
    shown = host.run("nft list table inet seen")
    return [int(each) for each in re.findall(r"packets (\d+)", shown)]


@pytest.mark.parametrize("encapsulation", ["push", "device"])
def test_what_wireguard_carries_takes_part_in_no_conntrack(
    overlay: EncryptedOverlay, encapsulation: str
) -> None:
    """Each flow has a source port of its own there, and nobody else's rules are about it. What is
    pushed passes no rules at all, in neither direction."""
    pair = Pair(overlay, "IPv4", encapsulation)
    overlay.ask(True)
    pair.a.reaches(pair.b)
    pair.one.run(f"nft 'table inet seen {{\n{COUNTED}\n}}'")
    pair.a.reaches(pair.b)
    received, sent, sent_tracked = counted(pair.one)
    assert received == sent_tracked == 0
    assert (sent > 0) == (encapsulation == "device")


def test_the_kernels_own_is_used_where_it_has_one(pair: Pair) -> None:
    pair.overlay.ask(True)
    pair.a.reaches(pair.b)
    has = subprocess.run(
        ["unshare", "--net", "ip", "link", "add", "wg0", "type", "wireguard"],
        capture_output=True,
        check=False,
    )
    for host in pair.overlay.members:
        shown = host.run("ip -d link show weftwg")
        assert ("wireguard" in shown) == (has.returncode == 0)
        assert (host.pid is None) == (has.returncode == 0)


@pytest.fixture
def by_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """This kernel has no WireGuard."""
    monkeypatch.setattr(device, "_KIND", "weft-unknown")
    if device.kind_here() == "none":
        pytest.skip(process.obstacle())


@pytest.mark.usefixtures("by_process")
def test_wireguard_go_that_dies_is_back_by_itself(pair: Pair) -> None:
    pair.overlay.ask(True)
    pair.a.reaches(pair.b)
    former = pair.one.pid
    assert former is not None
    with talking(pair.a, pair.b) as traffic:
        os.kill(former, signal.SIGKILL)
        until(lambda: pair.one.pid not in (None, former), "no new wireguard-go")
        pair.a.reaches(pair.b)
        _, echoed = traffic.end()
    assert echoed > 0
    assert pair.one.pid is not None
    found = buffers.receive_bytes(pair.one.pid)
    assert found and min(found) >= buffers.RECEIVE_BYTES


@pytest.mark.usefixtures("by_process")
def test_wireguard_go_that_hangs_is_replaced(pair: Pair) -> None:
    pair.overlay.ask(True)
    former = pair.one.pid
    assert former is not None
    os.kill(former, signal.SIGSTOP)
    try:
        until(lambda: pair.one.pid not in (None, former), "no new wireguard-go", 60)
    finally:
        if process.is_running(former):
            os.kill(former, signal.SIGCONT)
    pair.a.reaches(pair.b)


def test_traffic_goes_on_while_nobody_looks_after_it(pair: Pair) -> None:
    pair.overlay.ask(True)
    pair.a.reaches(pair.b)
    keys = [host.public_key for host in pair.overlay.members]
    pids = [host.pid for host in pair.overlay.members]
    with talking(pair.a, pair.b) as traffic:
        for host in pair.overlay.members:
            host.stop()
        assert pair.a.pings(pair.b, times=5)
        for host in pair.overlay.members:
            host.start()
        lost, _ = traffic.end()
    assert lost == 0
    assert [host.public_key for host in pair.overlay.members] == keys
    assert [host.pid for host in pair.overlay.members] == pids


def test_new_keys_break_no_connection(pair: Pair) -> None:
    pair.overlay.ask(True)
    pair.a.reaches(pair.b)
    before = pair.one.public_key
    with talking(pair.a, pair.b) as traffic:
        made = pair.one.rotate()
        pair.two.rotate()
        pair.a.reaches(pair.b)
        _, echoed = traffic.end()
    assert made == pair.one.public_key != before
    assert echoed > 0
    file = Path(pair.one.settings.state_dir) / "cluster" / "wireguard.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_hosts_do_not_wait_for_one_another_after_new_keys(pair: Pair) -> None:
    """As they would, 5 s or several times that, if both began a handshake at one moment."""
    pair.overlay.ask(True)
    pair.a.reaches(pair.b)
    for turn in range(6):
        (pair.one, pair.two)[turn % 2].rotate()
        begun_s = time.monotonic()
        until(lambda: pair.a.pings(pair.b), "no session after new keys", 20)
        assert time.monotonic() - begun_s < 4 * PATIENCE, turn


def test_keys_that_are_old_are_replaced(overlay: EncryptedOverlay) -> None:
    switch = overlay.switch()
    one, two = (overlay.make(switch, each) for each in UNDERLAYS["IPv4"])
    one.settings = msgspec.structs.replace(one.settings, wireguard_key_s=5.0 * PATIENCE)
    overlay.start()
    overlay.all_beside()
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    overlay.ask(True)
    before = one.public_key
    until(lambda: one.public_key != before, "the same keys all the time", 20)
    a.reaches(b)


def test_keys_do_not_change_while_a_host_would_not_hear_of_it(pair: Pair) -> None:
    pair.overlay.ask(True)
    pair.overlay.beside()
    before = pair.one.public_key
    with pytest.raises(ConflictError, match="is not reached now"):
        pair.one.rotate()
    assert pair.one.public_key == before


def test_hosts_on_an_exempt_network_talk_plain_and_all_others_encrypted(
    overlay: EncryptedOverlay, tmp_path: Path
) -> None:
    pair = Pair(overlay, "IPv4")
    pair.a.reaches(pair.b)
    with talking(pair.a, pair.b) as traffic:
        overlay.ask(True)
        overlay.ask(True, "192.0.2.0/24")
        assert is_seen(pair, tmp_path / "exempt.pcap")
        overlay.ask(True, "192.0.2.0/31")
        assert not is_seen(pair, tmp_path / "not-both.pcap")
        lost, _ = traffic.end()
    assert lost == 0


def three_in_a_row(overlay: EncryptedOverlay) -> tuple[list[EncryptedHost], list[Workload]]:
    """A and C have no underlay in common; B is on both."""
    left, right = overlay.switch(), overlay.switch()
    hosts = [
        overlay.make(left, "192.0.2.1/24"),
        overlay.make(left, "192.0.2.2/24"),
        overlay.make(right, "198.51.100.3/24"),
    ]
    overlay.plug(hosts[1].name, right, "up1", "198.51.100.2/24")
    hosts[1].addresses.append("198.51.100.2/24")
    overlay.start()
    overlay.beside((hosts[0], hosts[1]), (hosts[1], hosts[2]), broken=True)
    return hosts, [overlay.workload(hosts[0], 10), overlay.workload(hosts[2], 12)]


def test_a_relay_passes_on_encrypted_what_came_encrypted(
    overlay: EncryptedOverlay, tmp_path: Path
) -> None:
    hosts, (a, c) = three_in_a_row(overlay)
    a.reaches(c)
    overlay.ask(True)
    a.reaches(c)
    a.reaches(c, 6)
    a.transfers(c)
    switch = next(name for name in overlay._namespaces if name.endswith("switch"))
    with captured(switch, tmp_path / "left.pcap"):
        say(a, c)
    assert MARKER[:16] not in (tmp_path / "left.pcap").read_bytes()
    assert hosts[1].store.get(Neighbours, hosts[1].id) is not None


def test_a_firewall_in_between_stops_the_change_and_not_the_traffic(pair: Pair) -> None:
    pair.a.reaches(pair.b)
    pair.two.run("nft add table inet wall")
    pair.two.run("nft 'add chain inet wall in { type filter hook input priority 10; }'")
    pair.two.run("nft add rule inet wall in udp dport 6783 drop")
    with pytest.raises(AssertionError, match="not all hosts"):
        pair.overlay.ask(True)
    assert pair.one.stage < EncryptionStage.REFUSES
    assert "firewall" in " ".join([*pair.one.encryption.waits_for, *pair.two.encryption.waits_for])
    assert pair.a.pings(pair.b, times=3)
    pair.two.run("nft delete table inet wall")
    pair.overlay.await_settled(cluster_settings(pair.one.store))
    assert pair.a.pings(pair.b)


def test_a_purge_ends_the_device_and_the_process(pair: Pair) -> None:
    pair.overlay.ask(True)
    pid = pair.one.pid
    pair.one.stop()
    pair.one.purge()
    assert "weftwg" not in pair.one.run("ip -br link")
    assert pid is None or not process.is_running(pid)
    assert device.kind_here() == KIND
