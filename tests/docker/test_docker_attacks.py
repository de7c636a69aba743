"""Containers with Docker's default capabilities, NET_RAW among them, get nothing forged to others:
neither those on a network of Weft's, nor those on a bridge of Docker's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bpf import wire
from tests.bpf.overlay import vxlan
from tests.docker.conftest import Pair
from tests.docker.engine import CLI, Docker, until
from tests.system import attacker, frames

pytestmark = [pytest.mark.root, pytest.mark.docker]

LAST = b"the good one"
MOUNTS = [
    word
    for place in (
        "/usr:/usr:ro",
        "/lib:/lib:ro",
        "/lib64:/lib64:ro",
        f"{Path(__file__).parents[2]}:/w:ro",
    )
    for word in ("-v", place)
]
"""A Python and the attacker's program, in a container whose image has neither."""
SLEEP = ("sleep", "600")
GROUP, QUERIER = "239.1.2.3", "224.0.0.1"
Shot = dict[str, Any]


class Victim:
    """A container on the second host, and what it must not hear."""

    def __init__(self, docker: Docker, network: str, vni: int) -> None:
        self.docker = docker
        self.name = docker.run("--network", network, name="victim", command=SLEEP)
        until("the victim is known", lambda: docker.port_of(self.name) is not None)
        self.address = docker.address(self.name, network)
        port = docker.port_of(self.name)
        assert port is not None
        self.mac = port.mac
        self.pid = docker.inspect("container", self.name)["State"]["Pid"]
        self._vni = vni
        self._markers: list[str] = []

    def marker(self, what: str) -> bytes:
        """That the victim must not hear; `what` names the attack."""
        self._markers.append(what)
        return f"forged {len(self._markers) - 1:04d}.".encode()

    def packed(self, what: str) -> bytes:
        """A frame for it in VXLAN."""
        return vxlan(
            self._vni,
            frames.udp(
                "02:00:00:00:05:99", self.mac, "10.99.0.99", self.address, self.marker(what)
            ),
        )

    def heard(self, good: Attacker, attacks: list[tuple[Attacker, list[Shot]]]) -> list[str]:
        """Which attacks it has heard, up to a good frame that ends them."""
        command = ["nsenter", "-t", str(self.pid), "-n", sys.executable, frames.__file__]
        with subprocess.Popen(
            [*command, "listen", "eth0", LAST.hex()], stdout=subprocess.PIPE, text=True
        ) as listener:
            try:
                assert listener.stdout is not None
                assert listener.stdout.readline() == "listening\n"
                for who, shots in attacks:
                    assert who.fire(shots) == (len(shots), [])
                frame = frames.udp(good.mac, self.mac, good.address, self.address, LAST)
                good.fire([{"kind": "frame", "ifname": "eth0", "data": frame.hex()}])
                heard = listener.communicate(timeout=20)[0]
            finally:
                listener.kill()
        assert LAST.hex() in heard
        return [
            what
            for number, what in enumerate(self._markers)
            if f"forged {number:04d}.".encode().hex() in heard
        ]


class Attacker:
    """A container that runs the attacker's program."""

    def __init__(self, docker: Docker, network: str, name: str) -> None:
        self.docker = docker
        self.name = docker.run("--network", network, *MOUNTS, name=name, command=SLEEP)
        self.address = docker.address(self.name, network)
        place = docker.inspect("container", self.name)["NetworkSettings"]["Networks"][network]
        self.mac = docker.inside(self.name, "cat", "/sys/class/net/eth0/address").strip()
        self.gateway = str(place["Gateway"])

    def fire(self, shots: list[Shot]) -> tuple[int, list[str]]:
        """How many were fired, and why the others were not."""
        script = "/w/" + str(Path(attacker.__file__).relative_to(Path(__file__).parents[2]))
        command = [
            *self.docker.host.enter,
            CLI,
            "exec",
            "-i",
            self.name,
            "/usr/bin/python3",
            script,
        ]
        done = subprocess.run(
            [*command, "0"],
            input=json.dumps(shots),
            capture_output=True,
            text=True,
            env=self.docker.host.environment,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        fired, failed = json.loads(done.stdout)
        return fired, failed


def udp(to: str, payload: bytes, port: int = 4789) -> Shot:
    return {"kind": "udp", "to": to, "port": port, "data": payload.hex()}


def frame(data: bytes) -> Shot:
    return {"kind": "frame", "ifname": "eth0", "data": data.hex()}


def packed_shots(victim: Victim, pair: Pair, who: str, *, has_ipv6: bool) -> list[Shot]:
    """VXLAN in UDP, whole and in fragments, to addresses of the victim's host."""
    layout = pair.other.host.layout
    places = [str(layout.address4), "203.0.113.2"]
    if has_ipv6:
        places += [str(layout.address6), "2001:db8:3::2"]
    return [
        udp(to, victim.packed(f"{who}: {size} bytes to {to}").ljust(size, b"\0"))
        for to in places
        for size in (0, 3000)
    ]


def raw_shots(victim: Victim, me: Attacker) -> list[Shot]:
    """What a switch would pass: forged sources, answers of servers, queries, SNAP."""
    shots = []
    for mac in (victim.mac, frames.BROADCAST):
        for source_mac, source in ((victim.mac, me.address), (me.mac, "10.99.0.77")):
            what = f"source {source} at {source_mac} to {mac}"
            data = frames.udp(source_mac, mac, source, victim.address, victim.marker(what))
            shots.append(frame(data))
        for port in (67, 40000):
            body = wire.udp(
                me.address, victim.address, (port, 68), victim.marker(f"DHCP from {port}")
            )
            packet = wire.ipv4(me.address, victim.address, wire.UDP, body)
            shots.append(frame(wire.ether(mac, me.mac, wire.IPV4, packet)))
        query = b"\x11\0\0\0" + bytes(4) + victim.marker(f"IGMP query to {mac}")
        query = query[:2] + wire.checksum(query).to_bytes(2, "big") + query[4:]
        packet = wire.ipv4(me.address, QUERIER, 2, query, ttl=1)
        shots.append(frame(wire.ether(mac, me.mac, wire.IPV4, packet)))
        hidden = b"\xaa\xaa\x03\0\0\0\x08\x00" + victim.marker(f"SNAP to {mac}").ljust(60)
        shots.append(frame(wire.ether(mac, me.mac, len(hidden), hidden)))
        tagged = victim.marker(f"VLAN tag to {mac}").ljust(60)
        shots.append(frame(wire.ether(mac, me.mac, wire.VLAN, b"\0\0\x08\0" + tagged)))
    return shots


def boxed_shots(victim: Victim, pair: Pair, me: Attacker) -> list[Shot]:
    """Raw VXLAN in the name of each host, from a bridge of Docker's, to both."""
    gateway = me.docker.inside(me.name, "cat", "/proc/net/arp").splitlines()
    router = next(line.split()[3] for line in gateway if line.startswith(me.gateway))
    shots = []
    ends = [str(docker.host.layout.address4) for docker in pair]
    for source in (*ends, "203.0.113.2"):
        for to in (*ends, "203.0.113.2"):
            payload = victim.packed(f"raw from {source} to {to}")
            body = wire.udp(source, to, (50000, 4789), payload)
            packet = wire.ipv4(source, to, wire.UDP, body)
            shots.append(frame(wire.ether(router, me.mac, wire.IPV4, packet)))
    return shots


def test_nothing_forged_gets_into_a_container(pair: Pair) -> None:
    one, other = pair
    network = one.network("--subnet", "10.99.0.0/24", "--ipv6", "--subnet", "fd99::/64")
    until("both engines have it", lambda: network in other.weft_networks())
    vni = one.weft_networks()[network].vni
    until("the other engine has it", lambda: network in other("network", "ls"))
    for docker, words in (
        (other, "ip addr add 203.0.113.2/32 dev lo"),
        (other, "ip addr add 2001:db8:3::2/128 dev lo"),
        (one, f"ip route add 203.0.113.2 via {other.host.layout.address4}"),
        (one, f"ip route add 2001:db8:3::2 via {other.host.layout.address6}"),
    ):
        done = docker.on_host(*words.split())
        assert done.returncode == 0, done.stderr
    try:
        victim = Victim(other, network, vni)
        mine = Attacker(one, network, "mine")
        until("they reach each other", lambda: other.reaches(victim.name, mine.address))
        bridged = Attacker(one, "bridge", "bridged")
        one.inside(bridged.name, "/bin/busybox", "ping", "-c", "1", "-W", "5", bridged.gateway)
        attacks = [
            (mine, packed_shots(victim, pair, "workload", has_ipv6=True) + raw_shots(victim, mine)),
            (
                bridged,
                packed_shots(victim, pair, "bridge", has_ipv6=False)
                + boxed_shots(victim, pair, bridged),
            ),
        ]
        assert victim.heard(mine, attacks) == []
    finally:
        other.on_host(*["ip", "addr", "del", "203.0.113.2/32", "dev", "lo"])
        one.on_host(*["ip", "route", "del", "203.0.113.2"])
