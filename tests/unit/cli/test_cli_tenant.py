"""``weft tenant``, and what every noun's commands have in common."""

from __future__ import annotations

import json

from tests.unit.cli.conftest import Weft
from tests.unit.cli.test_cli_commands import complete
from tests.unit.conftest import Weftd


def test_tenant_lives_from_create_to_rm(weftd: Weftd, weft: Weft) -> None:
    made = weft("tenant", "create", "acme", "--label", "team=a", "--networks", "2", "--ports", "9")
    assert (made.code, made.out) == (0, "tenant acme: made\n")
    assert weft("network", "create", "web", "--tenant", "acme").code == 0
    lines = weft("tenant", "ls").out.splitlines()
    assert lines[0].split() == ["TENANT", "NETWORKS", "PORTS", "ADDRESSES", "RULES"]
    assert lines[1].split() == ["acme", "1", "of", "2", "0", "of", "9", "0", "0"]
    assert lines[2].split() == ["default", "0", "0", "0", "0"]
    shown = weft("tenant", "inspect", "acme").out
    for part in ("tenant acme", "networks    1 of 2", "label team  a", "network     web"):
        assert part in shown
    in_use = weft("tenant", "rm", "acme")
    assert (in_use.code, "in use by network web" in in_use.err) == (1, True)
    assert weft("network", "rm", "acme/web").code == 0
    assert weft("tenant", "rm", "acme").out == "tenant acme: removed\n"


def test_set_changes_what_is_said_and_nothing_else(weftd: Weftd, weft: Weft) -> None:
    weft("tenant", "create", "acme", "--networks", "2", "--ports", "9", "--label", "a=1")
    assert weft("tenant", "set", "acme", "--ports", "none", "--name", "labs").code == 0
    told = json.loads(weft("tenant", "inspect", "labs", "--json").out)
    assert told["quota"] == {"networks": 2, "ports": None, "addresses": None, "rules": None}
    assert told["labels"] == {"a": "1"}
    changed = json.loads(weft("tenant", "set", "labs", "--label", "b=2", "--json").out)
    assert changed["labels"] == {"b": "2"}
    bounded = json.loads(weft("tenant", "set", "default", "--addresses", "5", "--json").out)
    assert bounded["quota"]["addresses"] == 5


def test_set_of_nothing_says_what_could_be_set(weftd: Weftd, weft: Weft) -> None:
    ran = weft("tenant", "set", "default")
    assert ran.code == 2
    assert "--networks" in ran.err
    ran = weft("network", "set", "foo")
    assert (ran.code, "--multicast" in ran.err, "--mtu" in ran.err) == (2, True, False)


def test_a_limit_is_a_number_or_none(weftd: Weftd, weft: Weft) -> None:
    for wrong in ("-1", "x", "1.5"):
        ran = weft("tenant", "set", "default", "--ports", wrong)
        assert (ran.code, ran.out) == (2, ""), ran


def test_labels_of_a_network_are_set_as_a_whole(weftd: Weftd, weft: Weft) -> None:
    weft("network", "create", "foo", "--label", "a=1", "--label", "b=2")
    weft("network", "set", "foo", "--label", "c=3")
    assert json.loads(weft("network", "inspect", "foo", "--json").out)["labels"] == {"c": "3"}


def test_names_of_tenants_are_completed(weftd: Weftd, weft: Weft) -> None:
    weft("tenant", "create", "acme")
    weft("network", "create", "web", "--tenant", "acme")
    assert complete("tenant", "inspect", "a") == ["acme"]
    assert complete("network", "inspect", "acme") == ["acme/web"]
    assert complete("network", "create", "db", "--tenant", "a") == ["acme"]
