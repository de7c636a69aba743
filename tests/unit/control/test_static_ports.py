"""Static ports: declared on no host, plugged on any, and waiting again afterwards."""

from __future__ import annotations

import pytest

from tests.unit.cluster import Cluster, ClusterHost
from weft.control.context import Target
from weft.control.group_specs import GroupSpec
from weft.control.specs import (
    AttachSpec,
    NetworkSpec,
    PortChanges,
    StaticPortSpec,
    SubnetSpec,
)
from weft.control.static_ports import check_waiting, declared, static_port
from weft.errors import ConflictError, InUseError, InvalidError
from weft.model.addresses import ip_address, ip_network
from weft.model.choices import LivesWith
from weft.model.records import Port


class OneWorkload:
    """A host on which one thing runs."""

    def __init__(self, number: int) -> None:
        self._number = number

    async def resolve(self, target: str) -> Target:
        return Target(f"/run/netns/{target}", self._number, frozenset({"lo"}), "", target)


@pytest.fixture
async def cluster() -> Cluster:
    made = await Cluster.of("a", "b")
    for number, host in enumerate(made.hosts, 1):
        host.context.targets = OneWorkload(number)
    a = made.hosts[0]
    subnets = tuple(SubnetSpec(cidr=ip_network(each)) for each in ("10.9.0.0/24", "fd00:9::/64"))
    await a.control.networks.create(NetworkSpec(name="back", subnets=subnets))
    await a.control.groups.create(GroupSpec(name="db"))
    made.settle()
    return made


async def declare(host: ClusterHost, name: str = "db", **facts: object) -> Port:
    spec = StaticPortSpec(name=name, network="back", **facts)  # type: ignore[arg-type]
    return await host.control.ports.add(declared(host.store, spec))


async def attach(host: ClusterHost, target: str = "db", **facts: object) -> Port:
    spec = AttachSpec(target=target, network="back", **facts)  # type: ignore[arg-type]
    return await host.control.ports.attach(spec)


def seen(cluster: Cluster, port: Port) -> list[Port | None]:
    cluster.settle()
    return [host.store.get(Port, port.id) for host in cluster.hosts]


async def test_it_waits_is_plugged_on_any_host_and_waits_again(cluster: Cluster) -> None:
    a, b = cluster.hosts
    made = await declare(
        a, addresses=(ip_address("10.9.0.8"),), groups=("db",), labels={"app": "shop"}
    )
    assert (made.host_id, made.device, made.slot) == (None, None, None)
    assert [address.version for address in made.addresses] == [4, 6]
    assert seen(cluster, made) == [made, made]
    bound = await attach(b)
    assert (bound.id, bound.host_id, bound.addresses) == (made.id, b.id, made.addresses)
    assert (bound.groups, bound.labels, bound.mac) == (made.groups, made.labels, made.mac)
    assert bound.device is not None and bound.owner.lives_with is LivesWith.NAMESPACE
    assert seen(cluster, made) == [bound, bound]
    assert await attach(b) == bound
    await b.control.ports.detach("db", "back")
    assert seen(cluster, made) == [made, made]
    moved = await attach(a)
    assert seen(cluster, made) == [moved, moved]
    await a.control.ports.end(made.id)
    assert seen(cluster, made) == [made, made]
    await b.control.ports.remove(made.id)
    assert seen(cluster, made) == [None, None]


async def test_a_workload_of_another_name_gets_a_port_of_its_own(cluster: Cluster) -> None:
    a, b = cluster.hosts
    made = await declare(a)
    cluster.settle()
    other = await attach(b, "web")
    assert other.id != made.id
    named = await attach(a, "4711", names=("DB",))
    assert named.id == made.id


async def test_one_workload_at_a_time(cluster: Cluster) -> None:
    a, b = cluster.hosts
    await declare(a)
    cluster.settle()
    await attach(b)
    cluster.settle()
    with pytest.raises(ConflictError, match="port db on back: is static, and db is plugged into"):
        await attach(a)
    with pytest.raises(InvalidError, match="is on host b; change it there"):
        await a.control.ports.change("db", PortChanges(groups=()))
    with pytest.raises(InUseError, match="port db on back: db is plugged into it"):
        check_waiting(a.store, a.control.ports.find("db"))


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ({"addresses": (ip_address("10.9.0.9"),)}, "address"),
        ({"mac": "02:00:00:00:00:09"}, "MAC"),
        ({"labels": (("a", "b"),)}, "label"),
        ({"groups": ("db",)}, "group"),
        ({"is_spoof_checked": False}, "further address"),
    ],
)
async def test_what_is_plugged_in_has_what_was_declared(
    cluster: Cluster, facts: dict[str, object], what: str
) -> None:
    a, _ = cluster.hosts
    made = await declare(a)
    with pytest.raises(ConflictError, match=f"is static, and has its {what} as it was declared"):
        await attach(a, "db", **facts)
    assert (await attach(a, addresses=made.addresses, mac=made.mac)).id == made.id


async def test_a_name_is_declared_once_and_its_address_is_taken(cluster: Cluster) -> None:
    a, b = cluster.hosts
    await declare(a, addresses=(ip_address("10.9.0.8"),))
    cluster.settle()
    with pytest.raises(ConflictError, match="port db on back: exists already"):
        await declare(b, "DB.")
    with pytest.raises(ConflictError, match=r"address 10\.9\.0\.8: in use by port db on back"):
        await declare(b, "other", addresses=(ip_address("10.9.0.8"),))
    with pytest.raises(InUseError, match="network back: in use by db, which is on no host yet"):
        await b.control.networks.remove("back")
    with pytest.raises(InUseError, match="group db: in use by port web on back"):
        await declare(b, "web", groups=("db",))
        await b.control.groups.remove("db")


async def test_two_hosts_that_plug_apart_agree_in_the_end(cluster: Cluster) -> None:
    a, b = cluster.hosts
    made = await declare(a)
    cluster.settle()
    await cluster.link([a], [b])
    await attach(a)
    await attach(b)
    await cluster.link([a, b])
    (shown, same) = seen(cluster, made)
    assert shown == same
    assert shown is not None and shown.host_id in (a.id, b.id)
    winner, loser = (a, b) if shown.host_id == a.id else (b, a)
    await winner.control.ports.detach("db", "back")
    cluster.settle()
    (shown, same) = seen(cluster, made)
    assert shown == same
    assert shown is not None and shown.host_id == loser.id
    await loser.control.ports.detach("db", "back")
    assert [each.host_id for each in seen(cluster, made) if each] == [None, None]


async def test_they_are_found_by_network_and_name(cluster: Cluster) -> None:
    a, _ = cluster.hosts
    made = await declare(a)
    network = a.control.networks.find("back")
    assert static_port(a.store, network, "db.") == made
    assert static_port(a.store, network, "web") is None
