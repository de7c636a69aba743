"""Whose an address is, to rules, that no port has for its own."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.semantics.test_security_groups import FAR, HTTP, NET, group, port
from weft.control.answers.policy_test import try_flow
from weft.model.addresses import ip_address, ip_network
from weft.model.choices import Action, Direction, PeerKind
from weft.model.ids import GroupId, RuleId, SubnetId, Vni
from weft.model.records import (
    AllowedAddress,
    Network,
    Peer,
    Port,
    Record,
    SecurityRule,
    Subnet,
)
from weft.semantics.policy import Remote, judge
from weft.semantics.unowned import remote_at, users_of
from weft.store.memory import MemoryStore

VIP = "10.0.0.251"
CLUB, WEB = GroupId("club"), GroupId("web")
SERVER = port("server", WEB)


def sharing(id: str, *cidrs: str, **facts: object) -> Port:
    allowed = tuple(AllowedAddress(cidr=ip_network(cidr)) for cidr in cidrs)
    return replace(port(id, CLUB), allowed=allowed, **facts)


ONE, TWO = sharing("one", VIP + "/32"), sharing("two", "10.0.0.248/29", "203.0.113.0/24", groups=())
RECORDS: tuple[Record, ...] = (
    Network(id=NET, name="net", vni=Vni(1), denied=(Direction.INGRESS,)),
    Network(id=FAR, name="far", vni=Vni(2)),
    Subnet(
        id=SubnetId("s"),
        network_id=NET,
        cidr=ip_network("10.0.0.0/24"),
        gateway=ip_address("10.0.0.1"),
    ),
    SERVER,
    ONE,
    TWO,
    port("stranger"),
    group(WEB),
    group(CLUB),
)


def world(*records: Record) -> MemoryStore:
    return MemoryStore({(type(r), r.id): r for r in (*RECORDS, *records)}.values())


def at(address: str, view: MemoryStore | None = None) -> Remote:
    return remote_at(view or world(), NET, ip_address(address))


@pytest.mark.parametrize(
    ("address", "users"),
    [(VIP, [ONE, TWO]), ("10.0.0.250", [TWO]), ("203.0.113.9", [TWO]), ("10.0.0.9", [])],
)
def test_it_is_of_all_who_may_use_it(address: str, users: list[Port]) -> None:
    assert list(at(address).users) == users
    assert at(address).port is None
    assert at(address).network_id == NET


def test_a_prefix_is_of_those_who_may_use_all_of_it() -> None:
    assert users_of(world(), NET, ip_network("10.0.0.248/30")) == (TWO,)
    assert users_of(world(), NET, ip_network("10.0.0.240/28")) == ()
    assert users_of(world(), FAR, ip_network(VIP)) == ()


def test_an_address_that_a_port_has_is_that_ports_alone() -> None:
    owner = replace(port("owner"), addresses=(ip_address(VIP),))
    assert at(VIP, world(owner)) == Remote(ip_address(VIP), NET, owner)


def test_a_gateways_is_nobodys() -> None:
    everywhere = sharing("everywhere", "0.0.0.0/0")
    assert at("10.0.0.1", world(everywhere)) == Remote(ip_address("10.0.0.1"), NET)


def test_what_is_in_no_subnet_and_nobody_may_use_is_outside() -> None:
    assert at("198.51.100.7") == Remote(ip_address("198.51.100.7"))


def ruled(peer: Peer, address: str, *records: Record) -> Action:
    rule = SecurityRule(
        id=RuleId("r"),
        group_id=WEB,
        action=Action.ALLOW,
        direction=Direction.INGRESS,
        protocol=6,
        peer=peer,
    )
    view = world(rule, *records)
    return judge(view, SERVER, Direction.INGRESS, at(address, view), HTTP).action


def test_rules_mean_whoever_may_use_it() -> None:
    of_club = Peer(kind=PeerKind.GROUP, group_id=CLUB)
    assert ruled(of_club, VIP) is Action.ALLOW, "one of the two is a member"
    assert ruled(of_club, "10.0.0.250") is Action.DROP
    on_net = Peer(kind=PeerKind.NETWORK, network_id=NET)
    assert ruled(on_net, "203.0.113.9") is Action.ALLOW
    assert ruled(on_net, "10.0.0.77") is Action.ALLOW
    assert ruled(on_net, "198.51.100.7") is Action.DROP


def test_policy_test_says_the_same() -> None:
    rule = SecurityRule(
        id=RuleId("r"),
        group_id=WEB,
        action=Action.ALLOW,
        direction=Direction.INGRESS,
        peer=Peer(kind=PeerKind.GROUP, group_id=CLUB),
    )
    view = world(rule)
    for source, verdict in ((VIP, "allowed"), ("10.0.0.250", "dropped")):
        assert try_flow(view, source, SERVER.id, lambda _: HTTP).verdict == verdict
