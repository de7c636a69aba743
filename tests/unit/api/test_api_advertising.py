"""Which subnets are told of by router advertisements: asked, shown, changed, applied, exported."""

from __future__ import annotations

import json

import pytest

from tests.unit.api.test_apply import actions, apply, export, other
from tests.unit.cli.conftest import Weft, weft
from tests.unit.conftest import Weftd
from weft.api.schema import NetworkDetail
from weft.errors import InvalidError, WeftError
from weft.model.choices import Advertising
from weft.model.records import Subnet

__all__ = ["other", "weft"]
ONE, TWO = "fd00:1::/64", "fd00:2::/64"
FOO = {
    "kind": "network",
    "name": "foo",
    "subnets": [{"cidr": "10.9.0.0/24"}, {"cidr": ONE}, {"cidr": TWO}],
    "router_advertisements": {TWO: "off"},
}


def words(weftd: Weftd) -> dict[str, str]:
    return {
        str(each.cidr): each.router_advertisements.value
        for each in weftd.store.list(Subnet)
        if each.cidr.version == 6
    }


def test_they_are_made_shown_and_changed_by_commands(weftd: Weftd, weft: Weft) -> None:
    subnets = ("--subnet", "10.9.0.0/24", "--subnet", ONE, "--subnet", TWO)
    made = weft("network", "create", "foo", *subnets, "--router-advertisements", f"{ONE}=all")
    assert made.code == 0, made
    assert words(weftd) == {ONE: "all", TWO: "attached"}
    shown = weft("network", "inspect", "foo").out
    assert "router advertisements to all ports" in shown
    assert shown.count("router advertisements") == 2
    changed = weft(
        "network", "set", "foo", "--router-advertisements", f"{TWO}=off", "--label", "a=b"
    )
    assert changed.code == 0, changed
    assert f"router advertisements of {TWO} to none" in changed.out
    assert words(weftd) == {ONE: "attached", TWO: "off"}
    detail = weftd.client.get(NetworkDetail, "networks", "foo")
    assert detail.labels == {"a": "b"}
    assert [each.router_advertisements for each in detail.subnets if each.cidr == TWO] == [
        Advertising.OFF
    ]
    assert weft("network", "set", "foo", "--multicast", "flood").code == 0
    assert words(weftd) == {ONE: "attached", TWO: "off"}


@pytest.mark.parametrize("said", [ONE, f"{ONE}=", f"{ONE}=some", "all", "fd00::1/64=all", "=all"])
def test_what_is_not_understood_is_a_usage_error(weftd: Weftd, weft: Weft, said: str) -> None:
    ran = weft("network", "create", "foo", "--subnet", ONE, "--router-advertisements", said)
    assert ran.code == 2, ran


@pytest.mark.parametrize("prefix", ["10.9.0.0/24", "fd00:3::/64", "fd00:1::/63", "what"])
def test_what_is_no_ipv6_subnet_of_it_is_refused_whole(
    weftd: Weftd, weft: Weft, prefix: str
) -> None:
    with pytest.raises(WeftError, match="router advertisements"):
        apply(weftd, [{**FOO, "router_advertisements": {prefix: "all"}}])
    assert not list(weftd.store.list(Subnet))
    apply(weftd, [FOO])
    ran = weft("network", "set", "foo", "--router-advertisements", f"{prefix}=all")
    assert ran.code != 0
    assert words(weftd) == {ONE: "attached", TWO: "off"}


def test_documents_say_it_twice_and_it_comes_back(weftd: Weftd, other: Weftd) -> None:
    apply(weftd, [FOO])
    assert words(weftd) == {ONE: "attached", TWO: "off"}
    assert set(actions(apply(weftd, [FOO])).values()) == {"keep"}
    loose = {**FOO, "router_advertisements": {"fd00:2:0::/64": "off", ONE: "attached"}}
    assert set(actions(apply(weftd, [loose])).values()) == {"keep"}
    documents = export(weftd)
    (network,) = (each for each in documents if each["kind"] == "network")
    assert network["router_advertisements"] == {TWO: "off"}
    apply(other, list(documents))
    assert words(other) == words(weftd)
    changed = {**FOO, "router_advertisements": {ONE: "all"}}
    assert actions(apply(weftd, [changed]))["network foo"] == "change"
    assert words(weftd) == {ONE: "all", TWO: "attached"}


def test_a_word_that_nobody_knows_is_refused(weftd: Weftd) -> None:
    with pytest.raises(InvalidError, match="router_advertisements"):
        apply(weftd, [{**FOO, "router_advertisements": {ONE: "some"}}])


def test_the_schema_knows_the_words(weft: Weft) -> None:
    schema = json.loads(weft("apply", "--schema").out)
    assert "router_advertisements" in json.dumps(schema)
