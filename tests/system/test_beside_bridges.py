"""A Weft host beside what it does not know: other bridges, VPNs, and rules that masquerade.

No weftd and no Docker: the records are in memory, and the other bridge is made by hand, with the
rules that Docker, Podman, libvirt and VPN servers put there.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import families
from tests.own_addresses import await_addresses
from tests.system import overlay as world
from tests.system.overlay import Overlay, port_on
from tests.system.overlay_host import OverlayHost
from tests.system.overlay_workload import Workload, sh, until
from tests.system.workload import PATIENCE
from weft.kernel import netns
from weft.model.choices import TransportProtocol
from weft.model.records import PublishedPort
from weft.observers.host import prefixes

pytestmark = pytest.mark.root

HOST = {4: "192.0.2.1", 6: "2001:db8::1"}
OUTSIDE = {4: "192.0.2.9", 6: "2001:db8::9"}
BRIDGED = {4: "172.30.0.5", 6: "fd30::5"}
GATEWAY = {4: "10.5.0.1", 6: "fd05::1"}
PORT = 8080
_SERVE = """
import socket, threading
def tcp(family):
    server = socket.create_server(("::" if family == 10 else "0.0.0.0", 80), family=family)
    threading.Thread(target=answer_tcp, args=(server,)).start()
def answer_tcp(server):
    while True:
        connection, peer = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(peer[0].encode())
def udp(family):
    server = socket.socket(family, socket.SOCK_DGRAM)
    if family == 10:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind(("::" if family == 10 else "0.0.0.0", 80))
    threading.Thread(target=answer_udp, args=(server,)).start()
def answer_udp(server):
    while True:
        _, peer = server.recvfrom(100)
        server.sendto(peer[0].encode(), peer)
for serve in (tcp, udp):
    for family in (2, 10):
        serve(family)
print("ready", flush=True)
"""
_ASK = """
import socket, sys
address, port, kind, patience_s = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
family = 10 if ":" in address else 2
with socket.socket(family, 1 if kind == "tcp" else 2) as asker:
    asker.settimeout(patience_s)
    asker.connect((address, port))
    asker.send(b"who am I?")
    print(asker.recv(100).decode())
"""


class Server:
    """Tells over TCP and UDP port 80 from which address it was asked."""

    def __init__(self, namespace: str) -> None:
        words = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-c", _SERVE]
        self._child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        if self._child.stdout.readline() != "ready\n":
            self.close()
            raise AssertionError(f"no server in {namespace}")

    def close(self) -> None:
        self._child.kill()
        self._child.communicate()


def ask(namespace: str, address: str, kind: str, port: int = PORT) -> str:
    """From whom the server was asked, as it says itself; empty when no answer comes."""
    return _asked(namespace, address, kind, port).stdout.strip()


def is_refused(namespace: str, address: str, port: int) -> bool:
    """Whether who asks a closed port over UDP learns of it, by an ICMP error."""
    return "ConnectionRefusedError" in _asked(namespace, address, "udp", port).stderr


def _asked(namespace: str, address: str, kind: str, port: int) -> subprocess.CompletedProcess[str]:
    words = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-c", _ASK]
    words += [address, str(port), kind, str(PATIENCE)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


class Beside(NamedTuple):
    """One host with a workload that publishes ports, another bridge with a container, and the
    outside, which serves as well."""

    overlay: Overlay
    host: OverlayHost
    workload: Workload
    bridged: str
    outside: str


def bridge(
    overlay: Overlay, host: OverlayHost, name: str, inner: dict[int, str], length4: int = 16
) -> str:
    """A bridge on the host, and a namespace behind it with these addresses; the bridge has the
    first address of each prefix."""
    container = overlay.namespace(name)
    four, six = inner[4], inner[6]
    gateway4, gateway6 = ".".join((*four.split(".")[:3], "1")), six.rpartition(":")[0] + ":1"
    host.run(
        f"ip link add {name} type bridge mcast_snooping 0; "
        f"ip addr add {gateway4}/{length4} dev {name}; ip addr add {gateway6}/64 dev {name} nodad; "
        f"ip link add {name}p type veth peer eth0 netns {container}; "
        f"ip link set {name}p master {name} up; ip link set {name} up; "
        f"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
    )
    sh(
        container,
        f"ip addr add {four}/{length4} dev eth0; ip addr add {six}/64 dev eth0 nodad; "
        f"ip link set eth0 up; ip route add default via {gateway4}; "
        f"ip route add default via {gateway6}",
    )
    for each in (host.name, container):
        await_addresses(f"/run/netns/{each}")
    return container


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Beside]:
    with world.made(tmp_path) as overlay:
        switch = overlay.switch()
        host = overlay.host(switch, "192.0.2.1/24", "2001:db8::1/64")
        outside = overlay.namespace("outside")
        overlay.plug(outside, switch, "up0", "192.0.2.9/24", "2001:db8::9/64")
        bridged = bridge(overlay, host, "br0", BRIDGED)
        overlay.start()
        name = overlay.namespace("web")
        published = tuple(
            PublishedPort(protocol=TransportProtocol(kind), host_port=PORT, port=80)
            for kind in ("tcp", "udp")
        )
        workload = Workload(name, port_on(host, name, 5, published=published))
        overlay.write(workload.port)
        with contextlib.ExitStack() as servers:
            for namespace in (name, outside):
                servers.callback(Server(namespace).close)
            yield Beside(overlay, host, workload, bridged, outside)


MASQUERADES = {
    "as Docker does": "iptables -t nat -A POSTROUTING -s 172.30.0.0/16 ! -o br0 -j MASQUERADE; "
    "ip6tables -t nat -A POSTROUTING -s fd30::/64 ! -o br0 -j MASQUERADE",
    "by legacy iptables": "iptables-legacy -t nat -A POSTROUTING -s 172.30.0.0/16 -j MASQUERADE; "
    "ip6tables-legacy -t nat -A POSTROUTING -s fd30::/64 -j MASQUERADE",
    "everything, and early": "nft 'table inet vpn { chain out { "
    "type nat hook postrouting priority srcnat - 10; masquerade random; }; }'",
    "as Docker 28 does": "iptables -t raw -A PREROUTING -d 172.30.0.5 ! -i br0 -j DROP; "
    "ip6tables -t raw -A PREROUTING -d fd30::5 ! -i br0 -j DROP; "
    "iptables -t nat -A POSTROUTING -s 172.30.0.0/16 ! -o br0 -j MASQUERADE; "
    "ip6tables -t nat -A POSTROUTING -s fd30::/64 ! -o br0 -j MASQUERADE",
    "nothing": "true",
}


PUBLISH = (
    "iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 9000 "
    "-j DNAT --to-destination 172.30.0.5:80; "
    "ip6tables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 9000 "
    "-j DNAT --to-destination [fd30::5]:80"
)


@pytest.mark.parametrize(
    "masquerade", families.of(MASQUERADES.values(), ids=[*MASQUERADES], always=2)
)
def test_answers_come_back_whoever_masquerades(beside: Beside, masquerade: str) -> None:
    beside.host.run(masquerade)
    for version in (4, 6):
        for kind in ("tcp", "udp"):
            found = ask(beside.bridged, HOST[version], kind)
            assert found == GATEWAY[version], (version, kind)
            assert ask(beside.outside, HOST[version], kind) == OUTSIDE[version], (version, kind)
            assert ask(beside.host.name, HOST[version], kind), (version, kind)
            assert ask(beside.workload.name, HOST[version], kind), (version, kind)
            found = ask(beside.workload.name, OUTSIDE[version], kind, 80)
            assert found == HOST[version], (version, kind)


def test_a_port_that_another_bridge_publishes_is_reached_from_a_network(beside: Beside) -> None:
    beside.host.run(MASQUERADES["as Docker does"])
    beside.host.run(PUBLISH)
    with contextlib.closing(Server(beside.bridged)):
        for version in (4, 6):
            assert ask(beside.workload.name, HOST[version], "tcp", 9000), version
            assert ask(beside.workload.name, f"{BRIDGED[version]}", "tcp", 80), version


class Rival(NamedTuple):
    """Something of the host's own under the addresses of a network."""

    bridge4: str = ""
    """Address of a container on a bridge; empty: there is none."""
    bridge6: str = "fd05::5"
    length4: int = 24
    more: str = "true"
    """What else is done on the host."""


RIVALS = {
    "the same prefix and addresses": Rival("10.5.0.5"),
    "a wider prefix": Rival("10.5.0.77", length4=15),
    "a narrower prefix": Rival("10.5.0.5", length4=28),
    "a route to somewhere else": Rival(
        more="ip route add 10.5.0.0/25 via 192.0.2.99; "
        "ip -6 route add fd05::/80 via 2001:db8::99 dev up0"
    ),
    "a table that is asked first": Rival(
        more="ip rule add pref 5270 lookup 52; ip -6 rule add pref 5270 lookup 52; "
        "ip route add default via 192.0.2.99 table 52; "
        "ip route add 192.0.2.0/24 dev up0 table 52; ip route add 172.30.0.0/16 dev br0 table 52; "
        "ip -6 route add default via 2001:db8::99 dev up0 table 52; "
        "ip -6 route add 2001:db8::/64 dev up0 table 52; "
        "ip -6 route add fd30::/64 dev br0 table 52"
    ),
}


def tell_prefixes(beside: Beside) -> None:
    """As weftd does when something changes."""
    with netns.entered(f"/run/netns/{beside.host.name}"):
        found = prefixes.find(beside.host.id)
    beside.overlay.write(found)


@pytest.mark.parametrize("rival", families.of(RIVALS.values(), ids=[*RIVALS], always=2))
def test_a_network_works_where_the_host_has_its_prefix_otherwise(
    beside: Beside, rival: Rival
) -> None:
    """Both go on: the network has its way out and its published ports, the host what it had."""
    host = beside.host
    host.run(rival.more)
    with contextlib.ExitStack() as servers:
        if rival.bridge4:
            behind = {4: rival.bridge4, 6: rival.bridge6}
            rivals = bridge(beside.overlay, host, "br1", behind, rival.length4)
            gateways = {4: f"{rival.bridge4.rpartition('.')[0]}.1", 6: "fd05::1"}
            host.run("iptables -t nat -A POSTROUTING -o up0 -j MASQUERADE")
            host.run("ip6tables -t nat -A POSTROUTING -o up0 -j MASQUERADE")
            servers.callback(Server(rivals).close)
        tell_prefixes(beside)
        assert not host.failures()
        for version in (4, 6):
            assert is_refused(beside.workload.name, OUTSIDE[version], 81), version
            assert is_refused(beside.workload.name, HOST[version], 81), version
            for kind in ("tcp", "udp"):
                case = (version, kind)
                assert ask(beside.outside, HOST[version], kind) == OUTSIDE[version], case
                assert ask(beside.workload.name, OUTSIDE[version], kind, 80) == HOST[version], case
                assert ask(host.name, HOST[version], kind), case
                assert ask(beside.workload.name, HOST[version], kind), case
                assert ask(beside.bridged, HOST[version], kind), case
                if rival.bridge4:
                    assert ask(host.name, behind[version], kind, 80) == gateways[version], case
                    assert ask(rivals, OUTSIDE[version], kind, 80) == HOST[version], case
                    assert ask(rivals, HOST[version], kind), case
        for kind in ("tcp", "udp"):
            assert ask(host.name, "127.0.0.1", kind), kind


def test_what_is_inside_wireguard_stays_there_whatever_table_is_asked_first(
    beside: Beside,
) -> None:
    host = beside.host
    host.run(RIVALS["a table that is asked first"].more)
    host.run("ip -6 route add fd77:6566:7401::/64 dev lo proto 87")
    there = "ip -6 route get fd77:6566:7401::5"
    assert "dev up0" in host.run(there)
    tell_prefixes(beside)
    assert "dev lo" in host.run(there)
    host.run("ip rule del pref 5270; ip -6 rule del pref 5270")
    tell_prefixes(beside)
    assert "87:" not in host.run("ip rule; ip -6 rule")


def test_a_rival_that_comes_and_goes_leaves_no_trace(beside: Beside) -> None:
    host = beside.host
    assert "87:" not in host.run("ip rule; ip -6 rule")
    bridge(beside.overlay, host, "br1", {4: "10.4.0.5", 6: "fd05::5"}, 14)
    tell_prefixes(beside)
    assert host.run("ip rule; ip -6 rule").count("87:") == 2
    assert "10.5.0.0/24 dev weft0" not in host.run("ip route")
    assert "10.5.0.0/24 dev weft0" in host.run("ip route show table 8787")
    host.run("ip rule del pref 87; ip route flush table 8787")
    until(lambda: host.run("ip rule").count("87:") == 1, "the rule is put back")
    until(lambda: "10.5.0.0/24" in host.run("ip route show table 8787"), "the route is put back")
    host.run("ip link del br1")
    tell_prefixes(beside)
    assert "87:" not in host.run("ip rule; ip -6 rule")
    assert "10.5.0.0/24 dev weft0" in host.run("ip route")
    assert "weft0" not in host.run("ip route show table 8787 || true")
    assert "own_ways" not in host.run("nft list table inet weft")
