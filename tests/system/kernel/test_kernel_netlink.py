from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable

import pytest

from tests.system.kernel.conftest import PATIENCE, run
from weft.errors import KernelError, NotFoundError
from weft.kernel import addresses, links, netns, routes, tc, underlay
from weft.kernel.links import VethEnd
from weft.kernel.netlink import Netlink
from weft.model.addresses import ip_address, ip_network

pytestmark = pytest.mark.root
MAC = "02:00:00:00:00:05"


def test_veth_is_born_with_its_peer_elsewhere(
    netlink: Netlink, new_netns: Callable[[], str]
) -> None:
    path = new_netns()
    with netns.opened(path) as fd:
        netlink.do(links.create_veth(VethEnd("weft0a"), VethEnd("eth7", MAC, fd), 1450))
        link = links.find_link(netlink, "weft0a")
        assert link is not None
        assert links.netns_ids(netlink, [fd]) == [link.peer_netns_id]
    assert (link.mtu_bytes, link.is_up, link.kind, link.alias) == (1450, False, "veth", "")
    with netns.netlink_in(path) as inside:
        peer = links.find_link(inside, link.peer_index)
        assert peer is not None
        assert (peer.name, peer.mac, peer.mtu_bytes) == ("eth7", MAC, 1450)


def test_address_is_usable_at_once(netlink: Netlink) -> None:
    netlink.do(links.create_veth(VethEnd("a"), VethEnd("b"), 1500))
    link = links.find_link(netlink, "a")
    assert link is not None
    netlink.do(
        links.set_up("a"),
        links.set_up("b"),
        addresses.add_address(link.ifindex, ip_address("10.1.0.2"), 24),
        addresses.add_address(link.ifindex, ip_address("fd00:1::2"), 64),
    )
    held = {
        (entry.address, entry.prefix_length)
        for entry in addresses.addresses(netlink, link.ifindex)
        if not entry.is_link_local
    }
    assert held == {(ip_address("10.1.0.2"), 24), (ip_address("fd00:1::2"), 64)}
    assert "tentative" not in run("ip -6 addr show dev a to fd00:1::2")
    prefixes = {route.prefix for route in routes.routes(netlink)}
    assert {ip_network("10.1.0.0/24"), ip_network("fd00:1::/64")} <= prefixes
    netlink.do(addresses.delete_address(link.ifindex, ip_address("10.1.0.2"), 24))
    assert "10.1.0.2" not in run("ip addr show dev a")


def test_packets_to_an_address_are_taken_at_once_when_it_was_awaited(netlink: Netlink) -> None:
    netlink.do(links.create_veth(VethEnd("a"), VethEnd("b"), 1500))
    netlink.do(links.set_up("a"), links.set_up("b"))
    link = links.find_link(netlink, "a")
    assert link is not None
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::", 0))
        sock.settimeout(2 * PATIENCE)
        for number in range(1, 100):
            address = ip_address(f"fd00:1::{number:x}")
            netlink.do(addresses.add_address(link.ifindex, address, 64))
            routes.await_own(netlink, [address], 10 * PATIENCE)
            sock.sendto(b"x", (str(address), sock.getsockname()[1]))
            assert sock.recv(9) == b"x", address


def test_default_route_to_a_gateway_outside_of_all_prefixes(netlink: Netlink) -> None:
    netlink.do(links.create_veth(VethEnd("a"), VethEnd("b"), 1500), links.set_up("a"))
    link = links.find_link(netlink, "a")
    assert link is not None
    for prefix, gateway in (("0.0.0.0/0", "10.7.0.1"), ("::/0", "fd00:7::1")):
        netlink.do(routes.add_gateway_route(ip_network(prefix), ip_address(gateway), link.ifindex))
    assert "via 10.7.0.1 dev a" in run("ip route show default")
    assert "via fd00:7::1 dev a" in run("ip -6 route show default")


def test_own_route_carries_mark_source_and_mtu(netlink: Netlink) -> None:
    netlink.do(links.create_veth(VethEnd("a"), VethEnd("b"), 1500), links.set_up("a"))
    link = links.find_link(netlink, "a")
    assert link is not None
    source, prefix = ip_address("10.1.0.2"), ip_network("10.9.0.0/24")
    netlink.do(
        addresses.add_address(link.ifindex, source, 32),
        routes.add_route(prefix, link.ifindex, source=source, mtu_bytes=1400),
    )
    (route,) = [route for route in routes.routes(netlink) if route.prefix == prefix]
    assert (route.source, route.mtu_bytes, route.protocol) == (source, 1400, routes.PROTOCOL)
    netlink.do(routes.delete_route(prefix, link.ifindex))
    assert "10.9.0.0" not in run("ip route")


def test_own_route_gives_way_to_the_hosts(netlink: Netlink) -> None:
    run("ip link add own0 type veth peer name own1; ip link set own0 up; ip link set own1 up")
    run("ip addr add 10.9.0.1/24 dev own0")
    run("ip link add other0 type veth peer name other1; ip link set other0 up")
    link = links.find_link(netlink, "other0")
    assert link is not None
    netlink.do(routes.add_route(ip_network("10.9.0.0/24"), link.ifindex))
    assert "dev own0" in run("ip route get 10.9.0.7")


def test_error_names_the_operation_and_the_kernels_words(netlink: Netlink) -> None:
    with pytest.raises(KernelError, match=r"add address 10.0.0.1/24 to device 999: No such device"):
        netlink.do(addresses.add_address(999, ip_address("10.0.0.1"), 24))


def test_a_failed_request_does_not_stop_those_after_it(netlink: Netlink) -> None:
    answers = netlink.run(
        [
            links.delete_link("nothing"),
            links.create_veth(VethEnd("a"), VethEnd("b"), 1500),
            links.create_veth(VethEnd("a"), VethEnd("b"), 1500),
            links.get_link("b"),
        ]
    )
    codes = [answer.error and answer.error.errno for answer in answers]
    assert codes == [errno.ENODEV, None, errno.EEXIST, None]
    assert links.parse_link(answers[3].body).name == "b"


def test_clsact_twice_and_no_filter_reads_as_none(netlink: Netlink) -> None:
    netlink.do(links.create_veth(VethEnd("a"), VethEnd("b"), 1500))
    link = links.find_link(netlink, "a")
    assert link is not None
    netlink.do(tc.add_clsact(link.ifindex), tc.add_clsact(link.ifindex))
    assert tc.filters(netlink, [tc.Hook(link.ifindex), tc.Hook(999)]) == {}


def test_a_thousand_links_are_read_in_a_moment(netlink: Netlink) -> None:
    netlink.do(
        *(
            links.create_veth(VethEnd(f"weft{number:011x}"), VethEnd(f"wefc{number:011x}"), 1450)
            for number in range(500)
        )
    )
    started_s = time.perf_counter()
    found = links.links(netlink, "veth")
    assert len(found) == 1000
    assert time.perf_counter() - started_s < 0.5 * PATIENCE
    assert {link.mtu_bytes for link in found} == {1450}


def test_namespace_that_is_none_is_refused(host_netns: str, new_netns: Callable[[], str]) -> None:
    for path in ("/proc/self/ns/uts", "/run/netns/not-there", "/etc/hostname"):
        with pytest.raises(NotFoundError, match=path), netns.opened(path):
            pass
    assert netns.is_own(host_netns)
    assert not netns.is_own(new_netns())


def test_entering_a_namespace_leads_back(host_netns: str, new_netns: Callable[[], str]) -> None:
    before = netns.inode()
    path = new_netns()
    with pytest.raises(ZeroDivisionError), netns.entered(path):
        assert netns.inode() == netns.inode(path) != before
        raise ZeroDivisionError
    assert netns.inode() == before


def test_underlay_is_the_device_of_the_default_route(netlink: Netlink) -> None:
    run("ip link add up0 type veth peer name up1; ip link set up0 up mtu 1300; ip link set up1 up")
    run("ip addr add 192.0.2.10/24 dev up0; ip route add default via 192.0.2.1")
    run("ip addr add 198.51.100.1/24 dev up1; ip route add 203.0.113.0/24 via 198.51.100.9")
    found = underlay.find()
    assert (found.ifname, found.addresses[0]) == ("up0", ip_address("192.0.2.10"))
    assert found.mtu_bytes == 1300
    assert underlay.find("up1").addresses == (ip_address("198.51.100.1"),)
    assert underlay.find(address=ip_address("198.51.100.1")).ifname == "up1"
    known = {route.prefix for route in underlay.host_routes()}
    assert known == {
        ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
    }


def test_underlay_of_a_lonely_host_is_loopback(netlink: Netlink) -> None:
    found = underlay.find()
    assert (found.ifname, found.mtu_bytes) == ("lo", 1500)
