"""``weft router``, by commands and by files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Weft
from tests.unit.cli.test_cli_commands import complete
from tests.unit.conftest import Weftd

FILE = """
kind: network
name: web
subnets: [{cidr: 10.1.0.0/24}]
---
kind: network
name: db
tenant: acme
subnets: [{cidr: 10.2.0.0/24}]
shared_with: [default]
---
kind: router
name: r1
networks:
  - network: web
  - {network: acme/db, addresses: [10.2.0.254]}
routes:
  - {prefix: 10.9.0.0/16, via: [10.1.0.8, 10.1.0.9]}
  - {prefix: 0.0.0.0/0, via: [10.1.0.7], source: 10.2.0.0/25}
  - {prefix: 10.66.0.0/16}
"""


@pytest.fixture
def networks(weftd: Weftd, weft: Weft) -> Weft:
    for name, cidr in (("web", "10.1.0.0/24"), ("db", "10.2.0.0/24")):
        assert weft("network", "create", name, "--subnet", cidr).code == 0
    return weft


def done(weft: Weft, *arguments: str) -> str:
    ran = weft(*arguments)
    assert ran.code == 0, ran
    return ran.out


def test_router_lives_from_create_to_rm(networks: Weft) -> None:
    made = done(networks, "router", "create", "r1", "--network", "web", "--label", "team=a")
    assert made == "router r1: web\n"
    connected = done(networks, "router", "connect", "r1", "db", "--address", "10.2.0.254")
    assert connected in {f"router r1: connected to {both}\n" for both in ("db, web", "web, db")}
    added = done(
        networks, "router", "route", "add", "r1", "10.9.0.0/16", "via", "10.1.0.8,10.1.0.9"
    )
    assert added == "router r1: 10.9.0.0/16 via 10.1.0.8 (not there), 10.1.0.9 (not there)\n"
    done(networks, "port", "add", "web", "--ip", "10.1.0.8", "--name", "gw")
    dropped = done(networks, "router", "route", "add", "r1", "10.66.0.0/16", "drop")
    assert dropped == "router r1: 10.66.0.0/16 dropped\n"
    shown = done(networks, "router", "inspect", "r1")
    for part in ("router r1", "label team  a", "web  10.1.0.1", "db  10.2.0.254", "10.66.0.0/16"):
        assert part in shown
    assert done(networks, "router", "ls").split()[:4] == [
        "ROUTER",
        "NETWORKS",
        "ADDRESSES",
        "ROUTES",
    ]
    in_use = networks("network", "rm", "db")
    assert (in_use.code, "in use by router r1; weft router disconnect r1 db" in in_use.err) == (
        1,
        True,
    )
    done(networks, "router", "route", "rm", "r1", "10.66.0.0/16")
    assert done(networks, "router", "disconnect", "r1", "db").endswith("disconnected from db\n")
    told = json.loads(done(networks, "router", "inspect", "r1", "--json"))
    assert [one["network"] for one in told["networks"]] == ["web"]
    assert [one["prefix"] for one in told["routes"]] == ["10.9.0.0/16"]
    assert done(networks, "router", "rm", "r1") == "router r1: removed\n"


def test_a_route_says_via_or_drop(networks: Weft) -> None:
    done(networks, "router", "create", "r1", "--network", "web")
    for wrong in (["via"], ["drop", "10.1.0.8"], ["by", "10.1.0.8"], ["via", "10.1.0"]):
        ran = networks("router", "route", "add", "r1", "10.9.0.0/16", *wrong)
        assert (ran.code, ran.out) == (2, ""), ran


def test_a_network_is_shared_and_is_not_any_more(networks: Weft) -> None:
    done(networks, "tenant", "create", "acme")
    done(networks, "network", "set", "web", "--share-with", "acme")
    assert json.loads(done(networks, "network", "inspect", "web", "--json"))["shared_with"] == [
        "acme"
    ]
    done(networks, "router", "create", "r1", "--tenant", "acme", "--network", "default/web")
    refused = networks("network", "set", "web", "--share-with", "none")
    assert (refused.code, "in use by router acme/r1" in refused.err) == (1, True)
    done(networks, "router", "rm", "acme/r1")
    done(networks, "network", "set", "web", "--share-with", "none")
    assert json.loads(done(networks, "network", "inspect", "web", "--json"))["shared_with"] == []


def test_names_of_routers_are_completed(networks: Weft) -> None:
    done(networks, "router", "create", "edge", "--tenant", "acme")
    assert complete("router", "inspect", "ac") == ["acme/edge"]
    assert complete("router", "connect", "acme/edge", "w") == ["web"]


def test_a_file_makes_a_router_once_and_an_export_gives_it_back(
    weftd: Weftd, weft: Weft, tmp_path: Path
) -> None:
    file, again = tmp_path / "r.yaml", tmp_path / "again.yaml"
    file.write_text(FILE)
    dry = done(weft, "apply", "-f", str(file), "--dry-run")
    assert dry.endswith("3 would be made\n")
    assert done(weft, "apply", "-f", str(file), "--owner", "me").endswith("3 made\n")
    assert done(weft, "apply", "-f", str(file), "--owner", "me").endswith("nothing to change\n")
    before = done(weft, "export")
    again.write_text(before)
    assert done(weft, "apply", "-f", str(again)).endswith("nothing to change\n")
    file.write_text(FILE.replace("10.1.0.8, 10.1.0.9", "10.1.0.9, 10.1.0.8"))
    assert done(weft, "apply", "-f", str(file), "--owner", "me").endswith("nothing to change\n")
    file.write_text(FILE.replace("10.1.0.8, 10.1.0.9", "10.1.0.9"))
    assert done(weft, "apply", "-f", str(file), "--owner", "me").endswith("1 changed\n")
    file.write_text(FILE.partition("---\nkind: router")[0])
    done(weft, "apply", "-f", str(file), "--owner", "me", "--prune")
    assert "kind: router" not in done(weft, "export")
    again.write_text(before)
    done(weft, "apply", "-f", str(again))
    assert done(weft, "export") == before


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("via: [10.1.0.7]", "via: [10.5.0.7]", "10.5.0.7 is in no subnet"),
        ("shared_with: [default]", "shared_with: []", "not shared with default"),
        ("10.2.0.254", "10.3.0.254", "outside the subnets of network db"),
        ("prefix: 10.66.0.0/16", "prefix: 10.66.0.0/33", "r.yaml:"),
        ("cidr: 10.2.0.0/24", "cidr: 10.0.0.0/14", "cannot tell them apart"),
    ],
)
def test_a_file_with_a_fault_changes_nothing(
    weftd: Weftd, weft: Weft, tmp_path: Path, old: str, new: str, fault: str
) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(FILE.replace(old, new))
    ran = weft("apply", "-f", str(file))
    assert (ran.code, fault in ran.err) == (1, True), ran
    assert not done(weft, "export").strip()
