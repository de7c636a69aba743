"""Options that say a rule of a security group, and the rule that they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from weft.control.group_specs import AnyRule
from weft.control.rule_text import ACTIONS, DIRECTIONS, TIERS, parse_prefix, parse_rule
from weft.errors import InvalidError

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")
_ANY = "any"
_WITH_PORTS = ("tcp", "udp", "sctp")
_PORTS = "any port, or PORT or FIRST-LAST."
_TYPES = "any type, or TYPE or TYPE/CODE."

_OPTIONS = (
    *(
        click.option(
            f"--{word}",
            is_flag=False,
            flag_value=_ANY,
            metavar="[PORTS]" if word in _WITH_PORTS else "[TYPE]",
            help=f"{name}, {_PORTS if word in _WITH_PORTS else _TYPES}",
        )
        for word, name in (
            ("tcp", "TCP"),
            ("udp", "UDP"),
            ("sctp", "SCTP"),
            ("icmp", "ICMP"),
            ("icmpv6", "ICMPv6"),
        )
    ),
    click.option("--protocol", help="Another protocol, by name or number."),
    click.option("--ipv4", "family", flag_value="4", help="IPv4 alone."),
    click.option("--ipv6", "family", flag_value="6", help="IPv6 alone."),
    click.option(
        "--from",
        "from_",
        metavar="PEER",
        help="Of ingress, from whom: any, group:NAME, network:NAME, label:KEY=VALUE, a prefix.",
    ),
    click.option("--to", metavar="PEER", help="Of egress, to whom."),
    click.option(
        "--except", "excepts", metavar="PREFIX", multiple=True, help="But not there; repeatable."
    ),
    click.option("--tier", type=click.Choice(TIERS), help="Which is asked first [normal]."),
    click.option(
        "--priority", type=click.IntRange(0, 65535), help="In its tier, smallest first [1000]."
    ),
    click.option("--log", metavar="N/s", help="Log so many new flows a second, on each host."),
    click.option("--stateless", is_flag=True, help="Answers need a rule of their own."),
    click.option("--keep", is_flag=True, help="Its flows go on when it goes."),
    click.option("--description", help="What it is for."),
)


def rule_options(command: F) -> F:
    """Adds them, in the order in which the help lists them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def rule_from(words: Sequence[str], given: Mapping[str, Any]) -> AnyRule:
    """The rule that words and options say; click.UsageError."""
    options = {name: value for name, value in given.items() if value not in (None, False, ())}
    text = " ".join(words)
    if len(text.split()) > 2:
        if options:
            raise click.UsageError("say the rule by options, or as a text, not both")
        return _told(parse_rule, text)
    first, *rest = text.split()
    if first not in ACTIONS or len(rest) != 1 or rest[0] not in DIRECTIONS:
        raise click.UsageError(
            f"{text}: say an action ({', '.join(ACTIONS)}) and a direction "
            f"({', '.join(DIRECTIONS)})"
        )
    return _told(parse_rule, " ".join(_words(first, rest[0], options)))


def _words(action: str, direction: str, options: Mapping[str, Any]) -> list[str]:
    """The words of the rule's text."""
    words = [action, direction]
    if "family" in options:
        words.append(f"ipv{options['family']}")
    words += _protocol(options)
    peer, towards = _peer(direction, options)
    excepts = [str(_told(parse_prefix, text)) for text in options.get("excepts", ())]
    if excepts and peer is None:
        raise click.UsageError(f"--except needs --{towards} PREFIX")
    if peer is not None:
        if not peer or any(char.isspace() for char in peer):
            raise click.UsageError(f"--{towards} {peer!r}: say %20 for a blank")
        words += [towards, peer, *(["except", ",".join(excepts)] if excepts else [])]
    for name in ("tier", "priority", "log"):
        if name in options:
            words += [name, str(options[name])]
    words += [name for name in ("stateless", "keep") if name in options]
    if "description" in options:
        words.append(f"({options['description']})")
    return words


def _protocol(options: Mapping[str, Any]) -> list[str]:
    named = [word for word in (*_WITH_PORTS, "icmp", "icmpv6", "protocol") if word in options]
    if len(named) > 1:
        raise click.UsageError(
            f"--{named[0]} and --{named[1]}: a rule is about one protocol, or any"
        )
    if not named:
        return []
    (word,) = named
    value = str(options[word])
    if word == "protocol":
        return [value]
    return [word] if value == _ANY else [word, value]


def _peer(direction: str, options: Mapping[str, Any]) -> tuple[str | None, str]:
    towards, other = ("from", "to") if direction == "ingress" else ("to", "from")
    if ("from_" if other == "from" else other) in options:
        raise click.UsageError(f"--{other}: an {direction} rule says --{towards}")
    return options.get("from_" if towards == "from" else towards), towards


def _told(make: Callable[[str], T], text: str) -> T:
    try:
        return make(text)
    except InvalidError as error:
        raise click.UsageError(str(error)) from error
