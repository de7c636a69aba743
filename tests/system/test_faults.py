"""Three hosts and traffic between them: whatever fails, what was not cut goes on; all heals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, count

import pytest

from tests import families
from tests.system.cluster import Cluster
from tests.system.pings import Pings
from tests.system.shared_lab import SharedLab
from tests.system.workload import PATIENCE, Workload, add_network, until
from weft.api.client import Client
from weft.api.schema import HostList, NetworkInfo, NetworkList, PortList
from weft.errors import WeftError
from weft.lab import faults
from weft.lab.host import weft_command
from weft.lab.lab import Lab

pytestmark = pytest.mark.root

HEALS_S = 30.0
"""How long it may take until all hosts see each other again."""
NETWORK = "foo"
CUTS = [
    ((0, 1), False),
    ((1, 2), True),
    ((0, 1), True),
    ((0, 2), False),
    ((0, 2), True),
    ((1, 2), False),
]
"""Which two hosts, and whether one way."""


class Hosts:
    """The lab's three hosts, a network that they share, and a workload on each."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.all = lab.hosts()
        self.network = add_network(self.api(0), NETWORK, ["10.91.0.0/24", "fd91::/64"])
        until(f"{NETWORK} on all hosts", lambda: all(NETWORK in self.networks(n) for n in range(3)))
        self.workloads = [
            Workload(host, self.api(number), f"w{number + 1}")
            for number, host in enumerate(self.all)
        ]
        for workload in self.workloads:
            workload.attach(self.network, names=(workload.name,))

    def api(self, number: int) -> Client:
        return Client(self.all[number].api_socket, timeout_s=20 * PATIENCE)

    def networks(self, number: int) -> set[str]:
        return {one.name for one in self.api(number).get(NetworkList, "networks").networks}

    def states(self, number: int) -> dict[str, tuple[str, str | None]]:
        """How a host sees the others: state and path."""
        seen = self.api(number).get(HostList, "hosts").hosts
        return {one.name: (one.state, one.path) for one in seen if not one.is_local}

    def is_whole(self) -> bool:
        """Every host is linked to every other, and sends to it directly."""
        numbers = range(len(self.all))
        return all(set(self.states(n).values()) == {("connected", "direct")} for n in numbers)

    def heal(self) -> None:
        """End all faults; all must find each other again."""
        for host in self.all:
            faults.heal(self.lab, host.name)
            host.start_weftd()
        until("all hosts see each other", self.is_whole, HEALS_S)

    def reach_each_other(self) -> bool:
        return all(
            one.reaches(address)
            for one in self.workloads
            for two in self.workloads
            if one is not two
            for address in (two.address4, two.address6)
        )

    def remove(self) -> None:
        for workload in self.workloads:
            workload.remove()


class PairsOfPings:
    """Pings between pairs of workloads, in both families."""

    def __init__(self, pairs: Sequence[tuple[Workload, Workload]]) -> None:
        self._pings = [Pings(one.start, (two.address4, two.address6)) for one, two in pairs]

    def end(self) -> None:
        """End them; nothing may be lost."""
        for pings in self._pings:
            pings.end_whole(1)


@pytest.fixture(scope="module")
def hosts(three_hosts: SharedLab, joined: Cluster) -> Iterator[Hosts]:
    made = Hosts(three_hosts.lab)
    yield made
    made.remove()


@pytest.fixture
def three(hosts: Hosts) -> Iterator[Hosts]:
    """All three, whole; so they are left, too."""
    hosts.heal()
    until("all workloads reach each other", hosts.reach_each_other)
    yield hosts
    hosts.heal()


def pairs(hosts: Hosts) -> list[tuple[Workload, Workload]]:
    return list(combinations(hosts.workloads, 2))


def test_each_weftd_killed_in_turn_and_all_at_once_lose_nothing(three: Hosts) -> None:
    pings = PairsOfPings(pairs(three))
    for host in three.all:
        assert host.kill_weftd()
        host.start_weftd()
    for host in three.all:
        assert host.kill_weftd()
    for host in three.all:
        host.start_weftd()
    until("all hosts see each other", three.is_whole, HEALS_S)
    pings.end()


@pytest.mark.parametrize(("cut", "is_one_way"), families.of(CUTS, always=2))
def test_a_cut_link_is_gone_round_and_used_again(
    three: Hosts, cut: tuple[int, int], is_one_way: bool
) -> None:
    """The third host relays, for weftd and for packets; nothing else notices."""
    one, two = (three.workloads[number] for number in cut)
    others = [pair for pair in pairs(three) if set(pair) != {one, two}]
    pings = PairsOfPings(others)
    names = [three.all[number].name for number in cut]
    faults.cut(three.lab, *names, is_one_way=is_one_way)
    for number, other in ((cut[0], names[1]), (cut[1], names[0])):
        until(
            f"{three.all[number].name} goes to {other} by way of the third",
            lambda n=number, other=other: three.states(n)[other][1] == "relayed",  # type: ignore[misc]
            HEALS_S,
        )
    until("the relay carries packets", lambda: one.reaches(two.address4), HEALS_S)
    assert two.reaches(one.address6)
    faults.heal(three.lab, *names)
    until("all paths are direct again", three.is_whole, HEALS_S)
    assert one.reaches(two.address4)
    pings.end()


def make_networks(hosts: Hosts, what: str) -> set[str]:
    """A network on each host, at once."""
    names = set()
    for number in range(len(hosts.all)):
        name = f"{what}{number}"
        add_network(hosts.api(number), name, [f"10.92.{number}.0/24"])
        names.add(name)
    return names


def remove_networks(hosts: Hosts, names: set[str]) -> None:
    until("the first host knows them", lambda: names <= hosts.networks(0))
    for name in names:
        hosts.api(0).delete("networks", name)
    until("the networks are gone", lambda: names.isdisjoint(hosts.networks(2)))


def attached_apart(hosts: Hosts) -> list[Workload]:
    """A further workload on each host, attached while the hosts cannot ask each other."""
    made = []
    for number, host in enumerate(hosts.all):
        workload = Workload(host, hosts.api(number), f"apart{number}")
        made.append(workload)
        workload.attach(hosts.network, names=(workload.name,))
    return made


@pytest.mark.parametrize("lonely", families.of([["h3"], ["h1", "h2", "h3"]], ids=["2|1", "1|1|1"]))
def test_a_partition_with_changes_on_all_sides_heals(three: Hosts, lonely: list[str]) -> None:
    for name in lonely:
        faults.cut(three.lab, name)
    for name in lonely:
        number = int(name[1:]) - 1
        until(
            f"{name} is alone",
            lambda n=number: all(s != "connected" for s, _ in three.states(n).values()),  # type: ignore[misc]
            HEALS_S,
        )
    pings = PairsOfPings([(three.workloads[0], three.workloads[1])] if len(lonely) == 1 else [])
    made = make_networks(three, "part")
    apart = attached_apart(three)
    try:
        addresses = [address for workload in apart for address in workload.ports[0].addresses]
        assert len(set(addresses)) == len(addresses)
        pings.end()
        three.heal()
        for number in range(len(three.all)):
            until("all networks on all hosts", lambda n=number: made <= three.networks(n), HEALS_S)  # type: ignore[misc]
        until(
            "what was attached apart is reached",
            lambda: all(one.reaches(two.address4) for one, two in combinations(apart, 2)),
            HEALS_S,
        )
    finally:
        three.heal()
        for workload in apart:
            workload.remove()
        remove_networks(three, made)


def test_a_full_disk_refuses_and_loses_nothing(three: Hosts) -> None:
    """Writes fail with a clear error; what runs goes on; with room again, so do writes."""
    host = three.all[1]
    state = host.layout.state / "weft"
    host.run([*weft_command(), "down"])
    kept = state.with_name("kept")
    host.run(["cp", "-a", str(state), str(kept)])
    host.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(state)])
    host.run(["sh", "-c", f"cp -a {kept}/. {state}/"])
    try:
        host.start_weftd()
        until("all hosts see each other", three.is_whole, HEALS_S)
        pings = PairsOfPings(pairs(three))
        host.run(["sh", "-c", f"cat /dev/zero > {state}/filler; true"])
        with pytest.raises(WeftError, match="full"):
            for number in range(200):
                add_network(three.api(1), f"full{number}", [f"10.93.{number}.0/24"])
        numbers = count()

        def is_told() -> bool:
            """News come in all the same, until they do not fit on the disk either."""
            name = f"elsewhere{next(numbers)}"
            add_network(three.api(0), name, [f"10.94.{next(numbers)}.0/24"])
            until("news come in", lambda: name in three.networks(1))
            return b"full" in three.api(1).request("GET", ["problems"])

        until("the problem is shown", is_told)
        host.run(["rm", f"{state}/filler"])
        until("there is room", lambda: can_write(three, 1))
        pings.end()
        names = three.networks(1) - {NETWORK}
        remove_networks(three, names)
    finally:
        host.run([*weft_command(), "down"])
        host.run(["sh", "-c", f"cp -a {state}/. {kept}/"])
        host.run(["umount", str(state)])
        host.run(["sh", "-c", f"rm -rf {state}/* && cp -a {kept}/. {state}/ && rm -rf {kept}"])
        host.start_weftd()


def can_write(hosts: Hosts, number: int) -> bool:
    try:
        add_network(hosts.api(number), "room", ["10.95.0.0/24"])
    except WeftError:
        return False
    return True


def test_a_corrupt_database_is_set_aside_and_the_peers_give_the_records_back(three: Hosts) -> None:
    host = three.all[2]
    state = host.layout.state / "weft"
    before = three.api(0).get(PortList, "ports")
    pings = PairsOfPings(pairs(three))
    assert host.kill_weftd()
    for suffix in ("-wal", "-shm"):
        (state / f"weft.db{suffix}").unlink(missing_ok=True)
    (state / "weft.db").write_bytes(b"no database" * 1000)
    host.start_weftd()
    until("all hosts see each other", three.is_whole, HEALS_S)
    until("its records are back", lambda: three.api(2).get(PortList, "ports") == before, HEALS_S)
    assert three.api(0).get(PortList, "ports") == before
    assert b"set aside" in three.api(2).request("GET", ["problems"])
    pings.end()
    assert three.api(2).get(NetworkInfo, "networks", NETWORK).name == NETWORK
