"""Facts of Docker's and records, and what is decided about them."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from tests.unit.docker.dockerd_world import ENGINE, HOST, World
from weft.control.notices import Notice
from weft.errors import UnavailableError
from weft.frontends.docker.answers import (
    ContainerFacts,
    ContainerNetworks,
    ContainerState,
    EndpointFacts,
    HostConfig,
    Ipam,
    NetworkEndpoint,
    NetworkFacts,
    NetworkRequest,
    PoolConfig,
    RestartPolicy,
)
from weft.frontends.docker.bindings import DockerNetwork
from weft.frontends.docker.plugin_socket import ABSENT
from weft.frontends.docker.protocol import CreateNetwork, Pool
from weft.frontends.docker.reconcile import leftovers, mirror, naming
from weft.frontends.docker.reconcile.actions import (
    Action,
    ForgetNetwork,
    InspectContainer,
    InspectNetwork,
    MakeNetwork,
    MeetPool,
    MergeNetwork,
    NamePort,
    ReleasePool,
    Remember,
    RemoveEndpoint,
    RemoveLeftover,
    RemoveNetwork,
    RemovePort,
    RenameNetwork,
    RestoreNetwork,
    StartContainer,
    TakeBack,
    TakeOut,
    TakeOutUnused,
    Tell,
)
from weft.frontends.docker.reconcile.containers import revive
from weft.frontends.docker.reconcile.decide import decide
from weft.frontends.docker.reconcile.facts import DockerFacts, Memory
from weft.frontends.docker.reconcile.looks import AT_ONCE
from weft.frontends.docker.reconcile.mirror import refusal, request_for
from weft.frontends.docker.records import (
    LABEL,
    MADE_BY,
    MADE_FOR,
    DockerRecords,
    port_id_of,
    provisional_name,
)
from weft.model.addresses import ip_network
from weft.model.ids import MacAddress, NetworkId, SubnetId, Vni
from weft.model.records import Network, Owner, Port, Record, Subnet
from weft.store.memory import MemoryStore

ID = "a" * 64
ENDPOINT = "e" * 64
FOO = NetworkId("1" * 32)
OTHER = NetworkId("2" * 32)
POOL = Subnet(id=SubnetId("9" * 32), cidr=ip_network("10.9.0.0/24"))
OWNER = Owner(frontend="docker", reference=ENDPOINT)
MADE_FOR_ID = ((MADE_BY, HOST), (MADE_FOR, ID))


def network(
    name: str = "foo", id: NetworkId = FOO, labels: tuple[tuple[str, str], ...] = ()
) -> Network:
    return Network(id=id, name=name, vni=Vni(5000), labels=labels)


def subnet(network_id: NetworkId = FOO, cidr: str = "10.1.0.0/24") -> Subnet:
    return Subnet(id=SubnetId(network_id), cidr=ip_network(cidr), network_id=network_id)


def port(network_id: NetworkId = FOO, owner: Owner = OWNER) -> Port:
    mac = MacAddress("02:00:00:00:00:01")
    id = port_id_of(owner.reference)
    return Port(id=id, network_id=network_id, host_id=HOST, mac=mac, owner=owner)


def known(
    name: str = "foo",
    *,
    network_id: NetworkId = FOO,
    engine: str = ENGINE,
    is_name_awaited: bool = False,
    contradiction: str = "",
) -> DockerNetwork:
    return DockerNetwork(
        docker_id=ID,
        network_id=network_id,
        host_id=HOST,
        name=name,
        engine=engine,
        is_name_awaited=is_name_awaited,
        contradiction=contradiction,
    )


def facts(name: str = "foo", label: str = "", **endpoints: str) -> NetworkFacts:
    """endpoints: the container's id in Docker's list, and the endpoint's."""
    return NetworkFacts(
        id=ID,
        name=name,
        driver="weft",
        labels={LABEL: label} if label else {},
        containers={
            id.replace("_", "-"): NetworkEndpoint(endpoint=endpoint, name="web")
            for id, endpoint in endpoints.items()
        },
    )


def everything(*networks: NetworkFacts, is_first: bool = False) -> DockerFacts:
    inspected = {one.id: one for one in networks}
    return DockerFacts(engine=ENGINE, inspected=inspected, is_everything=True, is_first=is_first)


def listed(*networks: NetworkFacts) -> DockerFacts:
    return DockerFacts(engine=ENGINE, listed=networks)


def container(status: str = "running", **more: object) -> ContainerFacts:
    place = EndpointFacts(network=ID, endpoint=ENDPOINT, aliases=["shop"])
    return ContainerFacts(
        id="c1",
        name="/web",
        state=ContainerState(status=status, error=str(more.get("error", ""))),
        host=HostConfig(restart=RestartPolicy(name=str(more.get("restart", "no")))),
        networks=ContainerNetworks(networks={"foo": place}),
    )


NAMED = Owner(frontend="docker", reference=ENDPOINT, container_id="c1", container_name="web")
IN_DOCKER = [network(), subnet(), known().record]
DEAD = facts(ep_1=ENDPOINT)
WITHOUT_START = Notice(
    "container",
    ENDPOINT,
    "web",
    "container web: cannot be started, for Docker keeps a dead place of it on network foo",
    "restart dockerd while weftd runs: systemctl restart docker",
)
BRIDGE = NetworkFacts(id="b", name="foo", driver="bridge")
NOT_IN_DOCKER = refusal(network(), "foo", "h1", "there is a bridge network of that name")


class Case(NamedTuple):
    name: str
    docker: DockerFacts
    records: list[Record]
    actions: list[Action]
    memory: Memory = Memory()


CASES = [
    Case("agree: nothing", everything(facts()), IN_DOCKER, []),
    Case("agree, by the list: nothing", listed(facts()), IN_DOCKER, []),
    Case("nothing is known of Docker: nothing goes", DockerFacts(), [*IN_DOCKER, port()], []),
    Case("lost by Weft", everything(facts()), [], [RestoreNetwork(ID, "foo")]),
    Case(
        "lost by Weft, but Docker spoke of it just now",
        everything(facts()),
        [],
        [],
        Memory(recent=frozenset({ID})),
    ),
    Case("made by weftd for what is gone: not restored", everything(facts(label=OTHER)), [], []),
    Case(
        "the same with a container on it: restored",
        everything(facts(label=OTHER, c1=ENDPOINT)),
        [],
        [RestoreNetwork(ID, "foo")],
    ),
    Case(
        "a name is learnt",
        everything(facts()),
        [network(provisional_name(ID), labels=MADE_FOR_ID), subnet(), known("").record],
        [Remember(known()), RenameNetwork(FOO, provisional_name(ID), "foo", ())],
    ),
    Case(
        "a name that another look has learnt: asked for the labels, which come with it",
        DockerFacts(),
        [network(provisional_name(ID), labels=MADE_FOR_ID), subnet(), known().record],
        [InspectNetwork(ID)],
    ),
    Case(
        "the cluster has the name, and the same subnet: one network",
        DockerFacts(),
        [
            network(provisional_name(ID), labels=MADE_FOR_ID),
            subnet(),
            known().record,
            network(id=OTHER),
            subnet(OTHER),
        ],
        [MergeNetwork(FOO, OTHER)],
    ),
    Case(
        "the subnets have turned out to be another network's",
        DockerFacts(),
        [network("bar"), known(is_name_awaited=True).record],
        [
            Remember(
                known(
                    contradiction=(
                        reason := "network foo: its subnet is that of network bar; choose another "
                        "subnet, or join that network with -o network=bar"
                    )
                )
            ),
            Tell(
                naming.SOURCE,
                Notice(
                    "docker-network",
                    ID,
                    "foo",
                    reason,
                    "docker network rm foo; the cluster's network then comes by itself",
                ),
            ),
        ],
    ),
    Case(
        "a contradiction that is told of a network that is gone",
        DockerFacts(),
        [],
        [TakeBack(naming.SOURCE, ID)],
        Memory(told={(naming.SOURCE, ID): Notice("docker-network", ID, "foo", "", "")}),
    ),
    Case("gone from Docker", everything(), IN_DOCKER, [RemoveNetwork(ID, "foo")]),
    Case(
        "gone with its engine",
        everything(),
        [network(), subnet(), known(engine="another").record],
        [ForgetNetwork(ID, "foo")],
    ),
    Case(
        "made for a Docker that has it no more",
        everything(),
        [network(labels=MADE_FOR_ID), subnet()],
        [RemoveLeftover(FOO)],
    ),
    Case(
        "an endpoint is gone",
        everything(facts()),
        [*IN_DOCKER, port()],
        [RemovePort(port().id, ENDPOINT[:12])],
    ),
    Case(
        "an endpoint is on its way",
        everything(facts()),
        [*IN_DOCKER, port()],
        [],
        Memory(recent=frozenset({ENDPOINT})),
    ),
    Case("a pool is met", everything(), [POOL], [MeetPool(POOL.id)]),
    Case(
        "a pool was met just now",
        everything(),
        [POOL],
        [],
        Memory(touched=frozenset({POOL.id}), recent=frozenset({POOL.id})),
    ),
    Case(
        "no network came for a pool",
        everything(),
        [POOL],
        [ReleasePool(POOL.id, POOL.cidr)],
        Memory(touched=frozenset({POOL.id})),
    ),
    Case("an endpoint without a container", everything(DEAD), IN_DOCKER, [InspectContainer("web")]),
    Case(
        "its container is gone",
        everything(DEAD).with_container("web", None),
        IN_DOCKER,
        [RemoveEndpoint(ID, "foo", "web")],
    ),
    Case(
        "its container does not run",
        everything(DEAD).with_container("web", container("exited")),
        IN_DOCKER,
        [Tell(leftovers.SOURCE, WITHOUT_START)],
    ),
    Case(
        "its container does not run, as is told",
        everything(DEAD).with_container("web", container("exited")),
        IN_DOCKER,
        [],
        Memory(told={(leftovers.SOURCE, ENDPOINT): WITHOUT_START}),
    ),
    Case(
        "it is told, and over",
        everything(facts()),
        IN_DOCKER,
        [TakeBack(leftovers.SOURCE, ENDPOINT)],
        Memory(told={(leftovers.SOURCE, ENDPOINT): WITHOUT_START}),
    ),
    Case(
        "a port without a name",
        everything(facts(c1=ENDPOINT)),
        [*IN_DOCKER, port()],
        [InspectContainer("c1")],
    ),
    Case(
        "a container's names",
        everything(facts(c1=ENDPOINT)).with_container("c1", container()),
        [*IN_DOCKER, port()],
        [NamePort(port().id, ("web", "shop"), NAMED, ())],
    ),
    Case(
        "names are known, and the connection is not new",
        everything(facts(c1=ENDPOINT)),
        [*IN_DOCKER, port(owner=NAMED)],
        [],
    ),
    Case(
        "names are known, and the connection is new",
        everything(facts(c1=ENDPOINT), is_first=True),
        [*IN_DOCKER, port(owner=NAMED)],
        [InspectContainer("c1")],
    ),
    Case("a network of Weft's", listed(), [network(), subnet()], [MakeNetwork(FOO, "foo")]),
    Case("one without a subnet", listed(), [network()], []),
    Case(
        "one that Docker would not make",
        listed(),
        [network(), subnet()],
        [],
        Memory(refused={FOO: request_for(network(), "foo", [subnet()])}),
    ),
    Case(
        "Docker would not make it under its former name",
        listed(),
        [network(), subnet()],
        [MakeNetwork(FOO, "foo")],
        Memory(refused={FOO: request_for(network(), "former", [subnet()])}),
    ),
    Case(
        "Docker has another of that name",
        listed(BRIDGE),
        [network(), subnet()],
        [Tell(mirror.SOURCE, NOT_IN_DOCKER)],
    ),
    Case(
        "Docker has it by now",
        listed(facts()),
        IN_DOCKER,
        [TakeBack(mirror.SOURCE, FOO)],
        Memory(told={(mirror.SOURCE, FOO): NOT_IN_DOCKER}),
    ),
    Case(
        "Weft has it no more",
        listed(facts()),
        [known().record],
        [TakeOut(ID, "foo")],
    ),
    Case(
        "Weft calls it otherwise",
        listed(facts(label=FOO)),
        [network("bar"), subnet(), known().record],
        [InspectNetwork(ID)],
    ),
    Case(
        "Weft calls it otherwise, and nothing is on it",
        listed(facts(label=FOO)).with_network(ID, facts(label=FOO)),
        [network("bar"), subnet(), known().record],
        [TakeOutUnused(ID, "foo")],
    ),
    Case(
        "Weft calls it otherwise, and a container is on it",
        listed(facts(label=FOO)).with_network(ID, facts(label=FOO, c1=ENDPOINT)),
        [network("bar"), subnet(), known().record],
        [],
    ),
    Case(
        "of two that are called alike the first is Docker's",
        listed(),
        [network(id=OTHER), subnet(OTHER, "10.2.0.0/24"), network(), subnet()],
        [MakeNetwork(FOO, "foo")],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_decided(case: Case) -> None:
    records = DockerRecords(MemoryStore(case.records), HOST, "h1")
    assert list(decide(case.docker, records, case.memory)) == case.actions


@pytest.mark.parametrize(
    ("error", "restart", "is_started"),
    [
        (f"could not read {ABSENT}", "always", True),
        (f"could not read {ABSENT}", "no", False),
        ("out of memory", "always", False),
    ],
)
def test_which_containers_missed_weftd(error: str, restart: str, is_started: bool) -> None:
    docker = DockerFacts(stopped=(container("exited", error=error, restart=restart),))
    records = DockerRecords(MemoryStore(), HOST, "h1")
    expected = [StartContainer("c1", "web")] if is_started else []
    assert list(revive(docker, records, Memory())) == expected


async def test_what_docker_refuses_is_told_and_not_asked_for_again() -> None:
    world = World(network(), subnet())

    async def refuse(request: NetworkRequest) -> None:
        world.docker.calls.append(f"make {request.name}")
        raise UnavailableError("not this one")

    world.docker.create_network = refuse  # type: ignore[method-assign]
    await world.look()
    await world.look()
    assert world.docker.calls == ["make foo"]
    (notice,) = world.control.notices.list()
    assert "network foo: not in Docker on host h1" in notice.reason
    await world.control.networks.remove(FOO)
    await world.look()
    assert not world.control.notices.list()


async def test_a_network_that_weft_renames_is_made_anew_under_its_new_name() -> None:
    world = World(network(), subnet())
    await world.look()
    await world.control.networks.rename(FOO, "bar")
    await world.look()
    assert world.docker.calls == ["make foo", "remove foo", "make bar"]
    await world.look()
    assert await world.left() == []


async def test_a_call_of_dockers_waits_for_few_of_many_networks_that_are_restored() -> None:
    world = World()
    ids = [f"{number:064x}" for number in range(4 * AT_ONCE)]
    for number, id in enumerate(ids):
        config = [PoolConfig(subnet=f"10.2.{number}.0/24", gateway=f"10.2.{number}.1")]
        world.docker.add(id, f"n{number}", ipam=Ipam(driver="default", config=config))
    restored: list[int] = []

    async def call() -> None:
        pool = Pool(address_space="LocalDefault", pool="10.1.0.0/24", gateway="10.1.0.1/24")
        await world.networks.create(CreateNetwork(network=ID, ipv4=[pool]))
        restored.append(sum(world.state.records.docker_network(id) is not None for id in ids))

    async with asyncio.TaskGroup() as tasks, world.networks.lock:
        for each in (world.look(), call()):
            tasks.create_task(each)
            await asyncio.sleep(0)
    assert restored == [AT_ONCE]
    assert all(map(world.state.records.docker_network, ids))
