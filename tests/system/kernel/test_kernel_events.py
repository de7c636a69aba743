from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from tests.system.kernel.conftest import PATIENCE, run
from weft.kernel import netns, probes
from weft.kernel.events import ALL_DEVICES, KernelEvent, KernelEvents
from weft.kernel.nftables import Nftables

pytestmark = pytest.mark.root
DEADLINE_S = 10.0 * PATIENCE


class Heard:
    """All events until now, and a wait for one."""

    def __init__(self) -> None:
        self.events: list[KernelEvent] = []
        self._more = asyncio.Event()

    def add(self, events: Sequence[KernelEvent]) -> None:
        self.events += events
        self._more.set()

    async def until(self, wanted: Callable[[KernelEvent], bool]) -> KernelEvent:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for event in self.events:
                    if wanted(event):
                        return event
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def listening() -> AsyncIterator[Heard]:
    heard = Heard()
    task = asyncio.ensure_future(KernelEvents(heard.add, quiet_s=0.02).run())
    await asyncio.sleep(0)
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_device_that_goes_is_damage(host_netns: str) -> None:
    run("ip link add weft0000000000a type veth peer name other; ip link set weft0000000000a up")
    async with listening() as heard:
        run("ip link set weft0000000000a mtu 1300")
        changed = await heard.until(lambda event: event.mtu_bytes == 1300)
        assert (changed.subject, changed.ifname) == ("device", "weft0000000000a")
        assert not changed.is_damage
        run("ip link set weft0000000000a down")
        await heard.until(lambda event: event.is_damage and not event.is_gone)
        run("ip link del weft0000000000a")
        gone = await heard.until(lambda event: event.is_gone and event.subject == "device")
        assert gone.is_damage


async def test_addresses_routes_and_filters_are_told(host_netns: str) -> None:
    async with listening() as heard:
        run("ip addr add 10.1.0.1/24 dev lo; ip route add 10.2.0.0/24 dev lo")
        await heard.until(lambda event: event.subject == "address" and event.ifindex == 1)
        await heard.until(lambda event: event.subject == "route")
        run("ip route del 10.2.0.0/24 dev lo")
        await heard.until(lambda event: event.subject == "route" and event.is_damage)


def add_table(path: str) -> None:
    """In a thread, as the engine does."""
    with netns.entered(path):
        own = Nftables()
        own.run("add table inet ours")
        own.close()


async def test_rules_changed_by_others_are_damage_and_our_own_are_not(host_netns: str) -> None:
    async with listening() as heard:
        with ThreadPoolExecutor(1) as engine:
            engine.submit(add_table, host_netns).result()
            run("ip addr add 10.1.0.1/24 dev lo")
            await heard.until(lambda event: event.subject == "address")
        assert not any(event.subject == "rules" for event in heard.events)
        run("nft flush ruleset")
        assert (await heard.until(lambda event: event.subject == "rules")).is_damage


def test_our_own_rules_are_known_in_a_namespace_of_process_ids_too() -> None:
    """Where the kernel tells a number of the first such namespace, that is another one's here."""
    test = f"{__file__}::test_rules_changed_by_others_are_damage_and_our_own_are_not"
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *pytest_here],
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_probes_pass_here_and_leave_nothing(host_netns: str) -> None:
    before = run("ip -o link; nft list ruleset")
    results = probes.run()
    assert [result for result in results if result.is_needed and not result.is_ok] == []
    assert len({result.name for result in results}) == len(results) > 5
    assert all(result.consequence for result in results)
    assert run("ip -o link; nft list ruleset") == before


def test_a_helper_that_the_kernel_lacks_is_missed(
    host_netns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "_LOOP", 9999)
    assert [each.name for each in probes.run() if not each.is_ok and each.is_needed] == ["bpf_loop"]


@pytest.mark.parametrize(
    ("setting", "ifindex"),
    [
        ("net.ipv4.ip_forward", ALL_DEVICES),
        ("net.ipv6.conf.all.forwarding", ALL_DEVICES),
        ("net.ipv4.conf.lo.forwarding", 1),
        ("net.ipv6.conf.lo.forwarding", 1),
    ],
)
async def test_forwarding_that_is_switched_off_is_damage(
    host_netns: str, setting: str, ifindex: int
) -> None:
    async with listening() as heard:
        run(f"sysctl -qw {setting}=1")
        on = await heard.until(lambda event: event.subject == "setting")
        assert not on.is_damage
        run(f"sysctl -qw {setting}=0")
        off = await heard.until(
            lambda event: event.subject == "setting" and event.ifindex == ifindex and event.is_gone
        )
        assert off.is_damage


async def test_a_strict_reverse_path_filter_is_damage(host_netns: str) -> None:
    run("sysctl -qw net.ipv4.conf.lo.rp_filter=0")
    async with listening() as heard:
        run("sysctl -qw net.ipv4.conf.lo.rp_filter=2")
        loose = await heard.until(lambda event: event.subject == "setting")
        assert not loose.is_damage
        run("sysctl -qw net.ipv4.conf.lo.rp_filter=1")
        await heard.until(lambda event: event.is_damage and event.ifindex == 1)
