"""What the host lets through, with real connections: out, in by published ports, and not at all.

A socket stays in the namespace in which it was made, so the test makes all of them itself. The
connection waits in the listener's backlog; `accept` tells whose address it came from.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.own_addresses import await_addresses_here
from tests.system.kernel.conftest import PATIENCE, run
from tests.system.kernel.test_kernel_sink import FOO, HOST, INNER, port, rows_of, settle
from weft.engine.ebpf.sink import Sink
from weft.engine.ebpf.tables.ports import PORTS, PortValue
from weft.kernel import netns
from weft.model.addresses import ip_address
from weft.model.choices import TransportProtocol
from weft.model.ids import MacAddress, host_place_id
from weft.model.records import Owner, Port, PublishedPort
from weft.model.service_addresses import DNS_PORT

pytestmark = pytest.mark.root
TIMEOUT_S = 2.0 * PATIENCE
HOST4, OUTSIDE4 = "192.0.2.10", "192.0.2.1"
HOST6, OUTSIDE6 = "2001:db8::10", "2001:db8::1"


class Town(NamedTuple):
    """A host, what is outside, two workloads on one network and one on an internal network."""

    sink: Sink
    host: str
    outside: str
    web: str
    client: str
    inner: str
    open: list[socket.socket]

    def listen(self, path: str, address: str, number: int) -> socket.socket:
        with netns.entered(path):
            made = socket.socket(_family(address))
        self.open.append(made)
        made.settimeout(TIMEOUT_S)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, number))
        made.listen()
        return made

    def datagrams(self, path: str, address: str, number: int) -> socket.socket:
        with netns.entered(path):
            made = socket.socket(_family(address), socket.SOCK_DGRAM)
        self.open.append(made)
        made.settimeout(TIMEOUT_S)
        made.bind((address, number))
        return made

    def connect(self, path: str, address: str, number: int) -> socket.socket:
        """Raises OSError when it does not come about."""
        with netns.entered(path):
            made = socket.socket(_family(address))
        self.open.append(made)
        made.settimeout(TIMEOUT_S)
        made.connect((address, number))
        return made

    def source_seen(self, listener: socket.socket, path: str, address: str, number: int) -> str:
        """The client's address as the server sees it, once bytes went both ways."""
        client = self.connect(path, address, number)
        server, peer = listener.accept()
        self.open.append(server)
        server.settimeout(TIMEOUT_S)
        client.sendall(b"ask")
        assert server.recv(16) == b"ask"
        server.sendall(b"answer")
        assert client.recv(16) == b"answer"
        return str(peer[0])

    def is_refused(self, path: str, address: str, number: int) -> bool:
        try:
            self.connect(path, address, number)
        except OSError:
            return True
        return False


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


PUBLISHED = (
    PublishedPort(protocol=TransportProtocol.TCP, host_port=8080, port=80),
    PublishedPort(
        protocol=TransportProtocol.TCP,
        host_port=8081,
        port=80,
        host_address=ip_address("127.0.0.1"),
    ),
    PublishedPort(protocol=TransportProtocol.TCP, host_port=9000, port=9000, count=1000),
    PublishedPort(protocol=TransportProtocol.TCP, host_port=7100, port=6100, count=100),
    PublishedPort(
        protocol=TransportProtocol.TCP,
        host_port=5100,
        port=5100,
        host_address=ip_address(HOST4),
        count=100,
    ),
)
PLACE = Port(
    id=host_place_id(HOST.id, FOO.id),
    network_id=FOO.id,
    host_id=HOST.id,
    mac=MacAddress("02:00:00:00:09:09"),
    slot=9,
    addresses=(ip_address("10.5.0.99"), ip_address("fd05::99")),
    owner=Owner(frontend="host"),
)


@pytest.fixture
def town(sink: Sink, host_netns: str, new_netns: Callable[[], str]) -> Iterator[Town]:
    outside = new_netns()
    name = outside.rsplit("/", 1)[1]
    run(f"ip link add up0 type veth peer name up1; ip link set up1 netns {name}")
    run(f"ip addr add {HOST4}/24 dev up0; ip addr add {HOST6}/64 dev up0 nodad")
    run("ip link set up0 up")
    with netns.entered(outside):
        run(f"ip addr add {OUTSIDE4}/24 dev up1; ip addr add {OUTSIDE6}/64 dev up1 nodad")
        await_addresses_here()
        run("ip link set up1 up; ip link set lo up")
    made = Town(sink, host_netns, outside, new_netns(), new_netns(), new_netns(), [])
    settle(sink, _desired(made))
    yield made
    for each in made.open:
        each.close()


def _desired(town: Town, *more: Port) -> dict[str, dict[object, object]]:
    return rows_of(  # type: ignore[return-value]
        port(1, path=town.web, published=PUBLISHED),
        port(2, path=town.client),
        port(3, INNER, town.inner),
        *more,
    )


@pytest.mark.parametrize(
    ("bound", "seen"), [(OUTSIDE4, HOST4), (OUTSIDE6, HOST6)], ids=["ipv4", "ipv6"]
)
def test_outside_sees_the_hosts_address(town: Town, bound: str, seen: str) -> None:
    listener = town.listen(town.outside, bound, 5000)
    assert town.source_seen(listener, town.client, bound, 5000) == seen


def test_internal_network_has_no_way_out(town: Town) -> None:
    town.listen(town.outside, OUTSIDE4, 5000)
    assert town.is_refused(town.inner, OUTSIDE4, 5000)


@pytest.mark.parametrize(
    ("host", "web", "source"),
    [(HOST4, "10.5.0.2", OUTSIDE4), (HOST6, "fd05::2", OUTSIDE6)],
    ids=["ipv4", "ipv6"],
)
def test_published_port_keeps_the_source_of_the_outside(
    town: Town, host: str, web: str, source: str
) -> None:
    listener = town.listen(town.web, web, 80)
    assert town.source_seen(listener, town.outside, host, 8080) == source


@pytest.mark.parametrize(
    ("address", "number", "gateway"),
    [
        ("127.0.0.1", 8080, "10.5.0.1"),
        ("127.0.0.1", 8081, "10.5.0.1"),
        (HOST4, 8080, "10.5.0.1"),
        (HOST6, 8080, "fd05::1"),
        ("::1", 8080, "fd05::1"),
    ],
)
def test_published_port_from_the_host_itself(
    town: Town, address: str, number: int, gateway: str
) -> None:
    web = "fd05::2" if ":" in address else "10.5.0.2"
    listener = town.listen(town.web, web, 80)
    assert town.source_seen(listener, town.host, address, number) == gateway


@pytest.mark.parametrize(
    ("host", "host_port", "number"),
    [
        (HOST4, 9000, 9000),
        (HOST4, 9999, 9999),
        (HOST6, 9999, 9999),
        (HOST4, 7100, 6100),
        (HOST6, 7199, 6199),
        (HOST4, 5199, 5199),
    ],
)
def test_a_row_of_ports_leads_to_as_many(
    town: Town, host: str, host_port: int, number: int
) -> None:
    web, source = ("fd05::2", OUTSIDE6) if ":" in host else ("10.5.0.2", OUTSIDE4)
    listener = town.listen(town.web, web, number)
    assert town.source_seen(listener, town.outside, host, host_port) == source


@pytest.mark.parametrize(
    ("host", "number"), [(HOST4, 8999), (HOST4, 10000), (HOST4, 7200), (HOST6, 5199)]
)
def test_a_row_of_ports_ends_where_it_ends(town: Town, host: str, number: int) -> None:
    web = "fd05::2" if ":" in host else "10.5.0.2"
    for there in {number, number - 1000}:
        town.listen(town.web, web, there)
    assert town.is_refused(town.outside, host, number)


@pytest.mark.parametrize(
    "published",
    [
        PublishedPort(protocol=TransportProtocol.TCP, host_port=1, port=1, count=65535),
        PublishedPort(protocol=TransportProtocol.TCP, host_port=15001, port=25001, count=10000),
    ],
    ids=["all", "shifted"],
)
def test_a_long_row_of_ports_comes_and_goes_in_seconds(
    town: Town, published: PublishedPort
) -> None:
    """Where each leads to another number, each is an element of its own to the kernel."""
    host_port = published.host_ports[9999]
    started_s = time.monotonic()
    settle(town.sink, rows_of(port(1, path=town.web, published=(published,))))
    listener = town.listen(town.web, "10.5.0.2", published.one(host_port).port)
    assert town.source_seen(listener, town.outside, HOST4, host_port) == OUTSIDE4
    settle(town.sink, rows_of(port(1, path=town.web)))
    assert time.monotonic() - started_s < 20
    assert town.is_refused(town.outside, HOST4, host_port)


def test_published_port_of_loopback_is_not_for_others(town: Town) -> None:
    town.listen(town.web, "10.5.0.2", 80)
    assert town.is_refused(town.outside, HOST4, 8081)


@pytest.mark.parametrize(("client", "host"), [("client", HOST4), ("web", HOST4), ("client", HOST6)])
def test_published_port_from_a_workload(town: Town, client: str, host: str) -> None:
    """Also from the very workload that it leads to."""
    web, gateway = ("fd05::2", "fd05::1") if ":" in host else ("10.5.0.2", "10.5.0.1")
    listener = town.listen(town.web, web, 80)
    path: str = getattr(town, client)
    assert town.source_seen(listener, path, host, 8080) == gateway


@pytest.mark.parametrize(
    "published",
    [
        PublishedPort(protocol=TransportProtocol.UDP, host_port=5353, port=53),
        PublishedPort(protocol=TransportProtocol.UDP, host_port=5301, port=1, count=100),
        PublishedPort(protocol=TransportProtocol.UDP, host_port=5300, port=5300, count=100),
    ],
    ids=["alone", "in a row", "in a row of the same numbers"],
)
def test_a_udp_flow_follows_its_published_port(town: Town, published: PublishedPort) -> None:
    """Though the client never pauses: before it is published, when it moves, when it goes."""
    asker = town.datagrams(town.outside, OUTSIDE4, 0)
    here = town.datagrams(town.host, HOST4, 5353)
    number = published.one(5353).port
    first = town.datagrams(town.web, "10.5.0.2", number)
    second = town.datagrams(town.client, "10.5.0.3", number)

    def heard_by(listener: socket.socket) -> bool:
        asker.sendto(b"ping", (HOST4, 5353))
        question, peer = listener.recvfrom(16)
        listener.sendto(question, peer)
        return asker.recvfrom(16) == (b"ping", (HOST4, 5353))

    assert heard_by(here)
    on_first = rows_of(port(1, path=town.web, published=(published,)), port(2, path=town.client))
    on_second = rows_of(port(1, path=town.web), port(2, path=town.client, published=(published,)))
    for desired, listener in ((on_first, first), (on_second, second), (_desired(town), here)):
        settle(town.sink, desired)
        assert heard_by(listener)


def test_flows_that_lead_where_they_should_outlive_weftd(town: Town) -> None:
    published = PublishedPort(protocol=TransportProtocol.UDP, host_port=5353, port=53)
    desired = rows_of(port(1, path=town.web, published=(published,)), port(2, path=town.client))
    settle(town.sink, desired)
    listener = town.datagrams(town.web, "10.5.0.2", 53)
    asker = town.datagrams(town.outside, OUTSIDE4, 0)
    asker.sendto(b"ping", (HOST4, 5353))
    _, peer = listener.recvfrom(16)
    town.sink.stop()
    town.sink.start()
    settle(town.sink, desired)
    listener.sendto(b"late answer", peer)
    assert asker.recvfrom(16) == (b"late answer", (HOST4, 5353))


def test_outside_cannot_reach_a_workload_that_is_not_published(town: Town) -> None:
    town.listen(town.client, "10.5.0.3", 80)
    with netns.entered(town.outside):
        run(f"ip route add 10.5.0.0/24 via {HOST4}; ip route add 10.6.0.0/16 via {HOST4}")
    assert town.is_refused(town.outside, "10.5.0.3", 80)
    town.listen(town.inner, "10.6.0.4", 80)
    assert town.is_refused(town.outside, "10.6.0.4", 80)


def test_host_is_refused_at_once_until_it_has_a_place(town: Town) -> None:
    listener = town.listen(town.client, "10.5.0.3", 80)
    with pytest.raises(OSError, match=r"[Hh]ost|[Pp]ermi"):
        town.connect(town.host, "10.5.0.3", 80)
    settle(town.sink, _desired(town, PLACE))
    assert town.source_seen(listener, town.host, "10.5.0.3", 80) == "10.5.0.99"
    settle(town.sink, _desired(town))
    assert town.is_refused(town.host, "10.5.0.3", 80)


def test_workload_reaches_the_host_but_not_its_loopback(town: Town) -> None:
    listener = town.listen(town.host, HOST4, 7000)
    assert town.source_seen(listener, town.client, HOST4, 7000) == "10.5.0.3"
    town.listen(town.host, "127.0.0.1", 7001)
    with netns.entered(town.client):
        run("ip link set lo down; ip route add 127.0.0.0/8 via 10.5.0.1 table main || true")
        run("echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet")
    assert town.is_refused(town.client, "127.0.0.1", 7001)


@pytest.mark.parametrize("program", ["iptables", "iptables-legacy"])
def test_beside_a_firewall_that_drops(town: Town, program: str) -> None:
    run(f"{program} -P FORWARD DROP; {program} -P INPUT DROP; {program} -A INPUT -i lo -j ACCEPT")
    settle(town.sink, _desired(town))
    listener = town.listen(town.outside, OUTSIDE4, 5000)
    assert town.source_seen(listener, town.client, OUTSIDE4, 5000) == HOST4
    listener = town.listen(town.web, "10.5.0.2", 80)
    assert town.source_seen(listener, town.outside, HOST4, 8080) == OUTSIDE4
    # The owner's rules for the host itself stand.
    town.listen(town.host, HOST4, 7000)
    assert town.is_refused(town.client, HOST4, 7000)
    assert "weft0" in run(f"{program} -S FORWARD")
    run(f"{program} -F FORWARD")
    settle(town.sink, _desired(town))
    assert "weft0" in run(f"{program} -S FORWARD")
    town.sink.purge()
    assert "weft0" not in run(f"{program} -S")
    assert run(f"{program} -S FORWARD").strip() == "-P FORWARD DROP"
    town.sink.start()


def test_established_connections_outlive_a_replaced_table(town: Town) -> None:
    listener = town.listen(town.web, "10.5.0.2", 80)
    client = town.connect(town.outside, HOST4, 8080)
    server, _ = listener.accept()
    town.open.append(server)
    server.settimeout(TIMEOUT_S)
    run("nft flush ruleset")
    settle(town.sink, _desired(town))
    for _ in range(3):
        client.sendall(b"still there?")
        assert server.recv(16) == b"still there?"
        server.sendall(b"yes")
        assert client.recv(16) == b"yes"


@pytest.mark.parametrize("program", ["", "iptables", "iptables-legacy"])
@pytest.mark.parametrize(
    ("asker", "number", "server", "resolver", "alias"),
    [
        ("client", 2, "169.254.53.53", "192.0.2.53", "240.0.0.0"),
        ("inner", 3, "169.254.53.53", "192.0.2.53", "240.0.0.0"),
        ("client", 2, "fd77:6566:7400::53", "2001:db8::53", "fd77:6566:7400:1::"),
    ],
)
def test_query_to_a_resolver_of_the_host_comes_from_the_askers_alias(
    town: Town, asker: str, number: int, server: str, resolver: str, alias: str, program: str
) -> None:
    """Beside a firewall, too, that lets in nothing, and out what conntrack knows."""
    if program:
        for each in (program, program.replace("ip", "ip6", 1)):
            run(f"{each} -P INPUT DROP; {each} -P OUTPUT DROP; {each} -A INPUT -i lo -j ACCEPT")
            run(f"{each} -A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
        settle(town.sink, _desired(town))
    ifindex = int(run(f"ip -o link show dev weft{number:011x}").split(":")[0])
    answering = town.datagrams(town.host, server, DNS_PORT)
    asking = town.datagrams(getattr(town, asker), "::" if ":" in resolver else "0.0.0.0", 0)
    asking.sendto(b"who?", (resolver, 53))
    question, peer = answering.recvfrom(16)
    assert question == b"who?"
    assert ip_address(peer[0]) == ip_address(alias) + ifindex
    answering.sendto(b"me", peer)
    answer, source = asking.recvfrom(16)
    assert (answer, source[:2]) == (b"me", (resolver, 53))


@pytest.mark.parametrize("server", ["169.254.53.53", "fd77:6566:7400::53"])
def test_the_host_asks_at_port_53_which_another_program_may_have(town: Town, server: str) -> None:
    everywhere = "::" if ":" in server else "0.0.0.0"
    town.datagrams(town.host, everywhere, 53)
    answering = town.datagrams(town.host, server, DNS_PORT)
    asking = town.datagrams(town.host, everywhere, 0)
    asking.sendto(b"who?", (server, 53))
    question, peer = answering.recvfrom(16)
    assert (question, peer[0]) == (b"who?", server)
    answering.sendto(b"me", peer)
    answer, source = asking.recvfrom(16)
    assert (answer, source[:2]) == (b"me", (server, 53))
    listener = town.listen(town.host, server, DNS_PORT)
    assert town.source_seen(listener, town.host, server, 53) == server


def test_forged_alias_does_not_reach_the_host(town: Town) -> None:
    server = town.datagrams(town.host, HOST4, 7002)
    server.settimeout(0.3 * PATIENCE)
    unchecked = _desired(town)
    key = "weft00000000002"
    value = unchecked[PORTS.name][key]
    assert isinstance(value, PortValue)
    unchecked[PORTS.name][key] = value._replace(is_spoof_checked=False)
    settle(town.sink, unchecked)
    with netns.entered(town.client):
        run("ip addr add 240.0.0.77/32 dev eth0")
    asker = town.datagrams(town.client, "240.0.0.77", 0)
    asker.sendto(b"hello", (HOST4, 7002))
    with pytest.raises(TimeoutError):
        server.recvfrom(16)
