"""``weft policy test``, and what ``weft why`` says of rules."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import FakeCounters, Weftd
from weft.model.records import Port


@pytest.fixture
def shop(weftd: Weftd, weft: Weft) -> Weft:
    for arguments in (
        "network create back --subnet 10.9.0.0/24 --subnet fd00:9::/64",
        "group create web",
        "group create db",
        "port add back --name web --group web",
        "port add back --name db --group db",
        "group rule add db allow ingress --tcp 5432 --from group:web",
        "group default deny --ingress --group db",
    ):
        ran = weft(*arguments.split())
        assert ran.code == 0, ran
    return weft


def test_what_is_allowed_is_said_with_the_rule(shop: Weft) -> None:
    ran = shop("policy", "test", "web", "db", "--tcp", "5432")
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert lines[0] == "web on back (10.9.0.2) -> db on back (10.9.0.3), tcp 5432: allowed"
    assert lines[1] == "  egress of web: allowed: no rule is about it, and nothing denies egress"
    assert lines[2].startswith("  ingress of db: allowed: rule ")
    assert lines[2].endswith("of group db, tier normal: allow ingress tcp 5432 from group:web")


def test_what_is_denied_is_an_exit_code(shop: Weft) -> None:
    ran = shop("policy", "test", "web", "db", "--ipv6")
    assert ran.code == 1
    assert "fd00:9::2) -> db on back (fd00:9::3), icmpv6 128/0: dropped" in ran.out
    assert "ingress of db: dropped: group db denies ingress, and no rule allows it" in ran.out
    ran = shop("policy", "test", "web", "10.9.0.99", "--tcp", "80")
    assert (ran.code, "nothing leads there\n  nobody has the address" in ran.out) == (1, True)


def test_json_has_the_rule_field_by_field(shop: Weft) -> None:
    told = json.loads(shop("policy", "test", "web", "db", "--tcp", "5432", "--json").out)
    assert told["verdict"] == "allowed"
    egress, ingress = told["judgements"]
    assert (egress["rule"], ingress["rule"]["first_port"]) == (None, 5432)
    assert (ingress["group"], ingress["verdict"]) == ("db", "allow")


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        ("web db --tcp 80 --udp 80", 2, "--tcp and --udp: a flow has one protocol"),
        ("web db --tcp x", 2, "'x' is not a valid integer"),
        ("web db --icmp x", 1, "icmp_type: expected int | null, got str"),
        ("web db --protocol tcp", 1, "say which port of the destination"),
        ("web db --protocol x", 1, "protocol 'x': say tcp, udp"),
        ("web db --source-port 9", 1, "protocol icmp: has no ports"),
        ("web nosuch", 1, "port nosuch: not found"),
    ],
)
def test_what_does_not_fit_is_said(shop: Weft, arguments: str, code: int, why: str) -> None:
    ran = shop("policy", "test", *arguments.split())
    assert (ran.code, ran.out) == (code, "")
    assert why in ran.err


def test_why_says_groups_defaults_and_what_to_ask(weftd: Weftd, shop: Weft) -> None:
    (port,) = (port for port in weftd.store.list(Port) if port.names == ("db",))
    out = shop("why", "db").out
    assert "it is in security group db" in out
    assert "what comes to it needs a rule that allows it, for group db denies ingress" in out
    assert "weft policy test" not in out
    shop("attach", "web", "back", "--name", "shop")
    (plugged,) = (each for each in weftd.store.list(Port) if each.names == ("shop",))
    assert plugged.ifname is not None and port.ifname is None
    weftd.engine.traffic = {plugged.ifname: FakeCounters(drops={"policy": 3})}
    out = shop("why", "shop").out
    assert "packets were dropped: 3 policy" in out
    assert "-> to see which rule denies a flow: weft policy test FROM web --tcp PORT" in out
