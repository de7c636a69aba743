"""Security groups as documents: they may name each other, and their rules have one form."""

from __future__ import annotations

import pytest

from tests.unit.api.test_apply import actions, apply, export, other, records
from tests.unit.conftest import Weftd
from weft.api.schema import GroupDetail
from weft.errors import InUseError, WeftError
from weft.model.records import SecurityGroup, SecurityRule

__all__ = ["other"]
BACK = {
    "kind": "network",
    "name": "back",
    "tenant": "shop",
    "subnets": [{"cidr": "10.9.0.0/24"}],
    "denied": ["ingress"],
    "is_strict": True,
    "is_tracked": True,
}
WEB = {
    "kind": "group",
    "name": "web",
    "tenant": "shop",
    "description": "what serves",
    "labels": {"a": "b"},
    "selector": "app=web,zone!=test|dev",
    "networks": ["back"],
    "denied": ["egress", "ingress"],
    "rules": [
        "allow ingress tcp 80 from group:lb",
        "allow   egress   to network:shop/back",
        {"action": "drop", "direction": "egress", "peer": "10.0.0.0/8", "priority": 7},
    ],
}
LB = {
    "kind": "group",
    "name": "lb",
    "tenant": "shop",
    "rules": ["allow egress to group:web", "allow ingress from group:shop/lb"],
}
DOCUMENTS: list[object] = [LB, WEB, BACK]


def test_groups_that_name_each_other_are_made_together(weftd: Weftd) -> None:
    assert actions(apply(weftd, DOCUMENTS)) == {
        "network shop/back": "create",
        "group shop/lb": "create",
        "group shop/web": "create",
    }
    web = weftd.client.get(GroupDetail, "groups", "shop/web")
    assert [rule.text for rule in web.rules] == [
        "allow ingress tcp 80 from group:lb",
        "drop egress to 10.0.0.0/8 priority 7",
        "allow egress to network:back",
    ]
    assert (web.selector, web.networks, web.denied) == (
        "app=web,zone!=test|dev",
        ("back",),
        ("ingress", "egress"),
    )


def test_a_second_time_changes_nothing_in_whichever_order_and_form(weftd: Weftd) -> None:
    apply(weftd, DOCUMENTS)
    before = records(weftd)
    turned = {**WEB, "rules": list(reversed(WEB["rules"]))}  # type: ignore[call-overload]
    for documents in (DOCUMENTS, [turned, BACK, LB]):
        assert set(actions(apply(weftd, documents)).values()) == {"keep"}
    assert records(weftd) == before


def test_rules_that_stay_keep_their_ids(weftd: Weftd) -> None:
    apply(weftd, DOCUMENTS)
    before = {rule.id for rule in weftd.store.list(SecurityRule)}
    fewer = {**WEB, "rules": ["allow ingress tcp 80 from group:lb", "allow ingress udp 53"]}
    (change,) = apply(weftd, [fewer]).changes
    ((field, old, new),) = [(each.field, each.old, each.new) for each in change.fields]
    assert (field, len(old), new[1]) == ("rules", 3, "allow ingress udp 53 from any")  # type: ignore[arg-type, index]
    after = {rule.id for rule in weftd.store.list(SecurityRule)}
    assert len(after) == 4
    assert len(before & after) == 3


def test_an_export_makes_the_same_in_an_empty_cluster(weftd: Weftd, other: Weftd) -> None:
    tenant = {"kind": "tenant", "name": "shop", "denied": ["egress"]}
    apply(weftd, [*DOCUMENTS, tenant], owner="me")
    documents = export(weftd)
    kinds = [one["kind"] for one in documents]
    assert kinds == ["tenant", "network", "group", "group"]
    assert documents[3] == {
        "kind": "group",
        "name": "web",
        "tenant": "shop",
        "description": "what serves",
        "labels": {"a": "b", "weft.apply": "me"},
        "selector": "app=web,zone!=test|dev",
        "networks": ["back"],
        "denied": ["ingress", "egress"],
        "rules": [
            "allow ingress tcp 80 from group:lb",
            "drop egress to 10.0.0.0/8 priority 7",
            "allow egress to network:back",
        ],
    }
    apply(other, list(documents))
    assert export(other) == documents
    assert set(actions(apply(other, [*DOCUMENTS, tenant])).values()) == {"keep"}


def test_groups_that_name_each_other_are_pruned_together(weftd: Weftd) -> None:
    apply(weftd, DOCUMENTS, owner="me")
    answer = apply(weftd, [], owner="me", is_pruned=True)
    assert set(actions(answer).values()) == {"remove"}
    assert not tuple(weftd.store.list(SecurityGroup))
    assert not tuple(weftd.store.list(SecurityRule))


def test_pruning_what_a_group_of_others_names_is_refused(weftd: Weftd) -> None:
    apply(weftd, DOCUMENTS, owner="me")
    theirs = {"kind": "group", "name": "db", "tenant": "shop", "rules": ["drop egress to group:lb"]}
    apply(weftd, [theirs])
    before = records(weftd)
    with pytest.raises(InUseError, match="group shop/lb: in use by a rule of group shop/db"):
        apply(weftd, [BACK], owner="me", is_pruned=True)
    assert records(weftd) == before


FAULTS: list[tuple[dict[str, object], str]] = [
    ({"rules": ["alow ingress"]}, ".rules[0]: rule 'alow ingress': begin with an action"),
    ({"rules": ["allow ingress", 7]}, ".rules[1]: expected str | object, got int"),
    ({"rules": [{"action": "allow"}]}, ".rules[0]: field 'direction' is missing"),
    (
        {"rules": [{"action": "allow", "direction": "ingress", "port": 1}]},
        ".rules[0]: unknown field 'port'",
    ),
    (
        {"rules": [{"action": "allow", "direction": "ingress", "first_port": 1}]},
        ".rules[0]: rule 'allow ingress 1 from any': only tcp, udp and sctp have ports",
    ),
    ({"rules": ["allow ingress"] * 2}, ".rules[1]: rule 'allow ingress from any': is there twice"),
    (
        {"rules": ["allow ingress", "drop ingress"]},
        ".rules[1]: rule 'drop ingress from any': contradicts 'allow ingress from any'",
    ),
    ({"rules": ["allow ingress from group:x"]}, ".rules[0]: group x: not found"),
    ({"rules": ["allow ingress from network:b/x"]}, ".rules[0]: network b/x: not found"),
    ({"selector": "a b"}, ".selector: selector 'a b': say %20 for ' '"),
    ({"networks": ["nosuch"]}, ".networks: network nosuch: not found"),
    ({"denied": ["inbound"]}, ".denied[0]: invalid enum value 'inbound'"),
    ({"name": "a b"}, ": group name 'a b': use 1 to 63 letters"),
]


@pytest.mark.parametrize(("said", "message"), FAULTS, ids=[text for _, text in FAULTS])
def test_a_fault_names_document_and_field_and_nothing_is_done(
    weftd: Weftd, said: dict[str, object], message: str
) -> None:
    before = records(weftd)
    with pytest.raises(WeftError) as caught:
        apply(weftd, [BACK, {"kind": "group", "name": "web", **said}])
    assert str(caught.value).startswith(f"documents[1]{message}")
    assert records(weftd) == before


def test_rules_of_one_document_are_all_looked_at(weftd: Weftd) -> None:
    rules = ["allow", "allow ingress", "drop egress tcp x", "drop egress"]
    with pytest.raises(WeftError) as caught:
        apply(weftd, [{"kind": "group", "name": "web", "rules": rules}])
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "documents[0].rules[0]",
        "documents[0].rules[2]",
    ]
