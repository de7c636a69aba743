"""Which network of Weft's Docker asks for, by what its request and the records say."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from weft.errors import ConflictError, InvalidError, NotFoundError
from weft.frontends.docker.bindings import DockerNetwork
from weft.frontends.docker.protocol import ADDRESS_SPACE, GENERIC, INTERNAL, CreateNetwork, Pool
from weft.frontends.docker.records import MADE_BY, MADE_FOR, DockerRecords, provisional_name
from weft.frontends.docker.requested import Joined, Made, decide
from weft.model.addresses import ip_network
from weft.model.ids import HostId, NetworkId, SubnetId, Vni
from weft.model.records import Network, Record, Subnet
from weft.store.memory import MemoryStore

HOST = HostId("1" * 16)
ID = "a" * 64
FOO = Network(id=NetworkId("1" * 32), name="foo", vni=Vni(5000))
SUBNET = Subnet(
    id=SubnetId("1" * 32), cidr=ip_network("10.1.0.0/24"), network_id=NetworkId("1" * 32)
)
POOL = Subnet(id=SubnetId("9" * 32), cidr=ip_network("10.9.0.0/24"))


def decided(
    *records: Record,
    options: Mapping[str, str] | None = None,
    pool: str = "10.1.0.0/24",
    space: str = "LocalDefault",
    is_internal: bool = False,
    chosen: Collection[SubnetId] = (),
) -> Joined | Made:
    request = CreateNetwork(
        network=ID,
        options={GENERIC: dict(options or {}), INTERNAL: is_internal},
        ipv4=[Pool(address_space=space, pool=pool)],
    )
    return decide(request, DockerRecords(MemoryStore(records), HOST, "h1"), chosen)


def test_a_new_network_gets_a_name_until_dockers_is_known() -> None:
    made = decided()
    assert isinstance(made, Made) and made.network is None
    assert made.spec.name == provisional_name(ID)
    assert made.spec.labels == ((MADE_BY, HOST), (MADE_FOR, ID))
    assert [str(subnet.cidr) for subnet in made.spec.subnets] == ["10.1.0.0/24"]


def test_a_network_that_is_named_is_joined() -> None:
    assert decided(FOO, SUBNET, options={"network": "foo"}) == Joined(FOO, is_name_awaited=False)


def test_a_network_with_the_same_subnets_is_meant_as_far_as_is_known() -> None:
    assert decided(FOO, SUBNET) == Joined(FOO, is_name_awaited=True)


def test_a_network_that_is_in_this_docker_already_is_not_meant_again() -> None:
    known = DockerNetwork(docker_id="b" * 64, network_id=FOO.id, host_id=HOST, name="foo")
    made = decided(FOO, SUBNET, known.record)
    assert isinstance(made, Made)
    assert made.hint == "; to join network foo, add -o network=foo"


def test_what_a_weftd_made_before_it_died_is_not_made_again() -> None:
    labels = ((MADE_BY, HOST), (MADE_FOR, ID))
    before = Network(id=FOO.id, name=provisional_name(ID), vni=Vni(5000), labels=labels)
    made = decided(before, pool="10.7.0.0/24")
    assert isinstance(made, Made) and made.network == before


def test_a_pool_that_weft_gave_becomes_the_networks() -> None:
    made = decided(POOL, pool="10.9.0.0/24", space=ADDRESS_SPACE)
    assert isinstance(made, Made) and made.adopt == [POOL.id]


def test_a_network_of_the_chosen_name_gets_a_pool_that_nobody_asked_for() -> None:
    made = decided(
        FOO,
        SUBNET,
        POOL,
        options={"name": "foo"},
        pool="10.9.0.0/24",
        space=ADDRESS_SPACE,
        chosen={POOL.id},
    )
    assert isinstance(made, Made) and made.merged_into == FOO


@pytest.mark.parametrize(
    ("options", "pool", "space", "is_internal", "error", "said"),
    [
        ({"network": "bar"}, "10.1.0.0/24", "", False, NotFoundError, "network bar: not found"),
        ({"network": "foo"}, "10.2.0.0/24", "", False, InvalidError, "is none of network foo's"),
        ({"network": "foo"}, "10.1.0.0/24", "", True, InvalidError, "--internal: network foo is"),
        ({"name": "foo"}, "10.2.0.0/24", "", False, ConflictError, "is in the cluster already"),
        (
            {"network": "foo", "judge-dns": "yes"},
            "10.1.0.0/24",
            "",
            False,
            ConflictError,
            "to change",
        ),
        (
            {"name": "foo", "admit-host": "yes"},
            "10.1.0.0/24",
            "",
            False,
            ConflictError,
            "admit-host=",
        ),
        ({}, "10.9.0.0/24", ADDRESS_SPACE, False, NotFoundError, "weft has not given it"),
        ({"exclude": "10.8.0.1"}, "10.7.0.0/24", "", False, InvalidError, "lies in no subnet"),
    ],
)
def test_a_request_that_cannot_be_met_says_why(
    options: dict[str, str],
    pool: str,
    space: str,
    is_internal: bool,
    error: type[Exception],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        decided(FOO, SUBNET, options=options, pool=pool, space=space, is_internal=is_internal)
