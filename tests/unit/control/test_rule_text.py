"""Rules and selectors as text: what is read is written back in one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.control.group_rules import checked
from weft.control.group_specs import RuleSpec
from weft.control.rule_text import (
    PROTOCOLS,
    parse_rule,
    parse_selector,
    rule_text,
    selector_text,
)
from weft.errors import InvalidError
from weft.model.addresses import ip_network
from weft.model.choices import Operator
from weft.model.records import Requirement, Selector

READ: list[tuple[str, RuleSpec]] = [
    ("allow ingress", RuleSpec(action="allow", direction="ingress")),
    (
        "allow ingress tcp 80-90 from group:web",
        RuleSpec(
            action="allow",
            direction="ingress",
            protocol="tcp",
            first_port=80,
            last_port=90,
            peer="group:web",
        ),
    ),
    (
        "  drop   egress ipv4 to 10.0.0.0/8 except 10.1.0.0/16,10.2.0.0/16 priority 5 ",
        RuleSpec(
            action="drop",
            direction="egress",
            family=4,
            peer="10.0.0.0/8",
            excepts=(ip_network("10.1.0.0/16"), ip_network("10.2.0.0/16")),
            priority=5,
        ),
    ),
    (
        "reject ingress icmp 3/1 tier admin log 10/s stateless keep (ping (of death))",
        RuleSpec(
            action="reject",
            direction="ingress",
            protocol="icmp",
            icmp_type=3,
            icmp_code=1,
            tier="admin",
            logs_per_s=10,
            is_stateless=True,
            keeps_flows=True,
            description="ping (of death)",
        ),
    ),
    ("pass egress 47", RuleSpec(action="pass", direction="egress", protocol="gre")),
    ("pass egress 200 to any", RuleSpec(action="pass", direction="egress", protocol=200)),
]


@pytest.mark.parametrize(("text", "rule"), READ)
def test_text_is_read(text: str, rule: RuleSpec) -> None:
    assert parse_rule(text) == rule
    assert checked(rule_text(rule)) == checked(rule)


WRONG = [
    ("", "begin with an action: allow, drop, reject, pass"),
    ("alow ingress", "not 'alow'; did you mean 'allow'?"),
    ("allow", "then say the direction: ingress, egress"),
    ("allow inbound", "ingress, egress, not 'inbound'"),
    ("allow ingress tpc", "word 'tpc' is not understood here; did you mean 'tcp'?"),
    ("allow ingress tcp 80-", "'' is not a port, which is 0 to 65535"),
    ("allow ingress tcp 65536", "'65536' is not a port"),
    ("allow ingress tcp 90-80", "ports 90-80 end before they begin"),
    ("allow ingress tcp 80 81", "word '81' is not understood here"),
    ("allow ingress tcp 80,81", "'80,81' is not a port"),
    ("allow ingress icmp 256", "'256' is not a type"),
    ("allow ingress 256", "'256' is not a protocol"),
    ("allow ingress to any", "an ingress rule says 'from' whom"),
    ("allow ingress from", "after 'from' say any, group:NAME"),
    ("allow ingress from web", "say any, group:NAME, network:NAME"),
    ("allow ingress from group:", "say which group"),
    ("allow ingress from 10.0.0.1/8", "did you mean 10.0.0.0/8?"),
    ("allow ingress from label:", "a key is empty"),
    ("allow ingress from any except 10.0.0.0/8", "except goes with a prefix"),
    ("allow ingress from 10.0.0.0/8 except 11.0.0.0/8", "except 11.0.0.0/8: lies outside"),
    ("allow ingress from 10.0.0.0/8 except fd00::/8", "except fd00::/8: lies outside"),
    ("allow ingress from 10.0.0.0/8 except 10.0.0.0/8", "leaves nothing"),
    ("allow ingress from 10.0.0.0/8 except", "'' is no prefix"),
    ("allow ingress ipv6 from 10.0.0.0/8", "says both IPv4 and IPv6"),
    ("allow ingress icmpv6 from 10.0.0.0/8", "says both IPv4 and IPv6"),
    ("allow ingress ipv4 icmpv6", "says both IPv4 and IPv6"),
    ("allow ingress tier first", "after 'tier' say one: admin, normal, baseline, not 'first'"),
    ("allow ingress tier admin tier admin", "word 'tier' is not understood here"),
    ("allow ingress priority -1", "'-1' is not a priority"),
    ("allow ingress priority 1 tcp", "word 'tcp' is not understood here; it comes earlier"),
    ("allow ingress log 10", "after 'log' say how many flows a second"),
    ("allow ingress log 0/s", "after 'log' say how many flows a second"),
    ("allow ingress priority ９", "is not a priority"),
]


@pytest.mark.parametrize(("text", "why"), WRONG)
def test_what_does_not_fit_is_named(text: str, why: str) -> None:
    with pytest.raises(InvalidError) as caught:
        checked(text)
    assert why in str(caught.value)


SELECTORS = [
    ("app=web", (Requirement(key="app", values=("web",)),)),
    (
        "app=web|db,zone!=test,!old,app.kubernetes.io/name",
        (
            Requirement(key="app", values=("web", "db")),
            Requirement(key="zone", operator=Operator.NOT_IN, values=("test",)),
            Requirement(key="old", operator=Operator.ABSENT),
            Requirement(key="app.kubernetes.io/name", operator=Operator.EXISTS),
        ),
    ),
    ("team=a%20b%2Cc", (Requirement(key="team", values=("a b,c",)),)),
    ("empty=", (Requirement(key="empty", values=("",)),)),
    ("*", ()),
]


@pytest.mark.parametrize(("text", "requirements"), SELECTORS)
def test_selectors_are_read_and_written(text: str, requirements: tuple[Requirement, ...]) -> None:
    assert parse_selector(text) == Selector(requirements=requirements)
    assert selector_text(parse_selector(text)) == text


@pytest.mark.parametrize("text", ["", ",", "=a", "!", "a=b,", "a b", "a=b=c", "a=(b)", "a=%ff"])
def test_selectors_that_are_none(text: str) -> None:
    with pytest.raises(InvalidError, match="selector"):
        parse_selector(text)


WORDS = st.text(max_size=6)
REQUIREMENTS = st.builds(
    Requirement,
    key=st.text(min_size=1, max_size=6),
    operator=st.sampled_from([Operator.IN, Operator.NOT_IN]),
    values=st.lists(WORDS, min_size=1, max_size=3, unique=True).map(tuple),
) | st.builds(
    Requirement,
    key=st.text(min_size=1, max_size=6),
    operator=st.sampled_from([Operator.EXISTS, Operator.ABSENT]),
)
SELECTING = st.builds(Selector, requirements=st.lists(REQUIREMENTS, max_size=4).map(tuple))


@given(selector=SELECTING)
def test_every_selector_can_be_said(selector: Selector) -> None:
    assert parse_selector(selector_text(selector)) == selector


PORTS = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted)
PREFIXES = st.sampled_from(["10.0.0.0/8", "10.1.2.3/32", "fd00::/8", "0.0.0.0/0"])
PEERS = st.sampled_from(["any", "group:web", "network:back", "label:a=b,!c"]) | PREFIXES


@st.composite
def rules(draw: st.DrawFn) -> RuleSpec:
    protocol = draw(st.none() | st.sampled_from(sorted(PROTOCOLS)) | st.integers(0, 255))
    fields: dict[str, object] = {}
    if protocol in ("tcp", "udp", "sctp") and draw(st.booleans()):
        fields["first_port"], fields["last_port"] = draw(PORTS)
    if protocol in ("icmp", "icmpv6") and draw(st.booleans()):
        fields["icmp_type"] = draw(st.integers(0, 255))
        fields["icmp_code"] = draw(st.none() | st.integers(0, 255))
    return RuleSpec(
        action=draw(st.sampled_from(["allow", "drop", "reject", "pass"])),
        direction=draw(st.sampled_from(["ingress", "egress"])),
        family=draw(st.sampled_from([None, 4, 6])),
        protocol=protocol,  # type: ignore[arg-type]
        peer=draw(PEERS),
        tier=draw(st.sampled_from(["admin", "normal", "baseline"])),
        priority=draw(st.integers(0, 65535)),
        is_stateless=draw(st.booleans()),
        keeps_flows=draw(st.booleans()),
        logs_per_s=draw(st.none() | st.integers(1, 65535)),
        description=draw(st.text(st.characters(codec="ascii", categories=["L", "P"]), max_size=9)),
        **fields,  # type: ignore[arg-type]
    )


@given(rule=rules())
def test_every_rule_comes_back_from_its_text(rule: RuleSpec) -> None:
    try:
        one_form = checked(rule)
    except InvalidError:
        return
    assert checked(rule_text(one_form)) == one_form
    assert rule_text(checked(rule_text(one_form))) == rule_text(one_form)


@given(
    text=st.text(st.sampled_from("allow ingress tcp 80-from:group(),=%!|/10.\n\x00é"), max_size=60)
)
def test_any_text_is_a_rule_or_a_sentence(text: str) -> None:
    try:
        checked(text)
    except InvalidError as error:
        assert str(error)
