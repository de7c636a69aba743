"""The commands of docs/policies.md do what they are there for."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd
from weft.control.rule_text import parse_rule, parse_selector

PAGE = (Path(__file__).parents[3] / "docs/policies.md").read_text()

DENIED = ("weft policy test 203.0.113.9 app1 --icmp 8", "weft policy test app1 front --tcp 22")


def typed() -> list[str]:
    return "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).splitlines()


def test_the_pages_commands_work_in_order(weftd: Weftd, weft: Weft) -> None:
    ran = {}
    for line in typed():
        ran[line] = weft(*shlex.split(line)[1:])
        assert ran[line].code == (line in DENIED), (line, ran[line])
    assert len(ran) > 20
    assert "allow ingress tcp 8080 from group:lb" in ran["weft group rule ls shop/app"].out
    shown = ran["weft group inspect shop/db"].out
    assert "rule     allow ingress tcp 5432 from group:app" in shown
    assert "member   store on back" in shown
    assert "app1" in ran["weft port ls --group shop/app"].out
    (shown,) = re.findall(r"^    (app1 on shop/back.*\n(?:      .*\n)+)", PAGE, re.MULTILINE)
    assert ran[DENIED[1]].out == shown.replace("\n    ", "\n")
    assert "rule" in ran["weft policy test front app1 --tcp 8080"].out
    assert "it is in security group shop/app" in ran["weft why app1.back"].out
    answer = json.loads(weft("group", "inspect", "shop/db", "--json").out)
    assert answer["denied"] == ["ingress"]


def test_the_words_that_the_page_lists_are_understood() -> None:
    rows = re.findall(r"^\| `([^|]*)` \| ", PAGE.replace("\\|", "/"), re.MULTILINE)
    selectors = [row for row in rows if "=" in row and " " not in row]
    assert len(selectors) > 2
    for selector in selectors:
        parse_selector(selector.replace("/", "|"))
    words = [each for row in rows for each in row.split("`, `")]
    rules = [
        word
        for word in words
        if re.match(
            r"(tcp|udp|sctp|icmp|icmpv6|gre|esp|ah|89|from|tier|priority|st|keep|log)\b", word
        )
    ]
    assert len(rules) > 12
    for rule in rules:
        parse_rule(f"allow ingress {rule}")
