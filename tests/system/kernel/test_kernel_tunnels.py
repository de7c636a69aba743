"""Tunnels against a real kernel: next hops are found, kept fresh and followed by its own news."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.own_addresses import await_addresses_here
from tests.system.kernel.conftest import PATIENCE, run
from tests.system.kernel.test_kernel_sink import OTHER, port, rows_of, settle
from tests.system.tunnels import tunnel_to
from weft.config import Settings
from weft.engine.compiler import Compiler
from weft.engine.difference import difference
from weft.engine.ebpf.compile import functions as compile_functions
from weft.engine.ebpf.map_table import decode_address
from weft.engine.ebpf.sink import Sink
from weft.engine.ebpf.tables.filters import FILTERS, FilterKey, FilterValue
from weft.engine.ebpf.tables.peers import PEERS
from weft.engine.ebpf.tables.tunnels import TUNNELS
from weft.engine.plumbing.device_names import WEFTX
from weft.kernel import netns
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Tunnel, TunnelFlag
from weft.kernel.bpf.maps import BpfMap
from weft.kernel.underlay_events import UnderlayEvents
from weft.model.addresses import ip_address
from weft.model.ids import HostId, host_tag
from weft.model.records import Host, Record
from weft.store.memory import MemoryStore

pytestmark = pytest.mark.root

HERE = Host(
    id=HostId("a" * 16),
    name="h1",
    underlay=(ip_address("192.0.2.1"), ip_address("2001:db8::1")),
    mtu_bytes=1500,
)
NEAR = Host(id=HostId("b" * 16), name="near", underlay=(ip_address("192.0.2.2"),))
NEAR6 = Host(id=HostId("c" * 16), name="near6", underlay=(ip_address("2001:db8::2"),))
FAR = Host(id=HostId("d" * 16), name="far", underlay=(ip_address("198.51.100.2"),))
THIRD = Host(id=HostId("9" * 16), name="h3", underlay=(ip_address("192.0.2.3"),))
MAC2, MAC3 = "02:00:00:00:00:02", "02:00:00:00:00:03"


class Cable:
    """This host, and two others on one switch: the second host, and a router."""

    def __init__(self, sink: Sink, settings: Settings, near: str, router: str) -> None:
        self.sink = sink
        self.near = near
        self.router = router
        self._bpffs_dir = settings.bpffs_dir

    def settle(self, *hosts: Record) -> None:
        """One reconcile for these other hosts."""
        store = MemoryStore([HERE, *hosts])
        desired = Compiler(compile_functions(HERE.id), store).rows()
        tables = {TUNNELS.name: desired.get(TUNNELS.name, {}), PEERS.name: desired[PEERS.name]}
        actual = self.sink.actual(desired)
        actual = {name: found for name, found in actual.items() if name in tables}
        assert self.sink.apply(*difference(tables, actual)) == []

    def tunnel(self, host: Host) -> Tunnel | None:
        """The entry as the programs see it."""
        return tunnel_to(self._bpffs_dir, host_tag(host.id))

    def next_hop(self, host: Host) -> str:
        """Its MAC, or that the kernel's device must do."""
        tunnel = self.tunnel(host)
        assert tunnel is not None
        if not tunnel.ifindex:
            return "no route"
        return "device" if tunnel.flags & TunnelFlag.TUNNEL_DEVICE else tunnel.next_hop.hex(":")

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[Callable[[Host, str], Awaitable[None]]]:
        """Next hops are followed as the kernel tells; gives what waits for one."""

        def follow() -> None:
            assert self.sink.follow() == []

        events = UnderlayEvents(self.sink.interest, follow)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(events.run())

            async def becomes(host: Host, wanted: str) -> None:
                deadline_s = time.monotonic() + 10 * PATIENCE
                while self.next_hop(host) != wanted:
                    assert time.monotonic() < deadline_s, self.next_hop(host)
                    await asyncio.sleep(0.01)

            # What happened before the listening began.
            await asyncio.sleep(0)
            self.sink.follow()
            yield becomes
            running.cancel()


def join(path: str, number: int, mac: str) -> None:
    """Another machine on the switch."""
    name = Path(path).name
    run(f"ip link add sw{number} master sw type veth peer name up0 address {mac} netns {name}")
    run(f"ip link set sw{number} up")
    with netns.entered(path):
        run(f"ip addr add 192.0.2.{number}/24 dev up0")
        run(f"ip -6 addr add 2001:db8::{number}/64 dev up0 nodad; ip link set up0 up")
        await_addresses_here()


@pytest.fixture
def cable(sink: Sink, settings: Settings, new_netns: Callable[[], str]) -> Cable:
    run("ip link add sw type bridge; ip link set sw up")
    run("ip link add up0 type veth peer name sw1; ip link set sw1 master sw up; ip link set up0 up")
    run("ip addr add 192.0.2.1/24 dev up0; ip -6 addr add 2001:db8::1/64 dev up0 nodad")
    await_addresses_here()
    near, router = new_netns(), new_netns()
    join(near, 2, MAC2)
    join(router, 3, MAC3)
    return Cable(sink, settings, near, router)


@pytest.fixture
def settings(host_netns: str, tmp_path: Path) -> Settings:
    return Settings(
        name="kern",
        run_dir=str(tmp_path / "run"),
        state_dir=str(tmp_path / "state"),
        bpffs_dir=str(tmp_path / "bpf"),
        mtu_bytes=1400,
    )


def follow(cable: Cable, scenario: Callable[..., Awaitable[None]]) -> None:
    """Run a scenario while the kernel's news are followed."""

    async def main() -> None:
        async with cable.followed() as becomes:
            await scenario(becomes)

    asyncio.run(main())


@pytest.mark.smoke
def test_a_tunnel_leads_to_the_mac_of_a_host_on_the_link(cable: Cable) -> None:
    cable.settle(NEAR, NEAR6)

    async def scenario(becomes: Callable[[Host, str], Awaitable[None]]) -> None:
        await becomes(NEAR, MAC2)
        await becomes(NEAR6, MAC2)

    follow(cable, scenario)
    tunnel, tunnel6 = cable.tunnel(NEAR), cable.tunnel(NEAR6)
    assert tunnel is not None and tunnel6 is not None
    assert decode_address(tunnel.local) == ip_address("192.0.2.1")
    assert decode_address(tunnel.remote) == ip_address("192.0.2.2")
    assert tunnel.mtu == 1450 and not tunnel.flags
    assert decode_address(tunnel6.local) == ip_address("2001:db8::1")
    assert tunnel6.mtu == 1430 and tunnel6.flags == TunnelFlag.TUNNEL_IPV6
    shown = run("ip -o link show up0")
    assert int(shown.split(":")[0]) == tunnel.ifindex
    assert f"link/ether {tunnel.source_mac.hex(':')}" in shown


def test_behind_a_router_the_next_hop_is_the_router_and_moves_with_its_mac(cable: Cable) -> None:
    run("ip route add 198.51.100.0/24 via 192.0.2.3")
    cable.settle(FAR)

    async def scenario(becomes: Callable[[Host, str], Awaitable[None]]) -> None:
        await becomes(FAR, MAC3)
        with netns.entered(cable.router):
            run("ip link set up0 address 02:00:00:00:00:33")
        run("ip neigh flush dev up0 nud all")
        await becomes(FAR, "02:00:00:00:00:33")

    follow(cable, scenario)


def test_a_router_that_tells_its_new_mac_is_believed(cable: Cable) -> None:
    run("ip route add 198.51.100.0/24 via 192.0.2.3")
    cable.settle(FAR)

    async def scenario(becomes: Callable[[Host, str], Awaitable[None]]) -> None:
        await becomes(FAR, MAC3)
        with netns.entered(cable.router):
            run("echo 1 > /proc/sys/net/ipv4/conf/up0/arp_notify")
            run("ip link set up0 address 02:00:00:00:00:44")
        await becomes(FAR, "02:00:00:00:00:44")

    follow(cable, scenario)


def test_a_route_that_changes_is_followed_and_one_that_goes_leads_nowhere(cable: Cable) -> None:
    cable.settle(FAR)
    assert cable.next_hop(FAR) == "no route"

    async def scenario(becomes: Callable[[Host, str], Awaitable[None]]) -> None:
        run("ip route add 198.51.100.0/24 via 192.0.2.3")
        await becomes(FAR, MAC3)
        run("ip route replace 198.51.100.0/24 via 192.0.2.2")
        await becomes(FAR, MAC2)
        run("ip route add 198.51.100.2/32 via 192.0.2.3")
        await becomes(FAR, MAC3)
        run("ip route del 198.51.100.2/32; ip route del 198.51.100.0/24")
        await becomes(FAR, "no route")
        run("ip rule add to 198.51.100.0/24 lookup 77; ip route add default via 192.0.2.2 table 77")
        await becomes(FAR, MAC2)

    follow(cable, scenario)


def test_a_device_that_goes_down_and_up_again_is_followed(cable: Cable) -> None:
    cable.settle(NEAR)

    async def scenario(becomes: Callable[[Host, str], Awaitable[None]]) -> None:
        await becomes(NEAR, MAC2)
        run("ip link set up0 down")
        await becomes(NEAR, "no route")
        run("ip link set up0 up")
        await becomes(NEAR, MAC2)
        run("ip link set sw1 down")
        await becomes(NEAR, "device")
        run("ip link set sw1 up")
        await becomes(NEAR, MAC2)

    follow(cable, scenario)


def test_a_neighbour_that_does_not_answer_is_left_to_the_kernels_device(cable: Cable) -> None:
    cable.settle(msgspec.structs.replace(NEAR, underlay=(ip_address("192.0.2.99"),)))
    assert cable.next_hop(NEAR) == "device"

    async def scenario(becomes: Callable[[Host, str], Awaitable[None]]) -> None:
        with netns.entered(cable.near):
            run("ip addr add 192.0.2.99/24 dev up0")
        await becomes(NEAR, MAC2)

    follow(cable, scenario)


def test_the_kernel_keeps_a_neighbour_fresh_that_no_packet_of_its_own_goes_to(cable: Cable) -> None:
    cable.settle(NEAR)

    async def scenario(becomes: Callable[[Host, str], Awaitable[None]]) -> None:
        await becomes(NEAR, MAC2)

    follow(cable, scenario)
    assert "managed" in run("ip neigh show 192.0.2.2 dev up0")


def test_a_device_without_macs_is_left_to_the_kernels_device(cable: Cable) -> None:
    run("ip tuntap add tun0 mode tun; ip link set tun0 up")
    run("ip route add 198.51.100.0/24 dev tun0")
    cable.settle(FAR)
    assert cable.next_hop(FAR) == "device"


def test_a_way_that_leads_into_the_overlay_is_none(cable: Cable) -> None:
    run("ip route add 198.51.100.0/24 dev weft0")
    cable.settle(FAR)
    assert cable.next_hop(FAR) == "no route"


def test_an_entry_that_somebody_changed_or_removed_is_put_back(
    cable: Cable, settings: Settings
) -> None:
    cable.settle(NEAR)
    before = cable.tunnel(NEAR)
    assert before is not None
    maps = Path(settings.bpffs_dir) / "maps"
    with BpfMap.open(maps / "tunnels_v2") as tunnels, BpfMap.open(maps / "ways_v1") as ways:
        (key, way), *others = ways.read().items()
        assert not others
        stranger = (7).to_bytes(4, "little")
        damages = [
            {tunnels: {stranger: b"x" * 80, way[:4]: b"x" * 80}},
            {tunnels: {stranger: before.encode()}, ways: {key: stranger + bytes(4)}},
            {ways: {stranger: way, key: bytes(8)}},
            {tunnels: {way[:4]: bytes(80)}},
        ]
        for damage in damages:
            for each, entries in damage.items():
                assert not each.update(entries)
            cable.settle(NEAR)
            assert (ways.read(), tunnels.read()) == ({key: way}, {way[:4]: before.encode()})
        ways.delete([key])
        cable.settle(NEAR)
        assert cable.tunnel(NEAR) == before
    cable.settle()
    assert cable.tunnel(NEAR) is None


def way_to(settings: Settings, host: Host) -> int:
    with BpfMap.open(Path(settings.bpffs_dir) / "maps" / "ways_v1") as ways:
        raw = ways.lookup(host_tag(host.id).to_bytes(4, "little"))
    assert raw is not None
    return layouts.Way.decode(raw).way


def test_a_host_keeps_its_way_over_all_that_happens(cable: Cable, settings: Settings) -> None:
    """Endpoints name it."""
    cable.settle(NEAR, NEAR6)
    ways = way_to(settings, NEAR), way_to(settings, NEAR6)
    cable.settle(NEAR6)
    assert cable.tunnel(NEAR) is None
    cable.settle(FAR, NEAR, NEAR6)
    assert (way_to(settings, NEAR), way_to(settings, NEAR6)) == ways
    cable.sink.stop()
    cable.sink.start()
    cable.settle(NEAR6, FAR, NEAR)
    assert (way_to(settings, NEAR), way_to(settings, NEAR6)) == ways


@pytest.mark.usefixtures("addresses")
def test_endpoints_follow_when_the_ways_are_lost(sink: Sink, settings: Settings) -> None:
    """Somebody swapped two hosts' while weftd was away."""
    here = [port(number, host_id=host.id) for number, host in ((7, OTHER), (8, THIRD))]
    desired = rows_of(OTHER, THIRD, port(1), *here)
    settle(sink, desired)
    sink.stop()
    maps = Path(settings.bpffs_dir) / "maps"
    with BpfMap.open(maps / "tunnels_v2") as tunnels, BpfMap.open(maps / "ways_v1") as ways:
        (one, its), (two, others) = ways.read().items()
        entries = tunnels.read()
        ways.update({one: others, two: its})
        tunnels.update({its[:4]: entries[others[:4]], others[:4]: entries[its[:4]]})
        before = ways.read()
    sink.start()
    settle(sink, desired)
    with BpfMap.open(maps / "ways_v1") as ways, BpfMap.open(maps / "addresses_v1") as addresses:
        assert ways.read() == before
        found = {
            raw.tunnel: raw.way for raw in map(layouts.Endpoint.decode, addresses.read().values())
        }
        wanted = {
            int.from_bytes(key, "little"): layouts.Way.decode(raw).way
            for key, raw in before.items()
        }
        assert {tag: way for tag, way in found.items() if tag} == wanted


def test_purge_gives_the_neighbours_back(cable: Cable) -> None:
    run("ip neigh add 192.0.2.77 lladdr 02:00:00:00:00:77 dev up0")
    cable.settle(NEAR)
    assert "192.0.2.2 " in run("ip neigh")
    cable.sink.purge()
    assert "managed" not in run("ip neigh")
    assert "192.0.2.77" in run("ip neigh")


def test_what_an_earlier_process_asked_for_is_given_back_when_nobody_needs_it(
    cable: Cable, settings: Settings
) -> None:
    cable.settle(NEAR)
    cable.sink.stop()
    cable.sink = Sink(settings)
    cable.sink.start()
    cable.settle(NEAR6)
    shown = run("ip neigh; ip -6 neigh")
    assert "192.0.2.2 " not in shown and "2001:db8::2 " in shown
    cable.sink.stop()


def test_weftx_is_there_and_made_again(cable: Cable) -> None:
    device = vxlan("weftx")
    assert device["external"] and device["port"] == 4789 and not device["learning"]
    run("ip link del weftx")
    cable.settle()
    run("ip link show weftx")
    run("ip link del weftx; ip link add weftx type bridge")
    cable.settle()
    assert vxlan("weftx")["external"]


def vxlan(device: str) -> dict[str, Any]:
    """What makes a device a VXLAN; the words for people differ from one iproute2 to the next."""
    (link,) = json.loads(run(f"ip -json -details link show {device}"))
    info = link["linkinfo"]
    assert info["info_kind"] == "vxlan"
    data: dict[str, Any] = info["info_data"]
    return data


def test_a_port_that_another_vxlan_device_holds_is_said_with_the_fix(
    host_netns: str, settings: Settings
) -> None:
    run("ip link add other type vxlan id 5 dstport 4789; ip link set other up")
    made = Sink(settings)
    try:
        made.start()
        key = FilterKey(WEFTX)
        made.actual({})
        failures = made.apply({FILTERS.name: {key: FilterValue("from_host")}}, {})
        assert [failure.row.key for failure in failures] == [key]
        assert "overlay_port" in failures[0].reason
    finally:
        made.purge()
        run("ip link del other")
