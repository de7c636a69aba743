"""Router advertisements, to real kernels: what they configure from them, and who gets none."""

from __future__ import annotations

import sys
from ipaddress import ip_network

import pytest

from tests.system.frames import ethernet
from tests.system.workload import NewNetwork, NewWorkload, Weft, Workload, until
from weft.api.schema import NetworkInfo
from weft.model.addresses import address_from_mac
from weft.model.addresses import ip_network as prefix_of
from weft.observers.advertising.messages import advertisement
from weft.semantics.advertised import Advertised, AdvertisedPrefix

pytestmark = pytest.mark.root
ROUTER = "fe80::857:45ff:fe46:5401"
_ASK = """
import socket, struct, sys
ifindex = socket.if_nametoindex("eth0")
ask = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
ask.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
ask.settimeout(float(sys.argv[1]))
ask.sendto(struct.pack(">BBHI", 133, 0, 0, 0), ("ff02::2", 0, 0, ifindex))
try:
    while True:
        message, sender = ask.recvfrom(2000)
        if message[0] == 134:
            print(sender[0].partition("%")[0], message.hex())
            break
except TimeoutError:
    print("silence")
"""


def subnet_of(network: NetworkInfo) -> str:
    return next(each.cidr for each in network.subnets if ":" in each.cidr)


def routes(workload: Workload) -> str:
    """That its kernel has made from advertisements."""
    return workload.run("ip", "-6", "route", "show", "proto", "ra")


def has_prefix(workload: Workload, network: NetworkInfo) -> bool:
    """Whether it is on the link."""
    return "dev eth0" in workload.run("ip", "-6", "route", "show", subnet_of(network))


def asks(workload: Workload, patience_s: float = 8.0) -> str:
    """Who answers, and what, as soon as it has an address to ask from."""
    ready = ("ip", "-6", "addr", "show", "dev", "eth0", "scope", "link", "-tentative")
    until("a link-local address", lambda: "fe80::" in workload.run(*ready))
    return workload.run(sys.executable, "-c", _ASK, str(patience_s), timeout_s=patience_s + 20)


def forget(workload: Workload) -> None:
    """As a machine that was plugged in has it which nobody has told anything."""
    workload.run("ip", "-6", "route", "flush", "dev", "eth0", "scope", "global")
    workload.run("ip", "-6", "route", "flush", "dev", "eth0", "proto", "ra")


@pytest.mark.smoke
def test_a_kernel_configures_itself(new_network: NewNetwork, new_workload: NewWorkload) -> None:
    network = new_network(mtu_bytes=1390)
    one, two = new_workload(network), new_workload(network)
    forget(one)
    said = asks(one).split()
    assert said[0] == ROUTER
    until("a default route", lambda: f"default via {ROUTER}" in routes(one))
    until("its prefix", lambda: has_prefix(one, network))
    assert one.run("cat", "/proc/sys/net/ipv6/conf/eth0/mtu").strip() == "1390"
    gateway = ip_network(subnet_of(network))[1].packed.hex()
    assert gateway in said[1], "the gateway answers names"
    assert one.reaches(two.address6)


def test_an_address_is_formed_if_it_is_the_ports_own(
    new_network: NewNetwork, new_workload: NewWorkload
) -> None:
    network, mac = new_network(), "02:00:00:00:aa:01"
    prefix = prefix_of(subnet_of(network))
    own = address_from_mac(prefix, mac)  # type: ignore[arg-type]
    one = new_workload(network, mac=mac, addresses=(own,))
    two = new_workload(network)
    for workload in (one, two):
        workload.run("ip", "-6", "addr", "flush", "dev", "eth0", "scope", "global")
        forget(workload)
        asks(workload)
        until("a default route", lambda each=workload: "default" in routes(each))  # type: ignore[misc]
    until("its address", lambda: f"{own}/64" in one.run("ip", "-6", "addr", "show", "dev", "eth0"))
    assert str(prefix[0])[:-1] not in two.run("ip", "-6", "addr", "show", "dev", "eth0")


def test_who_gets_none_and_what_is_taken_back(
    new_network: NewNetwork, new_workload: NewWorkload, weft: Weft
) -> None:
    network = new_network()
    one = new_workload(network)
    until("a default route", lambda: f"default via {ROUTER}" in routes(one))
    subnet = subnet_of(network)
    weft("network", "set", network.name, "--router-advertisements", f"{subnet}=off")
    until("it is taken back", lambda: "default" not in routes(one))
    assert asks(one, 4.0).split() == ["silence"]
    weft("network", "set", network.name, "--router-advertisements", f"{subnet}=all")
    until("it comes again", lambda: f"default via {ROUTER}" in routes(one))
    assert "router advertisements to all ports" in weft("network", "inspect", network.name)


def test_an_internal_network_has_no_default_router_but_a_routed_one_has(
    new_network: NewNetwork, new_workload: NewWorkload, weft: Weft
) -> None:
    inner, other = new_network(is_internal=True), new_network()
    one = new_workload(inner)
    forget(one)
    asks(one)
    until("its prefix", lambda: has_prefix(one, inner))
    assert "default" not in routes(one)
    weft("router", "create", "ra", "--network", inner.name, "--network", other.name)
    try:
        until("a default route", lambda: f"default via {ROUTER}" in routes(one))
    finally:
        weft("router", "rm", "ra")
    until("it is taken back", lambda: "default" not in routes(one))


def test_what_a_workload_says_is_believed_by_nobody(
    new_network: NewNetwork, new_workload: NewWorkload
) -> None:
    network = new_network()
    one, two = new_workload(network), new_workload(network)
    evil = Advertised(
        prefixes=(AdvertisedPrefix(prefix_of("fd66::/64"), is_autonomous=True),),  # type: ignore[arg-type]
        is_router=True,
        routes=(),
        resolvers=(),
        mtu_bytes=1280,
    )
    frame = advertisement(evil)
    for source in (one.mac, "0a:57:45:46:54:01"):
        one.send(ethernet(one.mac, "33:33:00:00:00:01", 0x86DD, frame[14:]))
        one.send(frame[:6] + bytes.fromhex(source.replace(":", "")) + frame[12:])
    assert asks(two).split()[0] == ROUTER
    assert "fd66::" not in two.run("ip", "-6", "addr", "show", "dev", "eth0")
    assert two.run("cat", "/proc/sys/net/ipv6/conf/eth0/mtu").strip() == "1450"


def test_it_outlasts_weftd(new_network: NewNetwork, new_workload: NewWorkload) -> None:
    one = new_workload(new_network())
    until("a default route", lambda: f"default via {ROUTER}" in routes(one))
    shown = one.run("ip", "-6", "route", "show", "default", "proto", "ra")
    left_s = int(shown.partition("expires ")[2].partition("sec")[0])
    assert left_s > 60_000, shown
