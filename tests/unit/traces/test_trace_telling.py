"""What programs have noted, in the words of records."""

from __future__ import annotations

import uuid

import pytest
from msgspec.structs import replace

from tests.unit.semantics.test_router_ways import R1, R2, place, port, route, store
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RuleAction
from weft.kernel.bpf.rehearsal import Judged, Routed
from weft.model.addresses import ip_address
from weft.model.choices import Action, Direction
from weft.model.ids import GroupId, NetworkId, RuleId
from weft.model.records import Network, Port, Record, SecurityGroup, SecurityRule
from weft.model.records.tenants import DEFAULT_TENANT
from weft.observers.traces.telling import decider, judged_stages, router_stages
from weft.store.memory import MemoryStore

WEB, EGRESS, INGRESS = port("w1", "web", "10.1.0.11"), Direction.EGRESS, Direction.INGRESS
OUT, IN = layouts.Direction.EGRESS, layouts.Direction.INGRESS
RULE = uuid.UUID("11111111-2222-4333-8444-555555555555")
GROUP = GroupId("22222222-2222-4333-8444-555555555555")


def vni(view: MemoryStore, id: str) -> int:
    network = view.get(Network, NetworkId(id))
    assert network is not None
    return network.vni


def passed(
    view: MemoryStore, routers: int, network: str, at: str, to: str
) -> list[tuple[str, str]]:
    routed = Routed(routers, vni(view, network) if network else 0, ip_address(at))
    ends = ip_address("10.1.0.11"), ip_address(to)
    return [(stage.decision, stage.kind) for stage in router_stages(view, routed, WEB, *ends)]


def test_a_connected_network_is_named() -> None:
    assert passed(store(), 1, "app", "10.2.0.21", "10.2.0.21") == [
        ("r1: 10.2.0.0/24 is network app, to which it is connected", "router")
    ]


def test_a_share_is_named_with_its_tenant() -> None:
    view = store(place(R1, "labs", "10.5.0.1"))
    labs = view.get(Network, NetworkId("labs"))
    assert labs is not None
    view = store(place(R1, "labs", "10.5.0.1"), replace(labs, shared_with=(DEFAULT_TENANT,)))
    ((decision, _),) = passed(view, 1, "labs", "10.5.0.51", "10.5.0.51")
    assert decision.startswith("r1: 10.5.0.0/24 is network ") and "shares with it" in decision


@pytest.mark.parametrize("hop", ["10.2.0.21", "10.2.0.22"])
def test_of_several_next_hops_the_one_taken_is_named(hop: str) -> None:
    view = store(route("10.7.0.0/16", "10.2.0.21", "10.2.0.22"))
    assert passed(view, 1, "app", hop, "10.7.1.1") == [
        (f"r1: route 10.7.0.0/16 via {hop}, one of 2", "router-route")
    ]


def test_each_router_on_the_way_has_its_line() -> None:
    view = store(route("10.3.0.0/24", "10.9.0.2"), route("10.1.0.0/16", "10.9.0.1", router=R2))
    assert passed(view, 2, "db", "10.3.0.31", "10.3.0.31") == [
        ("r1: route 10.3.0.0/24 via 10.9.0.2", "router-route"),
        ("r2: 10.3.0.0/24 is network db, to which it is connected", "router"),
    ]


def test_a_policy_route_says_from_where() -> None:
    view = store(route("10.7.0.0/16", "10.2.0.22", source="10.1.0.0/24"))
    ((decision, _),) = passed(view, 1, "app", "10.2.0.22", "10.7.1.1")
    assert decision == "r1: route 10.7.0.0/16 from 10.1.0.0/24 via 10.2.0.22"


def test_what_ends_a_way_is_said() -> None:
    dropping = store(route("10.7.0.0/16"), route("10.8.0.0/16", "10.2.0.99"))
    assert passed(dropping, 1, "", "::", "10.7.1.1")[0][0] == "r1: route 10.7.0.0/16 drops"
    lost = passed(dropping, 1, "", "::", "10.8.1.1")[0][0]
    assert lost == "r1: route 10.8.0.0/16: no next hop is there"
    assert passed(store(), 1, "", "::", "192.0.2.9")[0][0] == "r1: knows no way to 192.0.2.9"


def test_routers_that_no_record_knows_are_counted() -> None:
    assert passed(store(), 5, "app", "10.2.0.21", "10.2.0.21") == [
        ("5 routers decide, and no record here says which", "")
    ]


RECORDS: tuple[Record, ...] = (
    SecurityGroup(id=GROUP, name="db"),
    SecurityRule(id=RuleId(str(RULE)), group_id=GROUP, direction=INGRESS, action=Action.REJECT),
)


def judged(action: RuleAction, rules: dict[layouts.Direction, bytes]) -> Judged:
    return Judged(False, False, (OUT, IN), rules, action)


def stages(view: MemoryStore, found: Judged | None) -> list[tuple[str, str, str]]:
    return [
        (each.stage, each.decision, each.kind)
        for each in judged_stages(view, found, {EGRESS: WEB, INGRESS: WEB})
    ]


def test_whose_rule_decided_is_said_for_each_end() -> None:
    found = stages(store(*RECORDS), judged(RuleAction.RULE_REJECT, {IN: RULE.bytes}))
    assert found == [
        ("egress", "allowed: no rule is about it, and nothing denies egress", ""),
        (
            "ingress",
            "rejected: rule 11111111 of group db, tier normal: reject ingress from any",
            "security-rule",
        ),
    ]


def test_a_group_that_denies_is_said() -> None:
    found = stages(store(*RECORDS), judged(RuleAction.RULE_DROP, {IN: uuid.UUID(GROUP).bytes}))
    why = "dropped: group db denies ingress, and no rule allows it"
    assert found[1] == ("ingress", why, "security-group")


def test_a_rule_that_has_just_gone_has_its_id() -> None:
    found = stages(store(), judged(RuleAction.RULE_DROP, {IN: RULE.bytes}))
    assert found[1][1] == "dropped: rule 11111111, which is no record (any more)"


def test_what_needs_no_rule_is_said() -> None:
    assert stages(store(), None) == []
    exempt, known = (
        Judged(each, not each, (), {}, RuleAction.RULE_ALLOW) for each in (True, False)
    )
    assert stages(store(), exempt) == [("rules", "such packets are never judged", "")]
    assert "no rule is asked" in stages(store(), known)[0][1]


def test_who_dropped_it_is_whoever_was_asked_last() -> None:
    ports: dict[Direction, Port | None] = {EGRESS: WEB, INGRESS: None}
    dropped = judged(RuleAction.RULE_DROP, {})
    assert decider(store(), dropped, ports) is None, "a port that nobody knows"
    found = decider(store(), dropped._replace(asked=(OUT,)), ports)
    assert found is not None and (found.port, found.direction, found.rule) == (WEB, EGRESS, None)
    assert decider(store(), dropped._replace(action=RuleAction.RULE_ALLOW), ports) is None
    assert decider(store(), None, ports) is None
