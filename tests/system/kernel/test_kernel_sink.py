"""The sink against a real kernel: what is desired becomes true, stays true and can go again."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path

import msgspec
import pytest

from tests.system.kernel.conftest import PATIENCE, run
from weft.config import Settings
from weft.engine.compiler import Compiler
from weft.engine.difference import difference
from weft.engine.ebpf.compile import functions as compile_functions
from weft.engine.ebpf.sink import Sink
from weft.engine.ebpf.tables import TABLES
from weft.engine.ebpf.tables.filters import FILTERS, FilterKey, FilterValue
from weft.engine.ebpf.tables.nftables import NFTABLES
from weft.engine.plumbing.tables.devices import DEVICES
from weft.engine.plumbing.tables.wireguard import WIREGUARD, WIREGUARD_PEERS
from weft.kernel import netns, sysctl
from weft.model.addresses import ip_address, ip_network
from weft.model.choices import Action, Direction, PeerKind, TransportProtocol
from weft.model.ids import (
    GroupId,
    HostId,
    MacAddress,
    NetworkId,
    PortId,
    RouterId,
    RouterPortId,
    RuleId,
    SubnetId,
    Vni,
)
from weft.model.records import (
    AllowedAddress,
    Host,
    HostPrefixes,
    Network,
    Owner,
    Peer,
    Port,
    PublishedPort,
    Record,
    Router,
    RouterPort,
    SecurityGroup,
    SecurityRule,
    Subnet,
    Veth,
)
from weft.store.memory import MemoryStore

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("addresses")]

Rows = Mapping[str, Mapping[Hashable, Hashable]]
HOST = Host(
    id=HostId("a" * 16),
    name="h1",
    underlay=(ip_address("192.0.2.10"), ip_address("2001:db8::10")),
    network_mtu_bytes=1400,
    resolvers=(ip_address("192.0.2.53"), ip_address("2001:db8::53")),
)
OTHER = Host(id=HostId("b" * 16), name="h2", underlay=(ip_address("192.0.2.2"),))
FOO = Network(id=NetworkId("f" * 16), name="foo", vni=Vni(5))
INNER = Network(id=NetworkId("e" * 16), name="inner", vni=Vni(6), is_internal=True)
SUBNETS = (
    Subnet(
        id=SubnetId("1" * 16),
        cidr=ip_network("10.5.0.0/24"),
        network_id=FOO.id,
        gateway=ip_address("10.5.0.1"),
    ),
    Subnet(
        id=SubnetId("2" * 16),
        cidr=ip_network("fd05::/64"),
        network_id=FOO.id,
        gateway=ip_address("fd05::1"),
    ),
    Subnet(
        id=SubnetId("3" * 16),
        cidr=ip_network("10.6.0.0/16"),
        network_id=INNER.id,
        gateway=ip_address("10.6.0.1"),
    ),
)


GUARDED = (
    SecurityGroup(id=GroupId("00000000-0000-4000-8000-000000000001"), name="guarded"),
    SecurityRule(
        id=RuleId("00000000-0000-4000-8000-000000000002"),
        group_id=GroupId("00000000-0000-4000-8000-000000000001"),
        direction=Direction.INGRESS,
        action=Action.ALLOW,
        peer=Peer(kind=PeerKind.CIDR, cidr=ip_network("10.5.0.0/16")),
    ),
    SecurityRule(
        id=RuleId("00000000-0000-4000-8000-000000000003"),
        group_id=GroupId("00000000-0000-4000-8000-000000000001"),
        direction=Direction.EGRESS,
        action=Action.ALLOW,
        peer=Peer(kind=PeerKind.NETWORK, network_id=FOO.id),
    ),
)
ROUTED = (
    Router(id=RouterId("r1"), name="r1"),
    RouterPort(
        id=RouterPortId("r1-foo"),
        router_id=RouterId("r1"),
        network_id=FOO.id,
        mac=MacAddress("02:00:00:00:02:01"),
        addresses=(ip_address("10.5.0.250"),),
    ),
)


def port(number: int, network: Network = FOO, path: str | None = None, **fields: object) -> Port:
    """A port with a device; its peer waits in the host's namespace unless `path` is given."""
    text = ("10.5.0.", "fd05::") if network is FOO else ("10.6.0.",)
    values: dict[str, object] = {
        "id": PortId(f"{number:016x}"),
        "network_id": network.id,
        "host_id": HOST.id,
        "mac": MacAddress(f"02:00:00:00:00:{number:02x}"),
        "slot": number,
        "addresses": tuple(ip_address(f"{start}{number + 1}") for start in text),
        "owner": Owner(frontend="cli"),
        "device": Veth(
            ifname=f"weft{number:011x}",
            peer_ifname="eth0" if path else f"wefc{number:011x}",
            netns=path,
            netns_inode=netns.inode(path) if path else None,
        ),
    }
    return Port(**(values | fields))  # type: ignore[arg-type]


def rows_of(*records: Record) -> Rows:
    base: Iterable[Record] = (HOST, FOO, INNER, *SUBNETS)
    functions = compile_functions(HOST.id)
    return Compiler(functions, MemoryStore([*base, *records])).rows()


def settle(sink: Sink, desired: Rows) -> None:
    """One reconcile; afterwards all is as desired and there is nothing left to do."""
    assert sink.apply(*difference(desired, sink.actual(desired))) == []
    assert difference(desired, sink.actual(desired)) == ({}, {})


def until_gone(ifname: str) -> None:
    """The kernel takes a dead namespace's devices apart in its own time."""
    deadline_s = time.monotonic() + 10 * PATIENCE
    while f"{ifname}@" in run("ip -o link"):
        assert time.monotonic() < deadline_s, f"{ifname} is still there"
        time.sleep(0.01)


def snapshot(bpffs: Path) -> dict[str, str]:
    """Everything of a host that Weft could have touched."""
    commands = {
        "links": "ip -o link | sed 's/^[0-9]*: //'",
        "addresses": "ip -o addr",
        "routes": "ip route show table all; ip -6 route show table all",
        "routing rules": "ip rule; ip -6 rule",
        "rules": "nft list ruleset",
        "filters": "tc qdisc show",
        "forwarding": "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding",
        "mounts": f"grep {bpffs} /proc/mounts || true",
    }
    return {name: run(command) for name, command in commands.items()}


@pytest.mark.smoke
def test_desired_becomes_actual_and_a_second_look_finds_nothing(
    sink: Sink, new_netns: Callable[[], str]
) -> None:
    desired = rows_of(
        port(1, path=new_netns(), multicast_groups=(ip_address("239.1.1.1"),)),
        port(2, groups=(GUARDED[0].id,)),
        port(3, INNER, new_netns()),
        port(
            4,
            allowed=(
                AllowedAddress(cidr=ip_network("10.5.0.128/25")),
                AllowedAddress(cidr=ip_network("fd05::/96"), mac=MacAddress("02:00:00:00:01:04")),
            ),
            published=(
                PublishedPort(protocol=TransportProtocol.TCP, host_port=8080, port=80),
                PublishedPort(
                    protocol=TransportProtocol.UDP,
                    host_port=53,
                    port=53,
                    host_address=ip_address("127.0.0.1"),
                ),
            ),
        ),
        *GUARDED,
        *ROUTED,
        OTHER,
        port(5, host_id=OTHER.id, multicast_groups=(ip_address("ff05::1"),)),
        HostPrefixes(
            id=HOST.id,
            host_id=HOST.id,
            links=(ip_network("10.5.0.0/16"),),
            routes=(ip_network("fd05::/96"),),
        ),
    )
    elsewhere = {WIREGUARD.name, WIREGUARD_PEERS.name}
    here = {table.name for table in TABLES} - elsewhere
    assert {name for name, found in desired.items() if found} == here
    settle(sink, desired)


def test_a_second_sink_finds_everything_as_it_is(
    sink: Sink, settings: Settings, new_netns: Callable[[], str]
) -> None:
    desired = rows_of(port(1, path=new_netns()), port(2))
    settle(sink, desired)
    links_before = run("ip -o link")
    other = Sink(settings)
    other.start()
    upserts, deletes = difference(desired, other.actual(desired))
    # What nftables holds cannot be compared before the first write of a process.
    assert (set(upserts), set(deletes)) == ({NFTABLES.name}, {NFTABLES.name})
    assert other.apply(upserts, deletes) == []
    assert difference(desired, other.actual(desired)) == ({}, {})
    other.stop()
    assert run("ip -o link") == links_before


def test_workload_finds_its_end_ready(sink: Sink, new_netns: Callable[[], str]) -> None:
    path = new_netns()
    settle(sink, rows_of(port(1, path=path)))
    with netns.entered(path):
        text = run("ip addr show dev eth0")
        assert "10.5.0.2/24" in text and "fd05::2/64" in text
        assert "mtu 1400" in text and "02:00:00:00:00:01" in text and "LOWER_UP" in text
        assert "default via 10.5.0.1" in run("ip route")
        assert "default via fd05::1" in run("ip -6 route")


def test_ipv6_works_where_docker_forbade_it(sink: Sink, new_netns: Callable[[], str]) -> None:
    path = new_netns()
    with netns.entered(path):
        run("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
        run("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
    settle(sink, rows_of(port(1, path=path)))
    with netns.entered(path):
        run("ping -n -c 1 -W 2 fd05::1")


def test_first_packet_of_a_workload_is_answered(sink: Sink, new_netns: Callable[[], str]) -> None:
    """A lost ARP request would cost a second."""
    settle(sink, rows_of())
    attached: list[Port] = []
    for number in range(1, 9):
        path = new_netns()
        before = rows_of(*attached)
        attached.append(port(number, path=path))
        assert sink.apply(*difference(rows_of(*attached), before)) == []
        with netns.entered(path):
            run("ping -n -c 1 -W 0.5 10.5.0.1")


def test_a_default_route_that_is_there_stays(sink: Sink, new_netns: Callable[[], str]) -> None:
    path = new_netns()
    with netns.entered(path):
        run("ip link add other type veth peer name rehto; ip link set other up")
        run("ip addr add 192.0.2.2/24 dev other; ip route add default via 192.0.2.1")
    settle(sink, rows_of(port(1, path=path)))
    with netns.entered(path):
        assert run("ip -4 route show default").split()[:5] == [
            "default", "via", "192.0.2.1", "dev", "other",
        ]  # fmt: skip
        assert "via fd05::1 dev eth0" in run("ip -6 route show default")


def test_a_dead_containers_port_is_told_and_the_rest_works(
    sink: Sink, new_netns: Callable[[], str]
) -> None:
    path = new_netns()
    dead, alive = port(1, path=path), port(2)
    settle(sink, rows_of(dead, alive))
    run(f"ip netns del {Path(path).name}")
    until_gone("weft00000000001")
    desired = rows_of(dead, alive)
    upserts, deletes = difference(desired, sink.actual(desired))
    assert DEVICES.name in upserts
    failures = {failure.row: failure.reason for failure in sink.apply(upserts, deletes)}
    assert path in failures[DEVICES.row_key("weft00000000001")]
    assert all("weft00000000002" not in str(row) for row in failures)
    settle(sink, rows_of(alive))
    assert "weft00000000001" not in run("ip -o link")


def test_another_namespace_at_the_same_path_is_refused(
    sink: Sink, new_netns: Callable[[], str]
) -> None:
    path, other = new_netns(), new_netns()
    made = port(1, path=path)
    assert made.device is not None
    run(f"ip netns del {Path(path).name}; touch {path}; mount --bind {other} {path}")
    until_gone("weft00000000001")
    desired = rows_of(made)
    reasons = [failure.reason for failure in sink.apply(*difference(desired, {}))]
    assert any("another one is there now" in reason for reason in reasons)
    with netns.entered(other):
        assert "eth0" not in run("ip -o link")


@pytest.mark.parametrize(
    "damage",
    [
        "tc filter del dev weft00000000001 ingress",
        "tc qdisc del dev weft00000000001 clsact",
        "ip link set weft00000000001 down",
        "ip link set weft00000000001 mtu 900",
        "ip link set weft00000000001 alias rubbish",
        "ip link del weft00000000001",
        "ip link del weft00000000002",
        "ip link del weft0",
        "ip link set weft0 down",
        "ip addr flush dev weft0",
        "ip addr add 10.99.0.1/24 dev weft0",
        "ip route del 10.5.0.0/24 dev weft0",
        "ip -6 route del fd05::/64 dev weft0",
        "ip route change 10.5.0.0/24 dev weft0 proto 87 metric 2000",
        "tc filter del dev weft1 ingress",
        "nft flush ruleset",
        "nft delete table inet weft",
        "nft flush chain inet weft forward",
        "nft add rule inet weft forward drop",
        "nft delete element inet weft masquerade4 { 10.5.0.0/24 }",
        "nft add element inet weft exposed4 { 10.5.0.0/24 }",
        "rm BPFFS/maps/addresses_v1",
        "rm BPFFS/maps/allowed_v1 BPFFS/programs/from_host",
        "rm -r BPFFS/maps BPFFS/programs",
        "ip link add weft0000000000f type veth peer name wefc0000000000f",
    ],
)
def test_damage_is_mended(
    sink: Sink, settings: Settings, new_netns: Callable[[], str], damage: str
) -> None:
    published = (PublishedPort(protocol=TransportProtocol.TCP, host_port=8080, port=80),)
    desired = rows_of(port(1, path=new_netns(), published=published), port(2))
    settle(sink, desired)
    run(damage.replace("BPFFS", settings.bpffs_dir))
    assert difference(desired, sink.actual(desired)) != ({}, {}) or "weft0 down" in damage
    settle(sink, desired)


def test_only_the_damaged_row_is_written_again(sink: Sink, new_netns: Callable[[], str]) -> None:
    desired = rows_of(port(1, path=new_netns()), port(2), port(3))
    settle(sink, desired)
    run("tc filter del dev weft00000000002 ingress")
    upserts, deletes = difference(desired, sink.actual(desired))
    assert upserts == {FILTERS.name: {FilterKey("weft00000000002"): FilterValue("from_port")}}
    assert deletes == {}


def test_a_half_made_port_is_made_again(sink: Sink, new_netns: Callable[[], str]) -> None:
    run("ip link add weft00000000001 type veth peer name eth0")
    path = new_netns()
    settle(sink, rows_of(port(1, path=path)))
    with netns.entered(path):
        assert "10.5.0.2/24" in run("ip addr show dev eth0")


def test_a_peer_that_docker_moved_is_left_alone(sink: Sink, new_netns: Callable[[], str]) -> None:
    path = new_netns()
    desired = rows_of(port(1))
    settle(sink, desired)
    run(f"ip link set wefc00000000001 netns {Path(path).name} name eth0")
    with netns.entered(path):
        run("ip link set eth0 up; ip addr add 10.5.0.2/24 dev eth0")
        before = run("ip -o -4 addr; ip -o link")
    assert difference(desired, sink.actual(desired)) == ({}, {})
    with netns.entered(path):
        assert run("ip -o -4 addr; ip -o link") == before


def test_mtu_is_followed_where_docker_moved_the_peer(
    sink: Sink, new_netns: Callable[[], str]
) -> None:
    path = new_netns()
    settle(sink, rows_of(port(1)))
    run(f"ip link set wefc00000000001 netns {Path(path).name} name eth0")
    smaller = Network(id=FOO.id, name="foo", vni=FOO.vni, mtu_bytes=1280)
    ifindex = run("ip -o link show dev weft00000000001").split(":")[0]
    settle(sink, rows_of(smaller, port(1)))
    assert run("ip -o link show dev weft00000000001").split(":")[0] == ifindex
    with netns.entered(path):
        assert "mtu 1280" in run("ip link show dev eth0")


def test_foreign_things_are_kept(sink: Sink) -> None:
    run("ip link add weft-of-another type veth peer name other; ip link set weft-of-another up")
    desired = rows_of(port(1))
    settle(sink, desired)
    run("ip route add 10.77.0.0/24 dev weft0; nft add table inet mine")
    assert difference(desired, sink.actual(desired)) == ({}, {})
    settle(sink, rows_of())
    assert "10.77.0.0/24" in run("ip route")
    assert "table inet mine" in run("nft list tables")
    assert "weft-of-another" in run("ip -o link")


@pytest.mark.smoke
def test_purge_leaves_nothing(settings: Settings, new_netns: Callable[[], str]) -> None:
    run("ip link add up0 type veth peer name up1; ip link set up0 addrgenmode none")
    run("ip link set up1 addrgenmode none; ip link set up0 up; ip link set up1 up")
    run("ip addr add 192.0.2.10/24 dev up0; nft add table inet mine; iptables -P FORWARD DROP")
    before = snapshot(Path(settings.bpffs_dir))
    made = Sink(settings)
    made.start()
    settle(made, rows_of(port(1, path=new_netns()), port(2), port(3, INNER)))
    assert snapshot(Path(settings.bpffs_dir)) != before
    made.purge()
    assert snapshot(Path(settings.bpffs_dir)) == before
    assert not Path(settings.bpffs_dir).exists()
    made.purge()


def test_purge_by_a_sink_that_never_started(settings: Settings) -> None:
    before = snapshot(Path(settings.bpffs_dir))
    made = Sink(settings)
    made.start()
    settle(made, rows_of(port(1)))
    made.stop()
    Sink(settings).purge()
    assert snapshot(Path(settings.bpffs_dir)) == before


def test_an_underlay_that_vanished_does_not_stop_repairs(settings: Settings) -> None:
    run("ip link add up0 type veth peer name up1; ip link set up0 up mtu 1300")
    made = Sink(msgspec.structs.replace(settings, mtu_bytes=0, underlay_device="up0"))
    made.start()
    try:
        desired = rows_of(port(1))
        settle(made, desired)
        assert "mtu 1250" in run("ip route show 10.5.0.0/24")
        run("ip link del up0; ip link del weft00000000001")
        settle(made, desired)
    finally:
        made.purge()


def test_router_advertisements_are_still_heard(settings: Settings) -> None:
    run("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up")
    setting = Path("/proc/sys/net/ipv6/conf/up0/accept_ra")
    assert setting.read_text() == "1\n"
    made = Sink(settings)
    made.start()
    assert setting.read_text() == "2\n"
    made.purge()
    assert setting.read_text() == "1\n"


def test_counters_are_by_device_and_go_with_it(sink: Sink, new_netns: Callable[[], str]) -> None:
    path = new_netns()
    settle(sink, rows_of(port(1, path=path)))
    with netns.entered(path):
        run("ping -c 1 -W 2 10.5.0.1")
    counters = sink.counters()["weft00000000001"]
    assert counters.tx_packets >= 2 and counters.rx_packets >= 2
    settle(sink, rows_of())
    assert "weft00000000001" not in sink.counters()


def told(sink: Sink) -> list[tuple[str, str, int]]:
    return [(each.name, each.found, each.times) for each in sink.mended_settings]


def test_settings_that_others_change_are_put_back_and_told(
    sink: Sink, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sink.actual({}) and told(sink) == []
    changes = {
        "net/ipv4/ip_forward": "0",
        "net/ipv6/conf/all/forwarding": "0",
        "net/ipv4/conf/weft0/rp_filter": "1",
        "net/ipv4/conf/weft0/route_localnet": "0",
        "net/ipv6/conf/weft0/disable_ipv6": "1",
    }
    for name, value in changes.items():
        former = sysctl.read(name)
        sysctl.write(name, value)
        sink.actual({})
        assert sysctl.read(name) == former != value
        assert (name, value, 1) in told(sink)
        assert name.replace("/", ".") in capsys.readouterr().out
    sysctl.write("net/ipv4/ip_forward", "0")
    sink.actual({})
    assert ("net/ipv4/ip_forward", "0", 2) in told(sink)
    count = len(told(sink))
    sink.actual({})
    assert len(told(sink)) == count and capsys.readouterr().out.count("put back") == 1


def test_what_was_changed_while_weftd_was_away_is_told_and_a_new_weft0_is_not(
    sink: Sink, settings: Settings
) -> None:
    sink.actual({})
    sink.stop()
    run("ip link del weft0")
    sink.start()
    assert told(sink) == []
    sysctl.write("net/ipv4/ip_forward", "0")
    again = Sink(settings)
    again.start()
    again.stop()
    assert told(again) == [("net/ipv4/ip_forward", "0", 1)]
