"""Records of policy to verdicts of programs, by the drivers that weftd uses."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from tests.bpf.enforced import (
    ARRAYS,
    NET,
    Enforced,
    as_address,
    empty,
    port_of,
    to_outside,
)
from tests.bpf.judged import ACK, SYN_ACK, segment
from tests.bpf.overlay import FAR
from tests.bpf.world import ANN, BOB, CYD, EVE, RED, Workload, World
from weft.engine.ebpf.policy.slots import slot_of
from weft.model.addresses import ip_network
from weft.model.choices import Action, Direction, Operator, PeerKind, Tier
from weft.model.ids import GroupId, RuleId, Vni
from weft.model.records import (
    Network,
    Peer,
    Port,
    Requirement,
    SecurityGroup,
    SecurityRule,
    Selector,
)
from weft.model.service_addresses import GATEWAY_MAC
from weft.semantics.policy import Packet, Remote
from weft.store.interface import Delete, Put

WEB, DB = (GroupId(f"00000000-0000-4000-8000-00000000020{at}") for at in range(2))
IN, OUT = Direction.INGRESS, Direction.EGRESS
ALLOW, DROP, PASS = Action.ALLOW, Action.DROP, Action.PASS


def emptied(world: World) -> Iterator[Enforced]:
    """With all ports, and no rules; arrays that are not looked through before a test are
    emptied."""
    made = Enforced(world)
    made.look()
    yield made
    empty(world)


@pytest.fixture
def enforced(world: World) -> Iterator[Enforced]:
    yield from emptied(world)


def group(id: GroupId, *denied: Direction, **facts: object) -> SecurityGroup:
    return SecurityGroup(id=id, name=f"g{id[-2:]}", denied=denied, **facts)  # type: ignore[arg-type]


def rule(
    number: int, action: Action = ALLOW, group: GroupId = WEB, **facts: object
) -> SecurityRule:
    facts = {"direction": IN, "protocol": 6, **facts}
    id = RuleId(f"00000000-0000-4000-8000-000000000{300 + number}")
    return SecurityRule(id=id, group_id=group, action=action, **facts)  # type: ignore[arg-type]


def of_group(id: GroupId) -> Peer:
    return Peer(kind=PeerKind.GROUP, group_id=id)


def labelled(key: str, *values: str) -> Selector:
    return Selector(requirements=(Requirement(key=key, operator=Operator.IN, values=values),))


def test_without_rules_all_ports_are_on_the_plain_path(enforced: Enforced) -> None:
    assert enforced.is_open(ANN, BOB)
    assert not enforced.world.plane.maps["flows4_v1"].read()
    enforced.put(group(WEB, IN), rule(1))
    assert enforced.is_open(ANN, BOB)
    assert not enforced.world.plane.maps["flows4_v1"].read()


@pytest.mark.parametrize("version", [4, 6])
def test_a_group_that_denies_and_a_rule_about_another(enforced: Enforced, version: int) -> None:
    http = rule(1, peer=of_group(DB), first_port=80, last_port=80)
    enforced.put(group(WEB, IN), group(DB), http)
    enforced.put(port_of(BOB, groups=(WEB,)))
    assert not enforced.is_open(ANN, BOB, v=version)
    assert enforced.is_open(BOB, ANN, v=version)
    enforced.put(port_of(ANN, groups=(DB,)), port_of(FAR, groups=(DB,)))
    assert enforced.is_open(ANN, BOB, v=version)
    assert enforced.is_open(FAR, BOB, v=version)
    assert not enforced.is_open(ANN, BOB, 81, v=version)
    assert not enforced.is_open(CYD, BOB, v=version)
    enforced.put(port_of(ANN))
    assert not enforced.is_open(ANN, BOB, v=version)
    enforced.change(Delete(SecurityRule, rule(1).id))
    assert not enforced.is_open(FAR, BOB, v=version)
    enforced.change(Delete(SecurityGroup, WEB))
    assert enforced.is_open(CYD, BOB, v=version)


def test_egress_to_prefixes_and_their_exceptions(enforced: Enforced) -> None:
    cidr = Peer(
        kind=PeerKind.CIDR,
        cidr=ip_network("198.51.100.0/24"),
        excepts=(ip_network("198.51.100.128/25"),),
    )
    enforced.put(group(WEB, OUT), rule(1, direction=OUT, peer=cidr), port_of(ANN, groups=(WEB,)))
    port = enforced.store.get(Port, port_of(ANN).id)
    assert port is not None
    for number, address in enumerate(("198.51.100.9", "198.51.100.200", "203.0.113.1")):
        ports = (20000 + number, 443)
        outcome = enforced.world.send(ANN, to_outside(ANN, GATEWAY_MAC, address, ports))
        says = enforced.says(port, OUT, Remote(as_address(address)), Packet(6, *ports))
        assert (outcome.target == "weft0") is says is (number == 0)


def test_all_of_one_family(enforced: Enforced) -> None:
    anybody = Peer(kind=PeerKind.CIDR, cidr=ip_network("::/0"))
    enforced.put(group(WEB, IN), rule(1, peer=anybody), port_of(BOB, groups=(WEB,)))
    assert enforced.is_open(ANN, BOB, v=6)
    assert not enforced.is_open(ANN, BOB, v=4)
    assert not enforced.world.plane.maps["prefixes_v1"].read()


def test_members_and_peers_by_label(enforced: Enforced) -> None:
    shop = Peer(kind=PeerKind.PORTS, selector=labelled("app", "shop"))
    enforced.put(group(WEB, IN, selector=labelled("tier", "web")), rule(1, peer=shop))
    assert enforced.is_open(ANN, BOB)
    enforced.put(port_of(BOB, labels=(("tier", "web"),)))
    assert not enforced.is_open(ANN, BOB)
    enforced.put(port_of(ANN, labels=(("app", "shop"),)), port_of(FAR, labels=(("app", "shop"),)))
    assert enforced.is_open(ANN, BOB)
    assert enforced.is_open(FAR, BOB)
    enforced.put(port_of(ANN, labels=(("app", "shoe"),)))
    assert not enforced.is_open(ANN, BOB)


def test_the_network_as_a_peer_and_as_who_denies(enforced: Enforced) -> None:
    net = Peer(kind=PeerKind.NETWORK, network_id=NET)
    enforced.put(Network(id=NET, name="net", vni=Vni(RED), denied=(IN,)))
    assert not enforced.is_open(ANN, BOB)
    enforced.put(group(WEB), rule(1, peer=net), port_of(BOB, groups=(WEB,)))
    assert enforced.is_open(ANN, BOB)
    assert enforced.is_open(FAR, BOB)
    assert not enforced.is_open(BOB, ANN)


def test_tiers_and_pass(enforced: Enforced) -> None:
    enforced.put(
        group(WEB),
        rule(1, PASS, tier=Tier.ADMIN, priority=1, first_port=80, last_port=80),
        rule(2, DROP, tier=Tier.ADMIN, priority=2),
        rule(3, DROP, tier=Tier.BASELINE),
        rule(4, ALLOW, tier=Tier.NORMAL, peer=of_group(WEB)),
        port_of(BOB, groups=(WEB,)),
    )
    assert not enforced.is_open(ANN, BOB, 80)
    enforced.put(port_of(ANN, groups=(WEB,)))
    assert enforced.is_open(ANN, BOB, 80)
    assert not enforced.is_open(ANN, BOB, 81)


def test_more_groups_than_a_row_holds(enforced: Enforced) -> None:
    ids = [GroupId(f"00000000-0000-4000-8000-0000000004{at:02}") for at in range(12)]
    enforced.put(*(group(id, IN) for id in ids), port_of(BOB, groups=tuple(ids)))
    enforced.put(
        *(rule(at, ALLOW, id, first_port=80 + at, last_port=80 + at) for at, id in enumerate(ids))
    )
    for at in range(12):
        assert enforced.is_open(ANN, BOB, 80 + at)
    enforced.change(Delete(SecurityRule, rule(11).id))
    assert not enforced.is_open(ANN, BOB, 91)
    assert enforced.is_open(ANN, BOB, 90)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("remote", [ANN, FAR], ids=["here", "there"])
def test_a_flow_ends_and_begins_with_what_its_other_end_is(
    enforced: Enforced, remote: Workload, version: int
) -> None:
    """Which is not judged itself, and so has no other number than that of its address."""
    shop = Peer(kind=PeerKind.PORTS, selector=labelled("app", "shop"))
    enforced.put(group(WEB, IN), rule(1, peer=shop), port_of(BOB, groups=(WEB,)))
    packet = segment(remote, BOB, version=version)
    for app, is_let in (("shop", True), ("shoe", False), ("shop", True)):
        enforced.put(port_of(remote, labels=(("app", app),)))
        for _ in range(2):
            assert enforced.is_sent(remote, BOB, packet) is is_let


def test_a_members_change_is_told_for_its_own_flows_alone(enforced: Enforced) -> None:
    """Where ten thousand members talk, one that comes has nothing of the others decided anew."""
    shop = Peer(kind=PeerKind.PORTS, selector=labelled("app", "shop"))
    enforced.put(group(WEB, IN), rule(1, peer=shop), port_of(BOB, groups=(WEB,)))
    generations = enforced.world.plane.maps["generations_v1"]
    before = generations.read()
    enforced.put(port_of(FAR, labels=(("app", "shop"),)))
    raised = {key for key, raw in generations.read().items() if before.get(key) != raw}
    addresses = (*port_of(FAR).addresses, as_address(FAR.link_local))
    assert raised == {struct.pack("<I", slot_of(each)) for each in addresses}


@pytest.mark.parametrize("keeps", [False, True])
def test_a_connection_ends_with_its_rule_unless_that_keeps_it(
    enforced: Enforced, keeps: bool
) -> None:
    enforced.put(group(WEB, IN), rule(1, keeps_flows=keeps), port_of(BOB, groups=(WEB,)))
    there, back = segment(ANN, BOB, ACK), segment(BOB, ANN, ACK, (80, 4000))
    assert enforced.is_sent(ANN, BOB, segment(ANN, BOB))
    assert enforced.is_sent(BOB, ANN, segment(BOB, ANN, SYN_ACK, (80, 4000)))
    for _ in range(3):
        assert enforced.is_sent(ANN, BOB, there) and enforced.is_sent(BOB, ANN, back)
    enforced.change(Delete(SecurityRule, rule(1).id))
    assert enforced.is_sent(ANN, BOB, there) is keeps
    assert enforced.is_sent(BOB, ANN, back) is keeps
    assert not enforced.is_open(ANN, BOB)


def test_a_second_look_changes_nothing_and_another_weftd_finds_all_as_it_is(
    enforced: Enforced,
) -> None:
    cidr = Peer(
        kind=PeerKind.CIDR, cidr=ip_network("10.0.0.0/8"), excepts=(ip_network("10.9.0.0/16"),)
    )
    enforced.put(group(WEB, IN), group(DB, OUT), rule(1, peer=of_group(DB)), rule(2, peer=cidr))
    enforced.put(port_of(BOB, groups=(WEB,)), port_of(ANN, groups=(DB,)), rule(3, group=DB))
    names = {*ARRAYS, "heads_v1", "symbols_v1", "prefixes_v1", "addresses_v1", "ports_v2"}
    before = {name: enforced.world.plane.maps[name].read() for name in names}
    assert enforced.look() == ({}, {})
    enforced.start()
    assert enforced.look() == ({}, {})
    assert {name: enforced.world.plane.maps[name].read() for name in names} == before
    enforced.put(rule(1, DROP, peer=of_group(DB), priority=1))
    assert not enforced.is_open(ANN, BOB)


@pytest.mark.parametrize(
    "name",
    (
        *("port_rules_v1", "current_v1", "subjects_v1", "heads_v1", "spans_v1"),
        *("identities_v1", "atom_sets_v1", "prefixes_v1", "rules_v1"),
    ),
)
def test_what_somebody_changes_in_a_map_is_mended(enforced: Enforced, name: str) -> None:
    cidr = Peer(kind=PeerKind.CIDR, cidr=ip_network("10.0.0.0/8"))
    enforced.put(group(WEB, IN), group(DB), rule(1, peer=of_group(DB)), rule(2, DROP, peer=cidr))
    enforced.put(port_of(BOB, groups=(WEB,)), port_of(ANN, groups=(DB,)))
    changed = enforced.world.plane.maps[name]
    there = changed.read()
    assert there
    for key, raw in there.items():
        assert not changed.update({key: bytes([raw[0] ^ 1, *raw[1:]])})
    enforced.look()
    assert enforced.look() == ({}, {})
    assert not enforced.is_open(ANN, BOB) and not enforced.is_open(CYD, BOB)
    enforced.change(Delete(SecurityRule, rule(2).id))
    assert enforced.is_open(ANN, BOB) and not enforced.is_open(EVE, BOB)


def test_a_weftd_that_dies_before_it_has_told_has_the_next_one_tell(enforced: Enforced) -> None:
    enforced.put(group(WEB, IN), rule(1), port_of(BOB, groups=(WEB,)))
    there = segment(ANN, BOB)
    assert enforced.is_sent(ANN, BOB, there)
    enforced.enforcement.finish = lambda: enforced.enforcement._heads.finish()  # type: ignore[method-assign]
    enforced.change(Delete(SecurityRule, rule(1).id))
    assert enforced.is_sent(ANN, BOB, there), "programs have not been told"
    enforced.start()
    enforced.look()
    assert not enforced.is_sent(ANN, BOB, there)


def test_no_more_rules_than_fit_and_the_old_ones_stay(
    enforced: Enforced, monkeypatch: pytest.MonkeyPatch
) -> None:
    enforced.put(group(WEB, IN), rule(1, first_port=80, last_port=80))
    enforced.put(port_of(BOB, groups=(WEB,)))
    monkeypatch.setattr(enforced.enforcement._heads._regions, "_room", 8)
    many = [rule(at, first_port=100 * at, last_port=100 * at) for at in range(2, 9)]
    failures = enforced.change(*(Put(each) for each in many))
    assert failures and "no room" in failures[0].reason and str(8) in failures[0].reason
    ports = (5000, 80), (5000, 200)
    assert enforced.is_sent(ANN, BOB, segment(ANN, BOB, ports=ports[0]))
    assert not enforced.is_sent(ANN, BOB, segment(ANN, BOB, ports=ports[1]))
