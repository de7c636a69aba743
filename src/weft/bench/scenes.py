"""Pairs of workloads on Weft's logical networks: routed, with rules, or both.

All pairs are on the same hosts. These know a group of very many members on hosts that are not
there: a network of their own, which a router leads to, so each host has a row for every member.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from typing import NamedTuple

from weft.api.schema import NetworkInfo, RouterInfo
from weft.api.schema.groups import GroupInfo
from weft.bench.cluster import Cluster, lab_hosts
from weft.bench.logical import LogicalCluster, Size
from weft.bench.namespace import Namespace
from weft.bench.plan import Plan
from weft.bench.prefilled import fill
from weft.bench.programs import of_weft
from weft.bench.simulated import Common
from weft.bench.topology import Pair, Variant
from weft.control.group_specs import GroupSpec
from weft.control.router_specs import ConnectionSpec, RouterSpec
from weft.control.specs import NetworkSpec, SubnetSpec
from weft.errors import UnavailableError
from weft.lab.host import Setting
from weft.lab.processes import wait_until
from weft.model.addresses import ip_network
from weft.model.ids import HostId
from weft.model.records import Port, Record

ROUTER = "middle"
MEMBERS, MEMBERS_NETWORK = "group0", "network0"
"""As `LogicalCluster` calls them."""
_ABSENT_HOSTS = 10
_ANSWERS_WITHIN_S = 20.0
_FIRST_PORT, _PORTS = 1024, 60000
_FROM_MEMBERS = 4
"""One rule of so many names the group, the others each a prefix."""


class Scene(NamedTuple):
    """What is between two workloads beside the way there."""

    rules: int = 0
    """Of their group; 0: they are in none, and are not judged."""
    is_routed: bool = False
    """Each is on a network of its own."""


class Members(LogicalCluster):
    """Many ports on one network, of hosts of which nothing else is known."""

    def __init__(self, ports: int) -> None:
        of_all = ports + ports // _ABSENT_HOSTS
        super().__init__(Size(networks=1, ports=of_all, groups=1), 1 + _ABSENT_HOSTS)

    def records_of(self, host: HostId) -> Iterator[Record]:
        """The first host, which is there, has none."""
        if host != self.hosts[0]:
            yield from (each for each in super().records_of(host) if isinstance(each, Port))


def source(number: int) -> str:
    """The prefix that a rule names."""
    return f"{172 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.0/24"


def port(number: int) -> int:
    """The TCP port that a rule names."""
    return _FIRST_PORT + number % _PORTS


def rules(number: int, group: str) -> list[str]:
    """So many, of which the last lets members of the group reach each other."""
    return [*map(_other, range(number - 1)), f"allow ingress from group:{group}"]


def _other(number: int) -> str:
    peer = source(number) if number % _FROM_MEMBERS else f"group:{MEMBERS}"
    return f"allow ingress tcp {port(number)} from {peer}"


class Scenes:
    """Hosts that are made for scenes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._numbers = count(1)
        self._groups: dict[int, str] = {}
        """By the number of their rules."""
        spec = RouterSpec(name=ROUTER, networks=(ConnectionSpec(network=MEMBERS_NETWORK),))
        cluster.hosts[0].api.send(RouterInfo, "POST", "routers", body=spec)

    @property
    def pid(self) -> int:
        """Of the first host's weftd."""
        return self._cluster.hosts[0].pid

    def variant(self, scene: Scene, *roles: str) -> Variant:
        """Two workloads, on the first host and on the last.

        roles: of the programs that packets between them meet.
        """
        return partial(self._pair, scene, roles)

    def group(self, number: int) -> str:
        """A group with so many rules, by name."""
        if number not in self._groups:
            name = f"rules{number}"
            spec = GroupSpec(name=name, denied=("ingress",), rules=tuple(rules(number, name)))
            self._cluster.hosts[0].api.send(GroupInfo, "POST", "groups", body=spec)
            self._groups[number] = name
        return self._groups[number]

    @contextmanager
    def _pair(self, scene: Scene, roles: Sequence[str], mtu_bytes: int) -> Iterator[Pair]:
        hosts = self._cluster.hosts[0], self._cluster.hosts[-1]
        first = self._network(scene, mtu_bytes)
        networks = first, self._network(scene, mtu_bytes) if scene.is_routed else first
        groups = (self.group(scene.rules),) if scene.rules else ()
        with ExitStack() as stack:
            ends, addresses = [], []
            for host, name, role in zip(hosts, networks, ("client", "server"), strict=True):
                end = stack.enter_context(Namespace(role))
                addresses.append(host.attach(end, name, role, groups=groups).addresses[0])
                stack.callback(host.detach, end, name)
                ends.append(end)
            _await_answer(ends[0], addresses[1])
            pids = [host.pid for host in self._cluster.hosts]
            programs = stack.enter_context(of_weft(pids, roles))
            yield Pair(ends[0], ends[1], addresses[1], programs)

    def _network(self, scene: Scene, mtu_bytes: int) -> str:
        """A new one, on the router if the scene is routed or rules name who is behind it."""
        number = next(self._numbers)
        name = f"scene{number}"
        subnets = (SubnetSpec(cidr=ip_network(f"10.96.{number}.0/24")),)
        spec = NetworkSpec(name=name, subnets=subnets, mtu_bytes=mtu_bytes)
        api = self._cluster.hosts[0].api
        api.send(NetworkInfo, "POST", "networks", body=spec)
        if scene.is_routed or scene.rules:
            connection = ConnectionSpec(network=name)
            api.send(RouterInfo, "POST", "routers", ROUTER, "networks", body=connection)
        self._cluster.await_network(name)
        return name


def _await_answer(end: Namespace, address: str) -> None:
    """Until the way is in force on both hosts; ping gives up when it is told that there is none."""

    def answers() -> bool:
        try:
            end.run(["ping", "-c", "1", "-W", "1", address])
        except UnavailableError:
            return False
        return True

    wait_until(f"{address} answers a ping", answers, _ANSWERS_WITHIN_S)


@contextmanager
def scene_hosts(
    plan: Plan,
    hosts: int,
    mtu_bytes: int,
    members: int,
    settings: Mapping[str, Setting] | None = None,
) -> Iterator[Scenes]:
    """One host, or two with a cable. Nothing is left afterwards."""
    with lab_hosts(plan.say, hosts, mtu_bytes, settings) as lab:
        plan.say(f"{members} ports of other hosts are made known")
        fill(lab.host("h1"), Common(Members(members)))
        cluster = Cluster(lab)
        for number in range(1, hosts + 1):
            cluster.join(f"h{number}")
        yield Scenes(cluster)
