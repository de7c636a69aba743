"""What a network promises to its ports: everybody on it is there, in both families."""

from __future__ import annotations

import pytest

from tests.system.frames import BROADCAST, ethernet, udp
from tests.system.workload import NewNetwork, NewWorkload, gateway, ping_counts
from weft.api.client import Client
from weft.api.schema import NetworkInfo
from weft.control.specs import AttachSpec
from weft.errors import WeftError

pytestmark = pytest.mark.root
MARKER = b"the last one that matters"


@pytest.fixture
def network(new_network: NewNetwork) -> NetworkInfo:
    return new_network()


@pytest.mark.smoke
def test_ports_reach_each_other_in_both_families(
    network: NetworkInfo, new_workload: NewWorkload
) -> None:
    one, two = new_workload(network), new_workload(network)
    for address in (two.address4, two.address6, gateway(network, 4), gateway(network, 6)):
        sent, answered = ping_counts(one.run("ping", "-n", "-c", "5", "-i", "0.05", address))
        assert sent == answered == 5, address


def test_a_stream_passes_whole(network: NetworkInfo, new_workload: NewWorkload) -> None:
    one, two = new_workload(network), new_workload(network)
    for address in (two.address4, two.address6):
        server = two.start("iperf3", "--server", "--one-off", "--forceflush", "-B", address)
        assert server.stdout is not None
        while "Server listening" not in server.stdout.readline():
            assert server.poll() is None
        one.run("iperf3", "--client", address, "--bytes", "200M", "-J", timeout_s=30)


@pytest.mark.smoke
def test_full_packets_pass_and_larger_ones_are_told_the_mtu(
    network: NetworkInfo, new_workload: NewWorkload
) -> None:
    one, two = new_workload(network), new_workload(network)
    mtu = int(one.run("cat", "/proc/sys/net/ipv6/conf/eth0/mtu"))
    assert mtu == 1450
    for address, headers in ((two.address4, 28), (two.address6, 48)):
        ping = ("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s")
        one.run(*ping, str(mtu - headers), address)
        assert one.try_run(*ping, str(mtu - headers + 1), address).returncode != 0


@pytest.mark.smoke
def test_broadcast_and_multicast_reach_this_network_and_no_other(
    network: NetworkInfo, new_network: NewNetwork, new_workload: NewWorkload
) -> None:
    other = new_network()
    sender, near, far = new_workload(network), new_workload(network), new_workload(network)
    stranger, messenger = new_workload(other), new_workload(other)
    listeners = [near.listen(MARKER), far.listen(MARKER)]
    alien = stranger.listen(MARKER)
    frames = [
        udp(sender.mac, BROADCAST, sender.address4, "255.255.255.255", b"to all"),
        udp(sender.mac, "01:00:5e:00:00:fb", sender.address4, "224.0.0.251", b"to a group"),
        udp(sender.mac, "33:33:00:00:00:01", sender.address6, "ff02::1", b"to a group of six"),
    ]
    sender.send(*frames)
    sender.send(udp(sender.mac, near.mac, sender.address4, near.address4, MARKER))
    sender.send(udp(sender.mac, far.mac, sender.address4, far.address4, MARKER))
    for listener in listeners:
        heard = listener.frames()
        assert all(heard.count(frame) == 1 for frame in frames)
    messenger.send(udp(messenger.mac, stranger.mac, messenger.address4, stranger.address4, MARKER))
    assert not set(frames) & set(alien.frames())


def test_unknown_unicast_is_not_flooded(network: NetworkInfo, new_workload: NewWorkload) -> None:
    sender, near = new_workload(network), new_workload(network)
    listener = near.listen(MARKER)
    nobody = "192.0.2.99"
    lost = udp(sender.mac, "02:00:00:00:00:99", sender.address4, nobody, b"to nobody")
    before = sender.drops("unknown_mac")
    sender.send(lost, udp(sender.mac, near.mac, sender.address4, near.address4, MARKER))
    assert lost not in listener.frames()
    assert sender.drops("unknown_mac") == before + 1


def test_neighbours_are_answered_from_the_records(
    network: NetworkInfo, new_workload: NewWorkload
) -> None:
    one, two = new_workload(network), new_workload(network)
    listener = two.listen(MARKER)
    assert one.reaches(two.address4)
    assert one.reaches(two.address6)
    table = one.run("ip", "neigh", "show")
    assert table.count(two.mac) >= 2
    one.send(udp(one.mac, two.mac, one.address4, two.address4, MARKER))
    requests = [f for f in listener.frames() if f[12:14] == b"\x08\x06" and f[20:22] == b"\0\1"]
    assert requests == []


def test_a_workload_on_several_networks(new_network: NewNetwork, new_workload: NewWorkload) -> None:
    left, right = new_network(), new_network()
    middle = new_workload(left, right)
    assert [port.device and port.device.peer_ifname for port in middle.ports] == ["eth0", "eth1"]
    for number, network in enumerate((left, right)):
        neighbour = new_workload(network)
        address = next(a for a in middle.ports[number].addresses if "." in a)
        assert neighbour.reaches(address)
        assert middle.reaches(neighbour.address6)


def test_fixed_addresses_and_macs(new_network: NewNetwork, new_workload: NewWorkload) -> None:
    network = new_network("10.78.0.0/24", "10.78.1.0/24", "fd78::/64")
    fixed = new_workload(
        network,
        addresses=("10.78.0.99", "10.78.1.77", "fd78::99"),
        mac="02:aa:bb:cc:dd:ee",
    )
    other = new_workload(network)
    for address in ("10.78.0.99", "10.78.1.77", "fd78::99"):
        assert other.reaches(address)
    assert "02:aa:bb:cc:dd:ee" in other.run("ip", "neigh")
    assert "02:aa:bb:cc:dd:ee" in fixed.run("ip", "link", "show", "eth0")


def test_counters_count_what_the_workload_sees(
    network: NetworkInfo, new_workload: NewWorkload
) -> None:
    one, two = new_workload(network), new_workload(network)
    one.run("ping", "-n", "-c", "1", two.address4)  # both know each other now
    before = one.counters(), two.counters()
    ping = ("ping", "-n", "-c", "50", "-i", "0.01", "-s", "1000", two.address4)
    assert ping_counts(one.run(*ping)) == (50, 50)
    for old, new in zip(before, (one.counters(), two.counters())):
        assert 50 <= new.rx_packets - old.rx_packets < 60
        assert 50 <= new.tx_packets - old.tx_packets < 60
        assert new.rx_bytes - old.rx_bytes >= 50 * 1042
        assert new.drops == old.drops


def test_nonsense_does_no_harm(network: NetworkInfo, new_workload: NewWorkload) -> None:
    one, two = new_workload(network), new_workload(network)
    good = udp(one.mac, two.mac, one.address4, two.address4, b"words")
    for length in range(14, len(good)):
        one.send(good[:length])
    one.send(
        ethernet(one.mac, two.mac, 0x0800, b"\x4f" + bytes(19)),
        ethernet(one.mac, two.mac, 0x86DD, b"\x60" + bytes(39)),
        ethernet(one.mac, two.mac, 0x8100, bytes(60)),
        ethernet(one.mac, BROADCAST, 0x0806, bytes(46)),
        *(ethernet(one.mac, two.mac, kind, bytes(46)) for kind in (0x0000, 0x88A8, 0xFFFF)),
    )
    assert one.reaches(two.address4)
    assert one.reaches(two.address6)


def test_attaching_again_changes_nothing(
    network: NetworkInfo, new_workload: NewWorkload, api: Client
) -> None:
    workload = new_workload(network)
    again = workload.attach(network)
    assert again == workload.ports[0]
    workload.detach(network)
    assert "eth0" not in workload.run("ip", "-brief", "link")
    workload.detach(network)


@pytest.mark.parametrize("target", ["/run/netns/missing", "4194304", "no-such-container"])
def test_attaching_what_is_not_there_leaves_no_port(
    network: NetworkInfo, api: Client, target: str
) -> None:
    with pytest.raises(WeftError, match=target):
        api.request("POST", ("attachments",), body=AttachSpec(target=target, network=network.name))
    assert api.get(NetworkInfo, "networks", network.name).port_count == 0
