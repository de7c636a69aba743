"""Nobody gets a frame into a network who has no place in it.

Everybody who could try: a workload, a container of another's bridge, an unprivileged user of a
host, a stranger on the underlay. Each forges frames for a port on the second host, in VXLAN, by
every way that leads there; not one may be heard.
"""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bpf import wire
from tests.bpf.overlay import vxlan
from tests.own_addresses import await_addresses
from tests.system import attacker, encryption, frames
from tests.system import overlay as plain
from tests.system.encryption import KIND, EncryptedOverlay, mac_of
from tests.system.overlay import FOO, Overlay
from tests.system.overlay_host import OverlayHost
from tests.system.overlay_workload import Workload, sh
from tests.system.workload import PATIENCE
from weft.model.addresses import ip_address
from weft.model.ids import HostId
from weft.model.records import Host
from weft.model.service_addresses import wireguard_address

pytestmark = pytest.mark.root

NOBODY = 65534
PORT = 4789
LAST = b"the good one"
Shot = dict[str, Any]

OTHERS = {
    "underlay": ("192.0.2.2", "2001:db8:1::2"),
    "second card": ("198.51.100.2", "2001:db8:2::2"),
    "loopback": ("203.0.113.2", "2001:db8:3::2"),
}
"""Addresses of the second host; the first are in its record."""
EVERYBODY = ("192.0.2.255", "198.51.100.255", "255.255.255.255", "224.0.0.1")
_BOXED4, _BOXED6 = "172.30.0.2", "fd30::2"
THIRD = ("192.0.2.3", "2001:db8:1::3")
"""Addresses of a host that is in the cluster and away."""


_MASQUERADE = """
table inet another {
  chain post {
    type nat hook postrouting priority srcnat;
    oifname "up*" ip saddr 172.30.0.0/24 masquerade
    oifname "up*" ip6 saddr fd30::/64 masquerade
  }
}"""


class Field:
    """Two hosts with two cards each, a workload on both, a bridge of another's, and a stranger."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        left, right = overlay.switch(), overlay.switch()
        self.one = self._host(left, right, 1)
        self.two = self._host(left, right, 2)
        self.two.run("ip addr add 203.0.113.2/32 dev lo; ip addr add 2001:db8:3::2/128 dev lo")
        self.one.run("ip route add 203.0.113.2 via 192.0.2.2")
        self.one.run("ip route add 2001:db8:3::2 via 2001:db8:1::2; ip route add default dev up0")
        overlay.start()
        self.boxed = self._another_s_bridge()
        self.stranger = overlay.namespace("stranger")
        overlay.plug(self.stranger, left, "left", "192.0.2.66/24", "2001:db8:1::66/64")
        overlay.plug(self.stranger, right, "right", "198.51.100.66/24", "2001:db8:2::66/64")
        self.a = overlay.workload(self.one, 10)
        self.b = overlay.workload(self.two, 11)
        self._markers: dict[str, str] = {}

    def _host(self, left: str, right: str, number: int) -> OverlayHost:
        addresses = (f"192.0.2.{number}/24", f"2001:db8:1::{number}/64")
        make = self.overlay.make if isinstance(self.overlay, EncryptedOverlay) else None
        host = make(left, *addresses) if make else self.overlay.host(left, *addresses)
        second = (f"198.51.100.{number}/24", f"2001:db8:2::{number}/64")
        self.overlay.plug(host.name, right, "up1", *second)
        return host

    def _another_s_bridge(self) -> str:
        """A container of another system on the first host, which masquerades what it sends."""
        name = self.overlay.namespace("boxed")
        self.one.run(
            f"ip link add bridge0 type bridge; ip link add box0 type veth peer eth0 netns {name};"
            "ip link set box0 master bridge0 up; ip link set bridge0 up;"
            "ip addr add 172.30.0.1/24 dev bridge0; ip addr add fd30::1/64 dev bridge0 nodad;"
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1;"
            f"nft '{_MASQUERADE}'"
        )
        sh(
            name,
            f"ip addr add {_BOXED4}/24 dev eth0; ip addr add {_BOXED6}/64 dev eth0 nodad;"
            "ip link set eth0 up; ip route add default via 172.30.0.1;"
            "ip -6 route add default via fd30::1",
        )
        for each in (self.one.name, self.two.name, name):
            await_addresses(f"/run/netns/{each}")
        return name

    def forged(self, what: str) -> bytes:
        """A frame for the second host's workload, in VXLAN; `what` says whose and by which way."""
        marker = f"forged {len(self._markers):04d}."
        self._markers[marker] = what
        inner = frames.udp(
            "02:00:00:00:05:99", self.b.port.mac, "10.5.0.99", self.b.address(4), marker.encode()
        )
        return vxlan(FOO.vni, inner)

    def udp(self, who: str, to: str, source: str = "", size: int = 0) -> Shot:
        """By an ordinary socket. `size`: so large that it goes in fragments."""
        what = f"{who}: UDP to {to} from {source or 'its own'}, {size or 'few'} bytes"
        data = self.forged(what).ljust(size, b"\0")
        shot: Shot = {"kind": "udp", "to": to, "port": PORT, "data": data.hex()}
        return shot | {"source": source} if source else shot

    def frame(self, who: str, ifname: str, source: str, to: str, macs: tuple[str, str]) -> Shot:
        """By a packet socket, from a forged address."""
        payload = self.forged(f"{who}: raw from {source} to {to} by {ifname} at {macs[0]}")
        body = wire.udp(source, to, (50000, PORT), payload)
        if ":" in source:
            packet = wire.ether(*macs, wire.IPV6, wire.ipv6(source, to, wire.UDP, body))
        else:
            packet = wire.ether(*macs, wire.IPV4, wire.ipv4(source, to, wire.UDP, body))
        return {"kind": "frame", "ifname": ifname, "data": packet.hex()}

    def got_in(self, *attacks: tuple[str, int, list[Shot]]) -> list[str]:
        """Which of these (namespace, user, shots) the second workload has heard."""
        good = frames.udp(
            self.a.port.mac, self.b.port.mac, self.a.address(4), self.b.address(4), LAST
        )
        with listening(self.b) as listener:
            for namespace, uid, shots in attacks:
                fired, failed = shoot(namespace, uid, shots)
                assert not failed
                assert fired == len(shots)
            script = Path(frames.__file__)
            sh(self.a.name, f"{sys.executable} {script} send eth0 {good.hex()}")
            heard = listener.communicate(timeout=20 * PATIENCE)[0]
        assert LAST.hex() in heard
        return [what for marker, what in self._markers.items() if marker.encode().hex() in heard]


@contextlib.contextmanager
def listening(workload: Workload) -> Iterator[subprocess.Popen[str]]:
    """Prints each frame that the workload gets, up to the good one."""
    command = ["nsenter", f"--net=/run/netns/{workload.name}", sys.executable, frames.__file__]
    with subprocess.Popen(
        [*command, "listen", "eth0", LAST.hex()], stdout=subprocess.PIPE, text=True
    ) as listener:
        try:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "listening\n"
            yield listener
        finally:
            listener.kill()


def shoot(namespace: str, uid: int, shots: list[Shot]) -> tuple[int, list[str]]:
    """How many were fired, and why the others were not."""
    command = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, attacker.__file__]
    done = subprocess.run(
        [*command, str(uid)],
        input=json.dumps(shots),
        capture_output=True,
        text=True,
        check=True,
        timeout=20 * PATIENCE,
    )
    fired, failed = json.loads(done.stdout)
    return fired, failed


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with plain.made(tmp_path_factory.mktemp("field")) as overlay:
        made = Field(overlay)
        third = Host(id=HostId("3" * 16), name="third", underlay=tuple(map(ip_address, THIRD)))
        overlay.write(third)
        made.a.reaches(made.b)
        yield made


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    if KIND == "none":
        pytest.skip("neither the kernel's WireGuard nor wireguard-go")
    with encryption.made(tmp_path_factory.mktemp("encrypted")) as overlay:
        made = Field(overlay)
        overlay.all_beside()
        overlay.ask(True)
        made.a.reaches(made.b)
        yield made


def addresses() -> list[str]:
    return [address for both in OTHERS.values() for address in both]


def by_sockets(field: Field, who: str, extra: tuple[str, ...] = ()) -> list[Shot]:
    """To each address of the other host, whole and in fragments."""
    return [field.udp(who, to, size=size) for size in (0, 3000) for to in (*addresses(), *extra)]


def test_a_workload(field: Field) -> None:
    assert field.got_in((field.a.name, 0, by_sockets(field, "workload"))) == []


def test_a_workload_against_encrypted_hosts(encrypted: Field) -> None:
    inside = str(wireguard_address(encrypted.two.id))
    shots = by_sockets(encrypted, "workload", (inside,))
    assert encrypted.got_in((encrypted.a.name, 0, shots)) == []


def user_shots(field: Field, *extra: str) -> list[Shot]:
    multicast = ("ff02::1%up0", "ff02::1%up1")
    shots = by_sockets(field, "user", (*EVERYBODY, *multicast, *extra))
    return [
        *shots,
        *(field.udp("user", to, source="2001:db8:1::3") for to in addresses() if ":" in to),
        *(field.udp("user", to, source="198.51.100.1") for to in addresses() if "." in to),
    ]


def test_an_unprivileged_user_of_a_host(field: Field) -> None:
    assert field.got_in((field.one.name, NOBODY, user_shots(field))) == []


def test_an_unprivileged_user_of_a_host_that_encrypts(encrypted: Field) -> None:
    inside = str(wireguard_address(encrypted.two.id))
    shots = user_shots(encrypted, inside)
    assert encrypted.got_in((encrypted.one.name, NOBODY, shots)) == []


def test_an_unprivileged_user_of_the_very_host(field: Field) -> None:
    """To its own addresses, with another host's as the source where the kernel lets him."""
    own = [*addresses(), "127.0.0.1", "::1"]
    shots = [field.udp("user of the same host", to) for to in own]
    shots += [
        field.udp("user of the same host", to, source="2001:db8:1::1") for to in own if ":" in to
    ]
    assert field.got_in((field.two.name, NOBODY, shots)) == []


def boxed_shots(field: Field) -> list[Shot]:
    """By sockets, and raw in another host's name: to the own host, and through it."""
    macs = mac_of(field.one.name, "bridge0"), mac_of(field.boxed, "eth0")
    raw = [
        field.frame("boxed", "eth0", source, to, macs)
        for pair in (THIRD, ("192.0.2.1", "2001:db8:1::1"))
        for to in addresses()
        for source in pair
        if (":" in source) == (":" in to)
    ]
    return by_sockets(field, "boxed") + raw


def test_a_container_of_another_s_bridge(field: Field) -> None:
    assert field.got_in((field.boxed, 0, boxed_shots(field))) == []


def test_a_container_of_another_s_bridge_on_an_encrypted_host(encrypted: Field) -> None:
    assert encrypted.got_in((encrypted.boxed, 0, boxed_shots(encrypted))) == []


def test_a_container_of_another_s_bridge_against_its_own_host(field: Field) -> None:
    """In the name of another host, to a workload of the host that it runs on."""
    macs = mac_of(field.one.name, "bridge0"), mac_of(field.boxed, "eth0")
    own = ("192.0.2.1", "2001:db8:1::1", "198.51.100.1", "172.30.0.1", "fd30::1")
    two = OTHERS["underlay"]
    field.a, field.b = field.b, field.a
    try:
        shots = [field.frame("boxed", "eth0", two[":" in to], to, macs) for to in own]
        assert field.got_in((field.boxed, 0, shots)) == []
    finally:
        field.a, field.b = field.b, field.a


def stranger_shots(field: Field, *sources: str) -> list[Shot]:
    """Raw, from these addresses, to every address and MAC of the second host."""
    shots = []
    for ifname, device in (("left", "up0"), ("right", "up1")):
        own = mac_of(field.stranger, ifname)
        for mac in (mac_of(field.two.name, device), frames.BROADCAST):
            for to in (*addresses(), *EVERYBODY, "ff02::1"):
                for source in sources:
                    if (":" in source) == (":" in to):
                        shots.append(field.frame("stranger", ifname, source, to, (mac, own)))
    tagged = [shot | {"data": with_tag(shot["data"], tag)} for shot in shots for tag in (0, 5)]
    return shots + tagged


def with_tag(data: str, tag: int) -> str:
    """The frame with a VLAN tag; with the number 0 it says a priority, and nothing of a VLAN."""
    frame = bytes.fromhex(data)
    return (frame[:12] + struct.pack("!HH", 0x8100, tag) + frame[12:]).hex()


def test_a_stranger_on_the_underlay(field: Field) -> None:
    shots = stranger_shots(field, "192.0.2.66", "2001:db8:1::66", "198.51.100.66")
    assert field.got_in((field.stranger, 0, shots)) == []


def test_a_stranger_in_a_host_s_name_by_other_ways_than_its_address(field: Field) -> None:
    """Plain VXLAN is believed from a host's address, but only at an address of the record."""
    record = OTHERS["underlay"]
    shots = [
        shot
        for shot in stranger_shots(field, "192.0.2.1", "2001:db8:1::1", *THIRD)
        if not is_to(shot, record)
    ]
    assert field.got_in((field.stranger, 0, shots)) == []


def is_to(shot: Shot, addresses: tuple[str, ...]) -> bool:
    return any(ip_address(address).packed.hex() in shot["data"] for address in addresses)


def test_a_stranger_in_a_host_s_name_against_encrypted_hosts(encrypted: Field) -> None:
    inside = str(wireguard_address(encrypted.one.id))
    shots = stranger_shots(encrypted, "192.0.2.1", "2001:db8:1::1", inside)
    assert encrypted.got_in((encrypted.stranger, 0, shots)) == []


_SERVE = """
import selectors, socket, sys
waiting = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    waiting.register(socket.create_server(("::", port), family=10, dualstack_ipv6=True), 1)
print("ready", flush=True)
while True:
    for key, _ in waiting.select():
        key.fileobj.accept()[0].close()
"""
_KNOCK = """
import errno, socket, sys
from concurrent.futures import ThreadPoolExecutor
def knock(place):
    address, port = place.rsplit("@", 1)
    try:
        socket.create_connection((address, int(port)), 4).close()
        return place + " opens"
    except OSError as error:
        return place + " " + errno.errorcode.get(error.errno, "silent")
print(knock(sys.argv[1]))
with ThreadPoolExecutor(32) as threads:
    print(*threads.map(knock, sys.argv[2:]), sep="\\n")
"""
DOORS = (6783, 6785, 6786)
"""TCP ports of the mesh and of etcd, as the settings have them."""
ANOTHER = 8080


def test_a_workload_finds_the_doors_of_hosts_closed(field: Field) -> None:
    """Its own host's, at every address of it, and those of other hosts. It is told so at once."""
    hosts = ("192.0.2.1", "2001:db8:1::1", "198.51.100.1", *OTHERS["underlay"])
    servers = []
    try:
        for host in (field.one, field.two):
            command = ["nsenter", f"--net=/run/netns/{host.name}", sys.executable, "-c", _SERVE]
            server = subprocess.Popen(
                [*command, *map(str, (*DOORS, ANOTHER))], stdout=subprocess.PIPE, text=True
            )
            servers.append(server)
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
        places = [f"{to}@{port}" for to in hosts for port in (*DOORS, ANOTHER)]
        command = ["nsenter", f"--net=/run/netns/{field.a.name}", sys.executable, "-c", _KNOCK]
        done = subprocess.run([*command, *places], capture_output=True, text=True, check=True)
    finally:
        for server in servers:
            server.kill()
            server.communicate()
    found = dict(line.split() for line in done.stdout.splitlines())
    assert {place for place, what in found.items() if what == "opens"} == {
        f"{to}@{ANOTHER}" for to in hosts
    }
    assert found[places[0]] == "EHOSTUNREACH"
