"""Rules and selectors as people write them: read, and written back in one form.

A rule is a line of words, in this order, of which all but the first two may be left out:

    ACTION ingress|egress [ipv4|ipv6] [PROTOCOL [PORTS]] [from|to PEER [except PREFIX,…]]
    [tier TIER] [priority N] [stateless] [keep] [log N/s] [(description)]

such as ``allow ingress tcp 80-90 from group:web``. PORTS is a port or two with a dash between, with
ICMP a type or ``type/code``. PEER is ``any``, ``group:NAME``, ``network:NAME``, ``label:SELECTOR``,
a prefix or an address. A SELECTOR is ``KEY=VALUE|VALUE``, ``KEY!=VALUE``, ``KEY`` or ``!KEY``, with
commas between; characters that mean something here, and blanks, are said as in URLs: ``%20``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import quote, unquote

from weft.control.group_specs import DEFAULT_PRIORITY, RuleSpec
from weft.errors import InvalidError
from weft.model.addresses import IPNetwork, ip_network, plain_network
from weft.model.choices import Operator
from weft.model.records import Requirement, Selector
from weft.model.records.security import (
    MAX_REQUIREMENTS,
    MAX_VALUES,
    WITH_PORTS,
    WITH_TYPES,
)

ACTIONS = ("allow", "drop", "reject", "pass")
DIRECTIONS = ("ingress", "egress")
TIERS = ("admin", "normal", "baseline")
PROTOCOLS = {
    "tcp": 6,
    "udp": 17,
    "sctp": 132,
    "icmp": 1,
    "icmpv6": 58,
    "gre": 47,
    "esp": 50,
    "ah": 51,
}
"""IANA, Assigned Internet Protocol Numbers."""
_NAMES = {number: name for name, number in PROTOCOLS.items()}
_FAMILIES = {"ipv4": 4, "ipv6": 6}
_TOWARDS = {"ingress": "from", "egress": "to"}
_SPECIAL = re.compile(r"[\s\x00-\x1f\x7f%,|=!()*]")
_DESCRIBED = re.compile(r"(?P<rule>[^(]*)\((?P<description>.*)\)\s*", re.DOTALL)
EVERY_PORT = "*"


def protocol_number(protocol: str | int | None) -> int | None:
    """As an IP header has it; None: any."""
    return PROTOCOLS[protocol] if isinstance(protocol, str) else protocol


def protocol_word(number: int) -> str | int:
    """A protocol by name, if it has one here."""
    return _NAMES.get(number, number)


def parse_rule(text: str) -> RuleSpec:
    """A rule from its text; InvalidError says which word does not fit."""
    described = _DESCRIBED.fullmatch(text)
    words = (described["rule"] if described else text).split()
    description = described["description"].strip() if described else ""
    return _Words(text, words).rule(description)


def rule_text(rule: RuleSpec) -> str:
    """A rule as text, always the same for rules that are the same."""
    words: list[str] = [rule.action, rule.direction]
    if rule.family is not None:
        words.append(f"ipv{rule.family}")
    if rule.protocol is not None:
        number = protocol_number(rule.protocol)
        assert number is not None
        words.append(str(protocol_word(number)))
    if rule.first_port is not None:
        words.append(ports_text(rule.first_port, rule.last_port))
    if rule.icmp_type is not None:
        code = "" if rule.icmp_code is None else f"/{rule.icmp_code}"
        words.append(f"{rule.icmp_type}{code}")
    words += [_TOWARDS.get(rule.direction, "from"), rule.peer]
    if rule.excepts:
        words += ["except", ",".join(map(str, rule.excepts))]
    if rule.tier != "normal":
        words += ["tier", rule.tier]
    if rule.priority != DEFAULT_PRIORITY:
        words += ["priority", str(rule.priority)]
    words += ["stateless"] * rule.is_stateless + ["keep"] * rule.keeps_flows
    if rule.logs_per_s is not None:
        words += ["log", f"{rule.logs_per_s}/s"]
    if rule.description:
        words.append(f"({rule.description})")
    return " ".join(words)


def ports_text(first: int, last: int | None) -> str:
    """``80`` or ``80-90``."""
    return str(first) if last in (None, first) else f"{first}-{last}"


def parse_selector(text: str) -> Selector:
    """A selector from its text; InvalidError."""
    if text.strip() == EVERY_PORT:
        return Selector()
    parts = text.split(",")
    if len(parts) > MAX_REQUIREMENTS:
        _refuse_selector(text, f"has {len(parts)} parts; {MAX_REQUIREMENTS} is the most")
    return Selector(requirements=tuple(_requirement(part.strip(), text) for part in parts))


def selector_text(selector: Selector) -> str:
    """A selector as text."""
    return ",".join(map(_requirement_text, selector.requirements)) or EVERY_PORT


class _Words:
    """The words of one rule, taken one by one."""

    def __init__(self, text: str, words: Sequence[str]) -> None:
        self._text = text
        self._left = list(words)

    def rule(self, description: str) -> RuleSpec:
        """All of them."""
        action = self._one_of(ACTIONS, "begin with an action")
        direction = self._one_of(DIRECTIONS, "then say the direction")
        fields: dict[str, object] = {}
        if self._next() in _FAMILIES:
            fields["family"] = _FAMILIES[self._take()]
        self._protocol(fields)
        self._peer(direction, fields)
        self._rest(fields)
        if description:
            fields["description"] = description
        return RuleSpec(action=action, direction=direction, **fields)  # type: ignore[arg-type]

    def _protocol(self, fields: dict[str, object]) -> None:
        word = self._next()
        if word in PROTOCOLS:
            number = PROTOCOLS[self._take()]
        elif word.isascii() and word.isdigit():
            number = self._number(255, "a protocol")
        else:
            return
        fields["protocol"] = protocol_word(number)
        if not self._next()[:1].isdigit():
            return
        if number in WITH_PORTS:
            first, dash, last = self._take().partition("-")
            fields["first_port"] = self._to_number(first, 65535, "a port")
            fields["last_port"] = self._to_number(last if dash else first, 65535, "a port")
        elif number in WITH_TYPES:
            type_, slash, code = self._take().partition("/")
            fields["icmp_type"] = self._to_number(type_, 255, "a type")
            if slash:
                fields["icmp_code"] = self._to_number(code, 255, "a code")

    def _peer(self, direction: str, fields: dict[str, object]) -> None:
        towards = _TOWARDS[direction]
        if self._next() not in _TOWARDS.values():
            return
        if self._take() != towards:
            self._refuse(f"an {direction} rule says {towards!r} whom")
        if not self._left:
            self._refuse(
                f"after {towards!r} say any, group:NAME, network:NAME, label:… or a prefix"
            )
        fields["peer"] = self._take()
        if self._next() == "except":
            self._take()
            fields["excepts"] = tuple(map(self._prefix, self._take().split(",")))

    def _rest(self, fields: dict[str, object]) -> None:
        while self._left:
            word = self._take()
            match word:
                case "tier" if "tier" not in fields:
                    fields["tier"] = self._one_of(TIERS, "after 'tier' say one")
                case "priority" if "priority" not in fields:
                    fields["priority"] = self._number(65535, "a priority")
                case "stateless" if "is_stateless" not in fields:
                    fields["is_stateless"] = True
                case "keep" if "keeps_flows" not in fields:
                    fields["keeps_flows"] = True
                case "log" if "logs_per_s" not in fields:
                    fields["logs_per_s"] = self._per_second()
                case _:
                    self._refuse_word(word)

    def _per_second(self) -> int:
        count, _, unit = self._take().partition("/")
        number = self._to_number(count, 65535, "how many flows it logs")
        if unit != "s" or not number:
            self._refuse("after 'log' say how many flows a second, such as 10/s")
        return number

    def _prefix(self, text: str) -> IPNetwork:
        try:
            return parse_prefix(text)
        except InvalidError as error:
            self._refuse(str(error))

    def _next(self) -> str:
        return self._left[0] if self._left else ""

    def _take(self) -> str:
        return self._left.pop(0) if self._left else ""

    def _one_of(self, known: Sequence[str], hint: str) -> str:
        word = self._take()
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            found = f", not {word[:60]!r}" if word else ""
            self._refuse(f"{hint}: {', '.join(known)}{found}{meant}")
        return word

    def _number(self, most: int, what: str) -> int:
        return self._to_number(self._take(), most, what)

    def _to_number(self, word: str, most: int, what: str) -> int:
        if not (word.isascii() and word.isdigit()) or len(word) > 9 or int(word) > most:
            self._refuse(f"{word[:60]!r} is not {what}, which is 0 to {most}")
        return int(word)

    def _refuse_word(self, word: str) -> NoReturn:
        known = (*_FAMILIES, *PROTOCOLS, "from", "to", "except", "tier", "priority", "stateless")
        near = difflib.get_close_matches(word, (*known, "keep", "log"), n=1)
        hint = ""
        if near:
            hint = (
                f"; did you mean {near[0]!r}?" if near[0] != word else "; it comes earlier or once"
            )
        self._refuse(f"word {word[:60]!r} is not understood here{hint}")

    def _refuse(self, why: str) -> NoReturn:
        raise InvalidError(f"rule {self._text[:120]!r}: {why}")


def parse_prefix(text: str) -> IPNetwork:
    """A prefix, or an address as the prefix of it alone; InvalidError."""
    try:
        return plain_network(text)
    except ValueError as error:
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            raise InvalidError(f"{text[:60]!r} is no prefix such as 10.0.0.0/24") from error
        raise InvalidError(f"{text} has host bits set; did you mean {meant}?") from error


def _requirement(part: str, whole: str) -> Requirement:
    key, unequal, values = part.partition("!=")
    if unequal:
        return _valued(key, Operator.NOT_IN, values, whole)
    key, equal, values = part.partition("=")
    if equal:
        return _valued(key, Operator.IN, values, whole)
    if part.startswith("!"):
        return Requirement(key=_decoded(part[1:], whole), operator=Operator.ABSENT)
    return Requirement(key=_decoded(part, whole), operator=Operator.EXISTS)


def _valued(key: str, operator: Operator, values: str, whole: str) -> Requirement:
    found = dict.fromkeys(_decoded(value, whole, is_key=False) for value in values.split("|"))
    if len(found) > MAX_VALUES:
        _refuse_selector(whole, f"has {len(found)} values of {key}; {MAX_VALUES} is the most")
    return Requirement(key=_decoded(key, whole), operator=operator, values=tuple(found))


def _decoded(text: str, whole: str, *, is_key: bool = True) -> str:
    if is_key and not text:
        _refuse_selector(
            whole, "a key is empty; say KEY=VALUE, KEY!=VALUE, KEY or !KEY, or * for all"
        )
    if found := _SPECIAL.search(text.replace("%", "")):
        _refuse_selector(whole, f"say {quote(found[0])} for {found[0]!r}")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        _refuse_selector(whole, f"{text[:60]!r} is not UTF-8 behind its % signs")


def _requirement_text(requirement: Requirement) -> str:
    key, values = _encoded(requirement.key), "|".join(map(_encoded, requirement.values))
    match requirement.operator:
        case Operator.IN:
            return f"{key}={values}"
        case Operator.NOT_IN:
            return f"{key}!={values}"
        case Operator.EXISTS:
            return key
        case Operator.ABSENT:
            return f"!{key}"
        case _:
            return f"{key}=?"


def _encoded(text: str) -> str:
    return _SPECIAL.sub(lambda found: quote(found[0], safe=""), text)


def _refuse_selector(text: str, why: str) -> NoReturn:
    raise InvalidError(f"selector {text[:120]!r}: {why}")
