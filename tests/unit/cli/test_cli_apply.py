"""``weft apply`` and ``weft export``."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd

SHOP = """\
# A shop.
kind: tenant
name: shop
quota: {ports: 9}
---
kind: network
name: back
tenant: shop
subnets:
  - cidr: 10.9.0.0/24
labels:
  team: a
---
kind: name
name: db
network: shop/back
addresses: [10.9.0.9]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    return file


def test_apply_says_what_it_did_and_the_second_time_that_nothing_was_to_do(
    weftd: Weftd, weft: Weft, shop: Path
) -> None:
    dry = weft("apply", "-f", str(shop), "--dry-run")
    assert dry.out.splitlines()[0] == "+ tenant shop: would be made"
    assert dry.out.splitlines()[-1] == "3 would be made"
    assert weft("tenant", "inspect", "shop").code == 1
    done = weft("apply", "-f", str(shop))
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "+ tenant shop: made",
        "+ network shop/back: made",
        "+ name db on shop/back: made",
        "3 made",
    ]
    again = weft("apply", "-f", str(shop))
    assert again.out.splitlines()[-1] == "nothing to change"
    shop.write_text(SHOP.replace("team: a", "team: b"))
    changed = weft("apply", "-f", str(shop), "--dry-run").out.splitlines()
    assert '    labels: {"team":"a"} -> {"team":"b"}' in changed


def test_pruning_needs_an_owner_and_removes_what_is_named_no_more(
    weftd: Weftd, weft: Weft, shop: Path
) -> None:
    assert weft("apply", "-f", str(shop), "--prune").code == 2
    assert weft("apply", "-f", str(shop), "--owner", "shop").code == 0
    shop.write_text(SHOP.rpartition("---")[0])
    pruned = weft("apply", "-f", str(shop), "--owner", "shop", "--prune")
    assert "- name db on shop/back: removed" in pruned.out
    assert weft("export", "--owner", "shop").out.count("---") == 2


def test_export_is_applied_from_standard_input(
    weftd: Weftd, weft: Weft, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weft("apply", "-f", str(shop))
    for arguments in (("export",), ("export", "--json")):
        exported = weft(*arguments).out
        stdin = io.TextIOWrapper(io.BytesIO(exported.encode()))
        monkeypatch.setattr(sys, "stdin", stdin)
        applied = weft("apply", "-f", "-", "--json")
        assert applied.code == 0, applied
        changes = json.loads(applied.out)["changes"]
        assert [one["action"] for one in changes] == ["keep"] * 3


def test_a_list_of_documents_in_json_will_do(weftd: Weftd, weft: Weft, tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    file.write_text(json.dumps([{"kind": "network", "name": name} for name in "ab"], indent=2))
    assert weft("apply", "-f", str(file)).out.endswith("2 made\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("10.9.0.0/24", "10.9.0.0/33", "shop.yaml:10: subnets[0].cidr: '10.9.0.0/33'"),
        ("kind: name", "kind: nmae", "shop.yaml:14: kind: 'nmae' is no kind of object"),
        ("labels:", "lables:", "shop.yaml:6: unknown field 'lables'; did you mean 'labels'?"),
        ("ports: 9", "ports: x", "shop.yaml:4: quota.ports: expected int | null, got str"),
        ("shop/back", "shop/bakc", "shop.yaml:14: network shop/bakc: not found"),
        ("team: a", "team: 5", "shop.yaml:12: labels[...]: expected str, got int"),
        (
            "team: a",
            "team: a\n  team: b",
            "shop.yaml:13: field 'team': is there already, in line 12",
        ),
        ("[10.9.0.9]", "[10.9.0.9", "shop.yaml:18: "),
    ],
)
def test_a_fault_names_file_line_and_field(
    weftd: Weftd, weft: Weft, shop: Path, old: str, new: str, message: str
) -> None:
    shop.write_text(SHOP.replace(old, new))
    ran = weft("apply", "-f", str(shop))
    assert (ran.code, ran.out) == (1, "")
    assert message in ran.err
    assert weft("export").out == ""


def test_all_faults_are_told_each_in_its_line(weftd: Weftd, weft: Weft, shop: Path) -> None:
    shop.write_text(SHOP.replace("10.9.0.0/24", "x").replace("[10.9.0.9]", "[y]"))
    lines = weft("apply", "-f", str(shop)).err.splitlines()
    assert [line.split(": ")[-2] for line in lines] == ["subnets[0].cidr", "addresses[0]"]


def test_files_that_are_not_there_or_too_large_are_refused(weft: Weft, tmp_path: Path) -> None:
    assert "No such file" in weft("apply", "-f", str(tmp_path / "none")).err
    assert "Is a directory" in weft("apply", "-f", str(tmp_path)).err
    large = tmp_path / "large.yaml"
    large.write_bytes(b"# " + b"x" * (10 << 20))
    assert "more than 4 MiB" in weft("apply", "-f", str(large)).err
    assert weft("apply").code == 2


def test_the_schema_takes_what_weft_takes_and_nothing_else(weft: Weft) -> None:
    from weft.cli.yaml_text import parse

    schema = json.loads(weft("apply", "--schema").out)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for value in parse(SHOP.encode(), "shop"):
        validator.validate(value.plain())
    for wrong in (
        {"kind": "network"},
        {"kind": "switch", "name": "x"},
        {"kind": "network", "name": "a/b"},
        {"kind": "network", "name": "a", "mtu_bytes": 5},
        {"kind": "tenant", "name": "a.b"},
        {"kind": "tenant", "name": "a", "quota": {"ports": -1}},
        {"kind": "name", "name": "-a", "network": "x"},
        {"kind": "name", "name": "a", "network": "x", "colour": "red"},
    ):
        assert not validator.is_valid(wrong), wrong
