"""Who is in which group is the same, however it is asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weft.model.choices import Operator
from weft.model.ids import GroupId, MacAddress, NetworkId, PortId, Vni
from weft.model.records import Network, Owner, Port, Requirement, SecurityGroup, Selector
from weft.model.records.tenants import DEFAULT_TENANT, tenant_id
from weft.semantics.members import groups_of, groups_of_each, members_of
from weft.store.memory import MemoryStore

TENANTS = (DEFAULT_TENANT, tenant_id("acme"))
NETWORKS = [
    Network(id=NetworkId(f"n{number}"), name=f"n{number}", vni=Vni(number + 1), tenant_id=tenant)
    for number, tenant in enumerate((*TENANTS, TENANTS[0]))
]
KEYS, VALUES = st.sampled_from("ab"), st.sampled_from("xyz")
REQUIREMENTS = st.builds(
    Requirement,
    key=KEYS,
    operator=st.sampled_from(list(Operator)),
    values=st.lists(VALUES, max_size=2).map(tuple),
)
SELECTORS = st.none() | st.lists(REQUIREMENTS, max_size=2).map(
    lambda found: Selector(requirements=tuple(found))
)


@st.composite
def groups(draw: st.DrawFn) -> list[SecurityGroup]:
    return [
        SecurityGroup(
            id=GroupId(f"g{number}"),
            name=f"g{number}",
            tenant_id=draw(st.sampled_from(TENANTS)),
            selector=draw(SELECTORS),
            networks=draw(st.sampled_from([(), (NETWORKS[0].id,), (NETWORKS[2].id,)])),
        )
        for number in range(draw(st.integers(0, 4)))
    ]


@st.composite
def ports(draw: st.DrawFn) -> list[Port]:
    return [
        Port(
            id=PortId(f"p{number}"),
            network_id=draw(st.sampled_from([*(each.id for each in NETWORKS), NetworkId("gone")])),
            mac=MacAddress("02:00:00:00:00:01"),
            labels=tuple(sorted(draw(st.dictionaries(KEYS, VALUES)).items())),
            groups=tuple(sorted(draw(st.sets(st.sampled_from(["g0", "g1", "gone"]).map(GroupId))))),
            owner=Owner(frontend="cli"),
        )
        for number in range(draw(st.integers(0, 4)))
    ]


@given(groups=groups(), ports=ports())
def test_every_way_of_asking_answers_the_same(
    groups: list[SecurityGroup], ports: list[Port]
) -> None:
    view = MemoryStore([*NETWORKS, *groups, *ports])
    asked = {port.id: set(view.ask(groups_of, port.id)) for port in ports}
    each = groups_of_each(view, ports)
    assert {id: {group.id for group in found} for id, found in each.items()} == asked
    for group in groups:
        members = {port.id for port in members_of(view, group)}
        assert members == {id for id, found in asked.items() if group.id in found}
