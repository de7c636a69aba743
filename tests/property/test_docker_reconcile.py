"""Looks bring Docker and the records together, wherever they were: then nothing is left to do."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from tests.unit.docker.dockerd_world import ENGINE, HOST, World
from weft.frontends.docker.answers import Ipam, PoolConfig
from weft.frontends.docker.bindings import DockerNetwork
from weft.frontends.docker.reconcile.actions import RestoreNetwork, TakeOut
from weft.frontends.docker.records import LABEL, MADE_BY, MADE_FOR, port_id_of, provisional_name
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import MacAddress, NetworkId, SubnetId, Vni
from weft.model.records import Network, Owner, Port, Record, Subnet

DOCKER_IDS = [letter * 64 for letter in "abc"]
NAMES = ["foo", "bar", "a/b"]
NETWORK_IDS = [NetworkId(f"{number:032x}") for number in range(4)]
ENDPOINTS = [letter * 64 for letter in "vwxyz"]


@st.composite
def networks(draw: st.DrawFn, number: int) -> list[Record]:
    """A network of Weft's with its subnet; it may have been made for one of Docker's."""
    made_for = draw(st.sampled_from([None, *DOCKER_IDS]))
    name = draw(st.sampled_from(["foo", "bar", "baz"]))
    labels: tuple[tuple[str, str], ...] = ()
    if made_for is not None:
        labels = ((MADE_BY, HOST), (MADE_FOR, made_for))
        name = draw(st.sampled_from([name, provisional_name(made_for)]))
    cidr = draw(st.sampled_from([number, number + 10]))
    id = NETWORK_IDS[number]
    return [
        Network(id=id, name=name, vni=Vni(5000 + number), labels=labels),
        Subnet(
            id=SubnetId(f"{number:032x}"),
            cidr=ip_network(f"10.{cidr}.0.0/24"),
            network_id=id,
            gateway=draw(st.sampled_from([None, ip_address(f"10.{cidr}.0.1")])),
        ),
    ]


@st.composite
def bindings(draw: st.DrawFn, docker_id: str) -> list[Record]:
    """What is remembered of a network of Docker's."""
    is_remembered = draw(st.booleans())
    record = DockerNetwork(
        docker_id=docker_id,
        network_id=draw(st.sampled_from(NETWORK_IDS)),
        host_id=HOST,
        name=draw(st.sampled_from(["", *NAMES])),
        engine=draw(st.sampled_from([ENGINE, "another"])),
        is_name_awaited=draw(st.booleans()),
        contradiction=draw(st.sampled_from(["", "they differ"])),
    ).record
    return [record] if is_remembered else []


@st.composite
def ports(draw: st.DrawFn, number: int, network_ids: list[NetworkId]) -> list[Record]:
    if not network_ids or not draw(st.booleans()):
        return []
    network_id = draw(st.sampled_from(network_ids))
    return [
        Port(
            id=port_id_of(ENDPOINTS[number]),
            network_id=network_id,
            host_id=HOST,
            mac=MacAddress(f"02:00:00:00:00:{number:02x}"),
            owner=Owner(frontend="docker", reference=ENDPOINTS[number]),
        )
    ]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    made = [draw(networks(number)) for number in draw(st.sets(st.integers(0, 2)).map(sorted))]
    network_ids = [records[0].id for records in made]
    records = [record for some in made for record in some]
    for docker_id in DOCKER_IDS:
        records += draw(bindings(docker_id))
    for number in range(len(ENDPOINTS)):
        records += draw(ports(number, [NetworkId(id) for id in network_ids]))
    if draw(st.booleans()):
        records.append(Subnet(id=SubnetId("f" * 32), cidr=ip_network("10.99.0.0/24")))
    world = World(*records)
    names = draw(st.permutations(NAMES))
    for number in draw(st.sets(st.integers(0, 2)).map(sorted)):
        add_network(draw, world, number, names[number])
    return world


def add_network(draw: st.DrawFn, world: World, number: int, name: str) -> None:
    facts: dict[str, Any] = {
        "driver": draw(st.sampled_from(["weft", "weft", "weft", "bridge"])),
        "ipam": Ipam(
            driver=draw(st.sampled_from(["weft", "default"])),
            config=[PoolConfig(subnet=f"10.{number}.0.0/24", gateway=f"10.{number}.0.1")],
        ),
    }
    label = draw(st.sampled_from([None, None, *NETWORK_IDS]))
    if label is not None:
        facts |= {"labels": {LABEL: label}, "options": {"network": label}}
    world.docker.add(DOCKER_IDS[number], name, **facts)
    for endpoint in draw(st.sets(st.sampled_from(ENDPOINTS), max_size=2)):
        prefix = draw(st.sampled_from(["c", "ep-"]))
        world.docker.put(DOCKER_IDS[number], f"{prefix}{endpoint[:8]}", endpoint, endpoint[0])


@given(worlds())
def test_after_looks_nothing_is_left_to_do_but_what_cannot_be_done(world: World) -> None:
    async def settle() -> None:
        for number in range(4):
            await world.look(is_first=number == 0)
        before, left = world.snapshot(), await world.left()
        await world.look()
        assert world.snapshot() == before
        assert await world.left() == left
        for action in left:
            event(type(action).__name__)
            assert isinstance(action, RestoreNetwork | TakeOut), action

    asyncio.run(settle())
