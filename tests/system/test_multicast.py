"""Multicast on three hosts with real weftds: to members alone, whatever version they speak."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests import families
from tests.system.cluster import Cluster
from tests.system.workload import PATIENCE, Listener, Workload, add_network, until
from weft.api.client import Client
from weft.api.schema import (
    CountersList,
    MulticastGroupInfo,
    MulticastGroupList,
    NameInfo,
    NetworkInfo,
    NetworkList,
)
from weft.control.specs import NameSpec
from weft.lab.host import LabHost, weft_command
from weft.model.addresses import ip_address

pytestmark = pytest.mark.root

GROUPS = Path(__file__).with_name("groups.py")
FRAMES = Path(__file__).with_name("frames.py")
GROUP4, GROUP6 = "239.1.2.3", "ff05::1:2:3"
BY_FAMILY = pytest.mark.parametrize("group", [GROUP4, GROUP6], ids=["IPv4", "IPv6"])
_numbers = count(1)


class Ear:
    """A member."""

    def __init__(self, workload: Workload, group: str) -> None:
        self.child = workload.start(sys.executable, str(GROUPS), "hear", "eth0", group)
        assert self.child.stdout is not None
        self._fd = self.child.stdout.fileno()
        self._text = b""
        assert self.line() == "listening"

    def line(self, timeout_s: float = 10) -> str:
        """The next line, which must come."""
        while b"\n" not in self._text:
            assert select.select([self._fd], [], [], timeout_s * PATIENCE)[0], "silence"
            read = os.read(self._fd, 65536)
            assert read, "it has ended"
            self._text += read
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()

    def leave(self) -> None:
        """As the kernel does when the program ends."""
        self.child.kill()
        self.child.wait()

    def so_far(self) -> list[str]:
        """What it heard, and then it leaves."""
        self.leave()
        while read := os.read(self._fd, 65536):
            self._text += read
        return self._text.decode().splitlines()


class Site:
    """Three hosts, a network, and on each host a workload on it."""

    def __init__(self, hosts: list[LabHost], stack: ExitStack) -> None:
        self.hosts = hosts
        self.apis = [Client(host.api_socket, timeout_s=20 * PATIENCE) for host in hosts]
        self.stack = stack
        number = next(_numbers)
        self.name = f"many{number}"
        cidrs = (f"10.88.{number}.0/24", f"fd88:{number:x}::/64")
        self.network = add_network(self.apis[0], self.name, cidrs)
        stack.callback(self.apis[0].delete, "networks", self.name)
        for api in self.apis:
            until("the network is everywhere", lambda api=api: self.name in names(api))  # type: ignore[misc]
        self.a, self.b, self.c = (self.workload(number) for number in range(3))
        for one in (self.b, self.c):
            until("they reach each other", lambda one=one: self.a.reaches(one.address4))  # type: ignore[misc]

    def workload(self, host: int) -> Workload:
        made = Workload(self.hosts[host], self.apis[host], f"m{os.getpid()}-{next(_numbers)}")
        self.stack.callback(made.remove)
        made.attach(self.network)
        return made

    def weft(self, host: int, *words: str) -> str:
        """Run a command on a host that works."""
        return self.hosts[host].run([*weft_command(), *words])

    def group(self, host: int, group: str) -> MulticastGroupInfo | None:
        """As a host knows it."""
        found = (
            self.apis[host]
            .get(MulticastGroupList, "multicast", query={"network": self.name})
            .multicast_groups
        )
        return next((one for one in found if one.address == group), None)

    def members(self, host: int, group: str) -> set[str]:
        """Hosts that have members, as a host knows it."""
        found = self.group(host, group)
        return {one.host or "" for one in found.members} if found is not None else set()

    def has(self, group: str, *hosts: str) -> None:
        """All hosts come to know that these have members, and no others, and go by it."""
        for host in range(3):
            until(
                f"members of {group} on {hosts}",
                lambda host=host: self.members(host, group) == set(hosts),  # type: ignore[misc]
            )
            self.settle(host)

    def settle(self, host: int) -> None:
        """What the host knows is in force: no change returns before those before it are."""
        address = (ip_address("10.0.0.1"),)
        name = NameSpec(name=f"settled{host}", network=self.name, addresses=address)
        self.apis[host].send(NameInfo, "POST", "names", body=name)
        self.apis[host].delete("names", self.name, name.name)

    def shout(self, group: str, text: str, times: int = 1) -> None:
        """Workload `a` says something."""
        words = ("shout", "eth0", group, text, str(times), "0.01")
        self.a.run(sys.executable, str(GROUPS), *words)

    def no_member_drops(self) -> int:
        """What `a` said to nobody."""
        found = self.apis[0].get(CountersList, "counters").counters
        mine = next(one for one in found if one.port_id == self.a.ports[0].id)
        return mine.drops.get("no_member", 0)


def names(api: Client) -> set[str]:
    return {one.name for one in api.get(NetworkList, "networks").networks}


class Watch:
    """All frames that come to a device of a host or of a workload, until the last word."""

    def __init__(self, site: Site, *where: LabHost | Workload) -> None:
        self._site = site
        self._last = os.urandom(8).hex()
        self._listeners = [self._listen(each) for each in where]

    def _listen(self, where: LabHost | Workload) -> Listener:
        if isinstance(where, Workload):
            return where.listen(self._last.encode())
        words = [sys.executable, str(FRAMES), "listen", "eth0", self._last.encode().hex()]
        child = subprocess.Popen(
            [*where.enter, *words], stdout=subprocess.PIPE, text=True, env=where.environment
        )
        self._site.stack.callback(child.kill)
        assert child.stdout is not None and child.stdout.readline() == "listening\n"
        return Listener(child)

    def with_text(self, text: str) -> list[int]:
        """How many frames with it came to each."""
        self._site.shout("224.0.0.77", self._last)
        wanted = text.encode()
        return [sum(wanted in each for each in one.frames()) for one in self._listeners]


@pytest.fixture
def site(joined: Cluster) -> Iterator[Site]:
    hosts = joined.hosts
    for host in hosts:
        host.start_weftd()
    with ExitStack() as stack:
        yield Site(hosts, stack)
        for host in hosts:
            host.start_weftd()


@pytest.mark.smoke
@BY_FAMILY
def test_a_group_goes_to_hosts_and_ports_with_members_and_nowhere_else(
    site: Site, group: str
) -> None:
    beside = site.workload(0)
    ear = Ear(site.b, group)
    site.has(group, "h2")
    watch = Watch(site, site.hosts[1], site.hosts[2], site.b, site.c, beside)
    site.shout(group, "first", times=5)
    assert [ear.line() for _ in range(5)] == [f"first {number}" for number in range(5)]
    assert watch.with_text("first") == [5, 0, 5, 0, 0]
    assert site.no_member_drops() == 0
    near = Ear(beside, group)
    site.has(group, "h1", "h2")
    ear.leave()
    site.has(group, "h1")
    watch = Watch(site, site.hosts[1], site.b, beside)
    site.shout(group, "second")
    assert near.line() == "second 0"
    assert watch.with_text("second") == [0, 0, 1]
    near.leave()
    site.has(group)
    before = site.no_member_drops()
    site.shout(group, "third", times=3)
    until("it is counted", lambda: site.no_member_drops() == before + 3)


@pytest.mark.parametrize(
    ("setting", "group"),
    families.of(
        [
            ("net.ipv4.conf.eth0.force_igmp_version=1", GROUP4),
            ("net.ipv6.conf.eth0.force_mld_version=1", GROUP6),
            ("net.ipv4.conf.eth0.force_igmp_version=2", GROUP4),
            ("net.ipv4.conf.eth0.force_igmp_version=3", GROUP4),
            ("net.ipv6.conf.eth0.force_mld_version=2", GROUP6),
        ],
        ids=["IGMPv1", "MLDv1", "IGMPv2", "IGMPv3", "MLDv2"],
        always=2,
    ),
)
def test_every_version_is_understood(site: Site, setting: str, group: str) -> None:
    site.b.run("sysctl", "-qw", setting)
    ear = Ear(site.b, group)
    site.has(group, "h2")
    site.shout(group, "hello")
    assert ear.line() == "hello 0"
    ear.leave()
    if not setting.endswith("igmp_version=1"):  # which has no way to say so
        site.has(group)


def test_a_network_that_floods_sends_to_all_and_one_that_snoops_again_to_members(
    site: Site,
) -> None:
    ear = Ear(site.b, GROUP4)
    site.has(GROUP4, "h2")
    assert "every port" in site.weft(1, "network", "set", site.name, "--multicast", "flood")
    until("h1 floods", lambda: multicast_of(site, 0) == "flood")
    until("h3 gets it", lambda: site_hears(site, site.c, "flooded"))
    assert site_hears(site, site.b, "flooded")
    site.weft(2, "network", "set", site.name, "--multicast", "snoop")
    site.has(GROUP4, "h2")
    until("h3 gets it no more", lambda: not site_hears(site, site.c, "snooped"))
    ear.leave()


def multicast_of(site: Site, host: int) -> str:
    found: str = site.apis[host].get(NetworkInfo, "networks", site.name).multicast
    return found


def site_hears(site: Site, workload: Workload, text: str) -> bool:
    """Whether what is said to the group comes to a workload's device."""
    watch = Watch(site, workload)
    site.shout(GROUP4, text)
    return watch.with_text(text) == [1]


@BY_FAMILY
def test_a_member_by_hand_gets_a_group_that_it_never_joined(site: Site, group: str) -> None:
    port = site.c.ports[0].id
    site.weft(2, "multicast", "add", site.name, group, port)
    site.has(group, "h3")
    watch = Watch(site, site.hosts[1], site.c, site.b)
    site.shout(group, "by hand", times=2)
    assert watch.with_text("by hand") == [0, 2, 0]
    assert "weft multicast add" in site.weft(0, "status", "multicast")
    site.weft(2, "multicast", "rm", site.name, group, port)
    site.has(group)
    site.weft(0, "multicast", "add", site.name, group)
    for host in range(3):
        until("all know", lambda host=host: site.group(host, group) is not None)  # type: ignore[misc]
        site.settle(host)
    watch = Watch(site, site.c, site.b)
    site.shout(group, "to all")
    assert watch.with_text("to all") == [1, 1]


@BY_FAMILY
def test_weftd_that_dies_takes_no_member_along(site: Site, group: str) -> None:
    ear = Ear(site.b, group)
    site.has(group, "h2")
    words = ("shout", "eth0", group, "on", "10000", "0.005")
    mouth = site.a.start(sys.executable, str(GROUPS), *words)
    assert ear.line() == "on 0"
    for host in site.hosts[:2]:
        host.kill_weftd()
    later = Ear(site.c, group)
    for host in site.hosts[:2]:
        host.start_weftd()
    site.has(group, "h2", "h3")
    # Past the first questions after the start, which a member that is there answers.
    until_asked(site)
    mouth.kill()
    mouth.wait()
    numbers = [int(line.split()[1]) for line in ear.so_far()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 100
    assert later.line().startswith("on ")
    later.leave()


def until_asked(site: Site) -> None:
    """The weftd of h2 has asked its ports since it started, and was answered."""
    api = site.apis[1]

    def is_answered() -> bool:
        found = api.get(MulticastGroupList, "multicast").statistics
        return found["queries"] >= 2 and found["reports"] >= 1

    until("h2 asks and is answered", is_answered)


def test_what_is_joined_while_weftd_is_away_is_learnt_when_it_starts(site: Site) -> None:
    site.hosts[1].kill_weftd()
    ear = Ear(site.b, GROUP4)
    site.hosts[1].start_weftd()
    site.has(GROUP4, "h2")
    site.shout(GROUP4, "late")
    assert ear.line() == "late 0"
    ear.leave()
    site.has(GROUP4)


def test_a_port_is_asked_soon_after_it_was_plugged_in(site: Site) -> None:
    """Whatever it joined before anybody listened."""
    before = site.apis[2].get(MulticastGroupList, "multicast").statistics["queries"]
    site.workload(2)
    until(
        "the new port is asked",
        lambda: (
            site.apis[2].get(MulticastGroupList, "multicast").statistics["queries"] >= before + 2
        ),
    )


def test_a_member_that_is_unplugged_is_none(site: Site) -> None:
    beside = site.workload(1)
    Ear(beside, GROUP4)
    Ear(site.b, GROUP6)
    site.has(GROUP4, "h2")
    beside.detach(site.network)
    site.has(GROUP4)
    site.has(GROUP6, "h2")
