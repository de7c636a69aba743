"""What is between two hosts and changes: routers, routes, devices; strangers, and plain VXLAN."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.own_addresses import await_addresses
from tests.system import overlay as world
from tests.system.overlay import FOO, Overlay
from tests.system.overlay_host import OverlayHost
from tests.system.overlay_workload import Workload, sh, until
from weft.kernel import netns
from weft.kernel.bpf import tcx
from weft.kernel.bpf.layouts import DropReason, Mark
from weft.model.addresses import ip_address
from weft.model.ids import HostId, MacAddress, PortId, host_tag
from weft.model.records import Host, Owner, Port, Veth

pytestmark = pytest.mark.root

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
MAC = "02:00:00:00:99:{:02x}"


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Overlay]:
    with world.made(tmp_path) as made:
        yield made


def routed(overlay: Overlay) -> tuple[OverlayHost, OverlayHost, str]:
    """Two hosts in two subnets, and the router between them."""
    left, right = overlay.switch(), overlay.switch()
    one = overlay.host(left, "192.0.2.1/24", "2001:db8:1::1/64")
    two = overlay.host(right, "198.51.100.2/24", "2001:db8:2::2/64")
    router = overlay.namespace("router")
    overlay.plug(router, left, "left", "192.0.2.254/24", "2001:db8:1::ff/64")
    overlay.plug(router, right, "right", "198.51.100.254/24", "2001:db8:2::ff/64")
    sh(router, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    one.run("ip route add default via 192.0.2.254; ip -6 route add default via 2001:db8:1::ff")
    two.run("ip route add default via 198.51.100.254; ip -6 route add default via 2001:db8:2::ff")
    overlay.start()
    return one, two, router


@pytest.mark.smoke
def test_hosts_behind_a_router_reach_each_other_and_follow_its_mac(overlay: Overlay) -> None:
    one, two, router = routed(overlay)
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    a.transfers(b)
    sh(router, "sysctl -qw net.ipv4.conf.left.arp_notify=1")
    sh(router, "ip link set left address 02:00:00:00:00:77")
    until(lambda: a.pings(b), "the new MAC is not followed")
    a.transfers(b, 6)


def test_a_route_that_moves_to_another_router_is_followed(overlay: Overlay) -> None:
    one, two, router = routed(overlay)
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    other = overlay.namespace("router")
    for ifname, host, at in (("left", one, "192.0.2.253/24"), ("right", two, "198.51.100.253/24")):
        switch = overlay.switch_of(host)
        overlay.plug(other, switch, ifname, at)
    sh(other, "sysctl -qw net.ipv4.ip_forward=1")
    one.run("ip route replace default via 192.0.2.253")
    two.run("ip route replace default via 198.51.100.253")
    sh(router, "ip link set left down; ip link set right down")
    until(lambda: a.pings(b), "the new route is not followed")
    a.transfers(b)


def test_a_cable_that_is_pulled_and_plugged_in_again(overlay: Overlay) -> None:
    one, two, _ = routed(overlay)
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    one.run("ip link set up0 down")
    assert not a.pings(b)
    one.run("ip link set up0 up; ip route add default via 192.0.2.254")
    until(lambda: a.pings(b), "it does not come back")
    one.run("ip neigh flush all")
    until(lambda: a.pings(b), "it does not come back after the neighbours are flushed")


def test_what_somebody_removed_from_the_underlay_is_put_back(overlay: Overlay) -> None:
    one, two, _ = routed(overlay)
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    a.transfers(b)
    links = Path(one.settings.bpffs_dir) / "links"
    if links.exists():
        for pin in links.iterdir():
            pin.unlink()
    else:
        one.run("tc qdisc del dev up0 clsact")
    one.run("ip link del weftx")
    two.run("tc qdisc del dev weftx clsact")
    until(lambda: a.pings(b), "the programs are not put back")
    until(lambda: "clsact" in two.run("tc qdisc show dev weftx"), "weftx has no program")
    one.run("ip link show weftx")


def test_underlay_addresses_on_the_loopback_device(overlay: Overlay) -> None:
    """As routers have them: packets come by another device than the one that holds the address."""
    switch = overlay.switch()
    hosts = []
    for number in (1, 2):
        host = overlay.host(switch, f"192.0.2.{number}/24", f"2001:db8:1::{number}/64")
        host.addresses = [f"203.0.113.{number}/32", f"2001:db8:9::{number}/128"]
        for address in host.addresses:
            host.run(f"ip addr add {address} dev lo")
        await_addresses(f"/run/netns/{host.name}")
        host.run(f"ip route add 203.0.113.{3 - number} via 192.0.2.{3 - number}")
        host.run(f"ip route add 2001:db8:9::{3 - number} via 2001:db8:1::{3 - number}")
        hosts.append(host)
    overlay.start()
    a, b = overlay.workload(hosts[0], 10), overlay.workload(hosts[1], 11)
    a.reaches(b)
    a.reaches(b, 6)
    a.transfers(b)


class Cable:
    """Two devices without Ethernet: what goes into one comes out of the other."""

    def __init__(self, one: OverlayHost, other: OverlayHost) -> None:
        self._files = [self._open(one), self._open(other)]
        self._end, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def _open(self, host: OverlayHost) -> int:
        with netns.entered(f"/run/netns/{host.name}"):
            file = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH", b"tun0", IFF_TUN | IFF_NO_PI))
        return file

    def _carry(self) -> None:
        one, other = self._files
        while True:
            ready = select.select([one, other, self._end], [], [])[0]
            if self._end in ready:
                return
            for file in ready:
                packet = os.read(file, 65536)
                with contextlib.suppress(OSError):  # the other end is not up (any more)
                    os.write(other if file == one else one, packet)

    def close(self) -> None:
        os.write(self._stop, b"x")
        self._thread.join()
        for file in (*self._files, self._end, self._stop):
            os.close(file)


@pytest.fixture
def cable(overlay: Overlay) -> Iterator[Cable]:
    """Between two hosts that have no other way to each other."""
    one, two = overlay.host(overlay.switch()), overlay.host(overlay.switch())
    made = Cable(one, two)
    for number, host in enumerate((one, two), 1):
        host.run("ip link set tun0 up")
        host.addresses = [f"10.77.0.{number}/24", f"2001:db8:77::{number}/64"]
        for address in host.addresses:
            host.run(f"ip addr add {address} dev tun0 {'nodad' if ':' in address else ''}")
        await_addresses(f"/run/netns/{host.name}")
    yield made
    made.close()


def test_an_underlay_without_ethernet(overlay: Overlay, cable: Cable) -> None:
    one, two = overlay.hosts
    overlay.start()
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    a.reaches(b, 6)
    a.transfers(b, megabytes=1)


def stranger(overlay: Overlay, host: OverlayHost, *addresses: str) -> str:
    """A machine on the same switch that is no host of the cluster."""
    name = overlay.namespace("stranger")
    overlay.plug(name, overlay.switch_of(host), "up0", *addresses)
    return name


def vxlan(vni: int) -> bytes:
    """An ARP request in VXLAN, as anybody can make it."""
    frame = bytes.fromhex("ffffffffffff 0200000000aa 0806 0001080006040001")
    frame += bytes.fromhex("0200000000aa 0a050063 000000000000 0a05000a")
    return struct.pack(">II", 0x08000000, vni << 8) + frame + bytes(18)


def send(namespace: str, target: str, payload: bytes, source: str = "") -> None:
    """UDP to the overlay port, with the mark that lets Weft's own out of a host."""
    script = (
        "import socket,sys;"
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);"
        f"s.setsockopt(socket.SOL_SOCKET,socket.SO_MARK,{Mark.MARK_SENT:d});"
        "s.bind((sys.argv[3] or '0.0.0.0',0));"
        "s.sendto(bytes.fromhex(sys.argv[2]),(sys.argv[1],4789))"
    )
    words = ["nsenter", f"--net=/run/netns/{namespace}", "python3", "-c", script]
    subprocess.run([*words, target, payload.hex(), source], check=True)


def test_a_stranger_s_packets_and_an_unknown_vni_are_dropped_and_counted(overlay: Overlay) -> None:
    switch = overlay.switch()
    one = overlay.host(switch, "192.0.2.1/24")
    two = overlay.host(switch, "192.0.2.2/24")
    overlay.start()
    overlay.workload(one, 10)
    name = stranger(overlay, one, "192.0.2.66/24")
    before = one.drops(DropReason.DROP_UNKNOWN_PEER)
    send(name, "192.0.2.1", vxlan(int(FOO.vni)))
    until(lambda: one.drops(DropReason.DROP_UNKNOWN_PEER) == before + 1, "it is not counted")
    # The right source, and a network that is not here.
    send(two.name, "192.0.2.1", vxlan(4242))
    until(lambda: one.drops(DropReason.DROP_UNKNOWN_VNI) == 1, "the VNI is not counted")


def test_a_plain_linux_vxlan_device_takes_part(overlay: Overlay) -> None:
    """What is on the wire is VXLAN as the kernel's own device speaks it."""
    switch = overlay.switch()
    one = overlay.host(switch, "192.0.2.1/24")
    plain = stranger(overlay, one, "192.0.2.9/24")
    overlay.start()
    a = overlay.workload(one, 10)
    mac = MAC.format(9)
    sh(plain, f"ip link add vx type vxlan id {FOO.vni} dstport 4789 remote 192.0.2.1 nolearning")
    sh(plain, f"ip link set vx address {mac} mtu 1450 up; ip addr add 10.5.0.99/24 dev vx")
    sh(plain, "ip -6 addr add fd05::99/64 dev vx nodad")
    await_addresses(f"/run/netns/{plain}")
    sh(plain, f"ip neigh add 10.5.0.10 lladdr {a.port.mac} dev vx")
    sh(plain, f"ip -6 neigh add fd05::a lladdr {a.port.mac} dev vx")
    there = Host(id=HostId("9" * 16), name="plain", underlay=(ip_address("192.0.2.9"),))
    port = Port(
        id=PortId("9" * 16),
        network_id=FOO.id,
        host_id=there.id,
        mac=MacAddress(mac),
        slot=1,
        addresses=(ip_address("10.5.0.99"), ip_address("fd05::99")),
        owner=Owner(frontend="cli"),
        device=Veth(ifname="weft00000000009", peer_ifname="eth0"),
    )
    overlay.write(there, port)
    assert host_tag(there.id) != one.tag
    other = Workload(plain, port)
    a.reaches(other)
    a.reaches(other, 6)
    a.transfers(other)
    other.transfers(a)
    a.transfers(other, 6)
    # Its own way to find neighbours works as well: broadcast is answered.
    sh(plain, "ip neigh del 10.5.0.10 dev vx")
    until(lambda: other.pings(a), "its ARP request is not answered")


def test_a_kernel_without_tcx_runs_the_program_on_clsact_and_purge_takes_it_away(
    overlay: Overlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcx, "attached", lambda ifindex: None)
    switch = overlay.switch()
    one = overlay.host(switch, "192.0.2.1/24")
    two = overlay.host(switch, "192.0.2.2/24")
    overlay.start()
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    assert "from_wire" in one.run("tc filter show dev up0 ingress")
    one.run("tc qdisc del dev up0 clsact")
    until(lambda: "from_wire" in one.run("tc filter show dev up0 ingress"), "it is not put back")
    for host in (one, two):
        host.stop()
        host.purge()
        assert "clsact" not in host.run("tc qdisc show dev up0")


def test_purge_leaves_the_underlay_as_it_was(overlay: Overlay) -> None:
    switch = overlay.switch()
    one = overlay.host(switch, "192.0.2.1/24")
    two = overlay.host(switch, "192.0.2.2/24")
    before = one.run("ip -o link; ip neigh show nud permanent; tc qdisc show")
    overlay.start()
    overlay.workload(one, 10).reaches(overlay.workload(two, 11))
    one.stop()
    one.purge()
    assert one.run("ip -o link; ip neigh show nud permanent; tc qdisc show") == before
    assert "managed" not in one.run("ip neigh")
    assert not Path(one.settings.bpffs_dir).exists()
    ifindex = int(one.run("ip -o link show up0").split(":")[0])
    with netns.entered(f"/run/netns/{one.name}"):
        assert not tcx.attached(ifindex)  # None: this kernel has no tcx, and the qdisc is gone
