"""``weft group``: security groups, their rules and members, and defaults."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.conftest import Weft
from tests.unit.cli.test_cli_commands import complete
from tests.unit.conftest import Weftd


def rules(weft: Weft, group: str) -> list[str]:
    answer = json.loads(weft("group", "rule", "ls", group, "--json").out)
    return [rule["text"] for rule in answer["rules"]]


def test_a_group_lives_from_create_to_rm(weftd: Weftd, weft: Weft) -> None:
    assert weft("network", "create", "acme/back").code == 0
    made = weft(
        "group", "create", "acme/web", "--select", "app=web", "--network", "back", "--label", "a=b"
    )
    assert (made.code, made.out) == (0, "group acme/web: made\n")
    assert weft("port", "add", "acme/back", "--name", "box", "--label", "app=web").code == 0
    weft("group", "rule", "add", "acme/web", "allow", "ingress", "--tcp", "80", "--log", "5/s")
    lines = weft("group", "ls").out.splitlines()
    assert lines[0].split() == ["GROUP", "MEMBERS", "RULES", "SELECTS", "DENIED"]
    assert lines[1].split() == ["acme/web", "1", "1", "app=web", "on", "back", "-"]
    shown = weft("group", "inspect", "acme/web").out
    for part in (
        "group acme/web",
        "label a  b",
        "rule     allow ingress tcp 80 from any log 5/s",
        "member   box on back",
    ):
        assert part in shown, shown
    weft("group", "set", "acme/web", "--network", "none", "--name", "front")
    told = json.loads(weft("group", "inspect", "acme/front", "--json").out)
    assert (told["networks"], told["selector"]) == ([], "app=web")
    weft("group", "set", "acme/front", "--select", "none", "--description", "what serves")
    told = json.loads(weft("group", "inspect", "acme/front", "--json").out)
    assert (told["selector"], told["members"], told["description"]) == (None, [], "what serves")
    assert weft("group", "rm", "acme/front").out == "group acme/front: removed\n"
    assert weft("group", "ls", "acme").out.splitlines()[1:] == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("allow ingress", "allow ingress from any"),
        ("allow ingress --tcp 80-90 --from group:lb", "allow ingress tcp 80-90 from group:lb"),
        ("drop egress --udp --to network:back", "drop egress udp to network:back"),
        ("drop egress --icmp 8/0 --ipv4", "drop egress ipv4 icmp 8/0 to any"),
        ("reject ingress --icmpv6 --tier admin", "reject ingress icmpv6 from any tier admin"),
        ("pass ingress --protocol gre", "pass ingress gre from any"),
        ("pass ingress --protocol 200 --priority 5", "pass ingress 200 from any priority 5"),
        (
            "allow egress --to 10.0.0.0/8 --except 10.2.0.0/16 --except 10.1.0.0/16",
            "allow egress to 10.0.0.0/8 except 10.1.0.0/16,10.2.0.0/16",
        ),
        (
            "allow ingress --from label:app=web,!old --stateless --keep --log 3/s --description x",
            "allow ingress from label:app=web,!old stateless keep log 3/s (x)",
        ),
        ("allow ingress tcp 443 from group:lb", "allow ingress tcp 443 from group:lb"),
    ],
)
def test_a_rule_by_options_or_as_text(weftd: Weftd, weft: Weft, arguments: str, text: str) -> None:
    weft("network", "create", "back")
    for group in ("web", "lb"):
        weft("group", "create", group)
    ran = weft("group", "rule", "add", "web", *arguments.split())
    assert ran.code == 0, ran
    assert ran.out.endswith(f" of group web: {text}\n")
    assert rules(weft, "web") == [text]
    assert weft("group", "rule", "add", "web", text).code == 0
    assert rules(weft, "web") == [text]
    assert weft("group", "rule", "rm", "web", text).code == 0
    assert rules(weft, "web") == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("allow", "say an action"),
        ("ingress allow", "say an action"),
        ("allow ingress --tcp 80 --udp 80", "--tcp and --udp: a rule is about one protocol"),
        ("allow ingress --to any", "--to: an ingress rule says --from"),
        ("allow egress --from any", "--from: an egress rule says --to"),
        ("allow ingress --tcp x", "word 'x' is not understood"),
        ("allow ingress --except 10.0.0.0/8", "--except needs --from PREFIX"),
        ("allow ingress --from 10.0.0.0/33", "is no prefix"),
        ("allow ingress tcp --udp", "not both"),
        ("allow ingress --log x", "how many flows"),
        ("allow ingress --tier first", "'first' is not one of"),
    ],
)
def test_a_rule_that_is_none_is_a_usage_error(
    weftd: Weftd, weft: Weft, arguments: str, why: str
) -> None:
    weft("group", "create", "web")
    ran = weft("group", "rule", "add", "web", *arguments.split())
    assert ran.code in (1, 2), ran
    assert why in ran.err
    assert rules(weft, "web") == []


def test_rules_are_changed_and_removed(weftd: Weftd, weft: Weft) -> None:
    weft("group", "create", "web")
    made = json.loads(weft("group", "rule", "add", "web", "allow ingress tcp 80", "--json").out)
    ran = weft("group", "rule", "set", "web", made["id"][:8], "drop", "ingress", "--tcp", "80")
    assert ran.out == f"rule {made['id'][:8]} of group web: drop ingress tcp 80 from any\n"
    shown = weft("group", "rule", "ls", "web").out.splitlines()
    assert shown[0].split() == ["ID", "RULE"]
    assert shown[1].split() == [made["id"][:8], "drop", "ingress", "tcp", "80", "from", "any"]
    ran = weft("group", "rule", "rm", "web", "beef", made["id"])
    assert (ran.code, "rule beef: group web has none" in ran.err) == (1, True)
    assert rules(weft, "web") == []


def test_defaults(weftd: Weftd, weft: Weft) -> None:
    weft("network", "create", "acme/back")
    weft("group", "create", "acme/web")

    def default(*arguments: str) -> str:
        ran = weft("group", "default", *arguments)
        assert ran.code == 0, ran
        return ran.out

    assert default("deny", "--ingress", "--tenant", "acme") == (
        "tenant acme: ingress needs a rule that allows it\n"
    )
    assert default("deny", "--egress", "--network", "acme/back") == (
        "network back: ingress and egress need a rule that allows it, "
        "but for queries to Weft's DNS\n"
    )
    assert default("allow", "--network", "acme/back") == (
        "network back: all goes on that no rule stops\n"
    )
    assert "ingress" in weft("tenant", "inspect", "acme").out
    assert default("inherit", "--network", "acme/back").startswith("network back: ingress needs")
    assert default("deny", "--group", "acme/web").startswith("group acme/web: ingress and egress")
    default("allow", "--tenant", "acme")
    told = json.loads(weft("network", "inspect", "acme/back", "--json").out)
    assert (told["denied"], told["effective_denied"]) == (None, [])
    for wrong in (
        ("deny",),
        ("deny", "--tenant", "a", "--network", "b"),
        ("inherit", "--tenant", "acme"),
        ("inherit", "--ingress", "--network", "acme/back"),
    ):
        assert weft("group", "default", *wrong).code == 2


def test_ports_name_groups(weftd: Weftd, weft: Weft) -> None:
    weft("network", "create", "back")
    for group in ("web", "admin", "shop"):
        weft("group", "create", group)
    weft("group", "set", "shop", "--select", "app=shop")
    ran = weft("attach", "web", "back", "--group", "web", "--label", "app=shop")
    assert ran.code == 0, ran
    weft("port", "add", "back", "--name", "box", "--group", "admin")
    told = json.loads(weft("port", "ls", "--group", "web", "--json").out)
    assert [one["groups"] for one in told["ports"]] == [["shop", "web"]]
    ran = weft("port", "set", "box", "--group", "web", "--label", "app=shop")
    assert ran.out == "port box on back: group shop, group web, app=shop\n"
    assert len(json.loads(weft("port", "ls", "back", "--group", "web", "--json").out)["ports"]) == 2
    assert "groups     shop, web" in weft("port", "inspect", "box").out
    ran = weft("group", "rm", "web")
    assert (ran.code, "in use by port box on back, port web on back" in ran.err) == (1, True)
    assert weft("port", "set", "box", "--group", "none", "--label", "none").out == (
        "port box on back: no group, no label\n"
    )
    assert weft("port", "set", "box").code == 2
    ran = weft("port", "set", "box", "--group", "wbe")
    assert (ran.code, "did you mean web" in ran.err) == (1, True)


def test_names_of_groups_are_completed(weftd: Weftd, weft: Weft) -> None:
    weft("group", "create", "acme/web")
    assert complete("group", "inspect", "acme") == ["acme/web"]
    assert complete("port", "set", "x", "--group", "a") == ["acme/web"]


@pytest.mark.parametrize("what", ["strict", "track"])
def test_a_network_can_be_strict_and_remember_all(weftd: Weftd, weft: Weft, what: str) -> None:
    field = {"strict": "is_strict", "track": "is_tracked"}[what]
    weft("network", "create", "foo", f"--{what}")
    assert json.loads(weft("network", "inspect", "foo", "--json").out)[field]
    assert weft("network", "set", "foo", f"--no-{what}").code == 0
    assert not json.loads(weft("network", "inspect", "foo", "--json").out)[field]
