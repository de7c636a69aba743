"""Addresses of hosts that die, return from a backup, or start all at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.cluster import Cluster, api
from tests.system.workload import add_network, until
from weft.api.schema import IpamInfo, NetworkInfo, PortInfo, PortList, PortRequest, ShareInfo
from weft.errors import ExhaustedError, UnavailableError, WeftError
from weft.lab import faults
from weft.lab.host import LabHost
from weft.lab.lab import Lab

pytestmark = pytest.mark.root

LEASE_S = 10.0
SETTINGS = {"docker": False, "reconcile_s": 2.0, "rest_s": 0.2, "lease_s": LEASE_S}


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab(f"addresses-{os.getpid()}")
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def three(lab: Lab) -> Cluster:
    """Three hosts that are one cluster, each with a lease quorum of all three."""
    lab.up(3, settings=SETTINGS)
    cluster = Cluster(lab.hosts())
    cluster.wait_connected()
    for host in cluster.hosts:
        until("all quorums are of three hosts", lambda host=host: is_settled(host), 30)  # type: ignore[misc]
    return cluster


def is_settled(host: LabHost) -> bool:
    leases = api(host).get(IpamInfo, "ipam").leases
    return len(leases) == 3 and all(
        lease.state == "held" and len(lease.quorum) == 3 for lease in leases
    )


def share(of: LabHost, network: NetworkInfo, seen_by: LabHost) -> ShareInfo | None:
    """What a host owns of a network's only subnet, as another sees it."""
    [subnet] = [s for s in api(seen_by).get(IpamInfo, "ipam").subnets if s.network == network.name]
    return next((one for one in subnet.shares if one.host == of.name), None)


def give(host: LabHost, network: NetworkInfo) -> str:
    """An address of the network, for a port that is not plugged in."""
    port = api(host).send(PortInfo, "POST", "ports", body=PortRequest(network=network.name))
    return port.addresses[0]


def give_all(hosts: Sequence[LabHost], network: NetworkInfo) -> list[str]:
    """All that these hosts can give."""
    given: list[str] = []
    for host in hosts:
        try:
            while True:
                given.append(give(host, network))
        except (ExhaustedError, UnavailableError):
            continue
    return given


def taken(host: LabHost) -> list[str]:
    """Addresses of all ports that a host knows of."""
    ports = api(host).get(PortList, "ports").ports
    return [address for port in ports for address in port.addresses]


def network_on_all(cluster: Cluster, maker: LabHost, cidr: str) -> NetworkInfo:
    network = add_network(api(maker), "foo", [cidr])
    for host in cluster.hosts:
        until(f"{host.name} can give", lambda host=host: has_share(host, network))  # type: ignore[misc]
    return network


def has_share(host: LabHost, network: NetworkInfo) -> bool:
    subnets = api(host).get(IpamInfo, "ipam").subnets
    if not any(subnet.network == network.name for subnet in subnets):
        return False
    found = share(host, network, host)
    return found is not None and found.reserve_count > 0


def test_a_dead_hosts_space_returns_with_no_command(three: Cluster) -> None:
    *alive, dead = three.hosts
    network = network_on_all(three, dead, "10.96.0.0/26")
    kept = give(dead, network)
    until("others know", lambda: kept in taken(alive[0]))
    before = share(dead, network, dead)
    assert before is not None and before.address_count > 30
    assert dead.kill_weftd()

    def has_lost_all_but_its_reserve() -> bool:
        found = share(dead, network, alive[0])
        return found is not None and found.address_count == found.reserve_count

    until("its space is others'", has_lost_all_but_its_reserve, LEASE_S + 30)
    left = share(dead, network, alive[0])
    assert left is not None and left.reserve_count < 20
    given = give_all(alive, network)
    assert len(set(given)) == len(given) == 61 - left.reserve_count
    assert kept not in given
    # It comes back, and what it gives is what it kept.
    dead.start_weftd()
    three.wait_connected()
    given += give_all([dead], network)
    assert len(set(given)) == len(given) == 60


def test_a_host_that_was_restored_from_a_backup_gives_nothing_that_is_taken(
    three: Cluster, lab: Lab
) -> None:
    h1, restored, _ = three.hosts
    network = network_on_all(three, h1, "10.97.0.0/24")
    state = restored.layout.state / "weft"
    early = [give(restored, network) for _ in range(3)]
    three.done(restored, "down")
    backup = state.with_name("backup")
    shutil.copytree(state, backup)
    restored.start_weftd()
    three.wait_connected()
    late = [give(restored, network) for _ in range(5)]
    until("others know", lambda: set(early + late) <= set(taken(h1)))
    assert restored.kill_weftd()
    shutil.rmtree(state)
    backup.rename(state)
    # As long as nobody tells it what it has forgotten, it gives nothing.
    faults.cut(lab, restored.name)
    restored.start_weftd()
    assert not set(late) & set(taken(restored))
    with pytest.raises(WeftError, match="restored from a backup"):
        give(restored, network)
    faults.heal(lab, restored.name)
    until("it has its ports again", lambda: set(late) <= set(taken(restored)), 30)
    until("it has heard from its quorum", lambda: is_settled(restored), 30)
    again = [give(restored, network) for _ in range(20)]
    assert not set(again) & set(early + late)
    assert len(set(again)) == len(again)


def test_hosts_that_start_all_at_once_share_the_addresses(lab: Lab) -> None:
    """Nobody says how many there will be."""
    lab.up(5, settings=SETTINGS, has_weftd=False)
    cluster = Cluster(lab.hosts())
    first, *others = cluster.hosts
    cluster.begin()
    network = add_network(api(first), "foo", ["10.98.0.0/24"])
    with ThreadPoolExecutor(len(cluster.hosts)) as pool:
        joined = list(pool.map(lambda host: cluster.weft(host, *cluster.join), others))
        assert [ran.code for ran in joined] == [0] * len(others), joined
        given = [*pool.map(lambda host: first_of(host, network), cluster.hosts)]
        # And once more, as after a power cut: all know each other, and none is there.
        cluster.wait_connected()
        for host in cluster.hosts:
            assert host.kill_weftd()
        list(pool.map(lambda host: host.start_weftd(), cluster.hosts))
        given += pool.map(lambda host: first_of(host, network), cluster.hosts)
    assert len(set(given)) == len(given) == 2 * len(cluster.hosts)


def first_of(host: LabHost, network: NetworkInfo) -> str:
    """An address, as soon as the host knows the network and who gives there."""
    found: list[str] = []

    def is_given() -> bool:
        try:
            found.append(give(host, network))
        except WeftError:
            return False
        return True

    until(f"{host.name} gives", is_given, 30)
    return found[0]
