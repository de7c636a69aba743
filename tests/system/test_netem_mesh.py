"""Three weftd whose underlay loses, delays and reorders: they stay one cluster, and work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import families
from tests.system import weather
from tests.system.cluster import Cluster
from tests.system.workload import PATIENCE, Workload, add_network, until
from weft.api.client import Client
from weft.api.schema import HostList, NetworkList
from weft.lab.host import LabHost
from weft.lab.layout import UNDERLAY_DEVICE

pytestmark = pytest.mark.root


class Hosts:
    """The lab's hosts, from all of which one can see."""

    def __init__(self, hosts: list[LabHost]) -> None:
        self.all = hosts

    def have(self, kind: str) -> None:
        """This weather for all of them; empty: fair."""
        for host in self.all:
            command = weather.on(UNDERLAY_DEVICE, kind) if kind else weather.off(UNDERLAY_DEVICE)
            host.run(command.split())

    def api(self, number: int) -> Client:
        return Client(self.all[number].api_socket, timeout_s=20 * PATIENCE)

    def networks(self, number: int) -> set[str]:
        return {one.name for one in self.api(number).get(NetworkList, "networks").networks}

    def are_whole(self) -> bool:
        """Every host is linked to every other, and sends to it directly."""
        for number in range(len(self.all)):
            seen = self.api(number).get(HostList, "hosts").hosts
            states = {(one.state, one.path) for one in seen if not one.is_local}
            if states != {("connected", "direct")}:
                return False
        return True

    def links_lost(self) -> int:
        """How many links ever ended, as the logs say."""
        return sum(host.weftd_log.read_text().count("link down") for host in self.all)


@pytest.fixture(scope="module")
def sky() -> None:
    if not weather.is_known_here():
        pytest.skip(weather.REASON)


@pytest.fixture(params=families.of(weather.KINDS.values(), ids=[*weather.KINDS]))
def hosts(sky: None, joined: Cluster, request: pytest.FixtureRequest) -> Iterator[Hosts]:
    """Whole, and from now on in this weather."""
    made = Hosts(joined.hosts)
    for host in made.all:
        host.start_weftd()
    until("all hosts see each other", made.are_whole, 30)
    made.have(str(request.param))
    yield made
    made.have("")


def test_links_stay_news_arrive_and_packets_pass(hosts: Hosts) -> None:
    lost = hosts.links_lost()
    network = add_network(hosts.api(0), "foo", ["10.91.0.0/24"])
    workloads: list[Workload] = []
    try:
        for number, host in enumerate(hosts.all):
            until("the network is there", lambda n=number: "foo" in hosts.networks(n))  # type: ignore[misc]
            workloads.append(Workload(host, hosts.api(number), f"w{number}"))
            workloads[-1].attach(network)
        one, *others = workloads
        for other in others:
            until("they reach each other", lambda to=other: one.reaches(to.address4))  # type: ignore[misc]
            # Twenty seconds: several times what makes a silent link a dead one.
            one.run("ping", "-n", "-q", "-c", "50", "-i", "0.2", "-W", "2", other.address4)
    finally:
        for workload in workloads:
            workload.remove()
        hosts.api(2).delete("networks", "foo")
    until("it is gone everywhere", lambda: all("foo" not in hosts.networks(n) for n in range(3)))
    assert hosts.are_whole()
    assert hosts.links_lost() == lost


def test_a_weftd_that_was_killed_finds_the_others_again(hosts: Hosts) -> None:
    host = hosts.all[1]
    assert host.kill_weftd()
    add_network(hosts.api(0), "meanwhile", ["10.92.0.0/24"])
    host.start_weftd()
    until("all hosts see each other", hosts.are_whole, 60)
    until("it has the news", lambda: "meanwhile" in hosts.networks(1))
    hosts.api(1).delete("networks", "meanwhile")
    until("and so have the others", lambda: "meanwhile" not in hosts.networks(0))
