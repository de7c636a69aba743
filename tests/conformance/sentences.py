"""What a line of a case file says: who sends what to whom, and what becomes of it.

    lb -> web tcp 80: answered
    lb -> web udp 53 size 3000 from 5353: silent
    lb -> net.1 ping hops 1: expired by net.1

A target is a workload, ``WORKLOAD@NETWORK`` (its address there), ``WORKLOAD@held`` (what it `holds`
besides, from which it sends as well), ``NETWORK.N`` (the N-th address of the network's subnet) or a
name of the scene's `addresses`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

NUMBERED = {"tcp": 6, "udp": 17, "sctp": 132}
WORDS = {
    "answered": "it gets there, and its answer comes back",
    "arrives": "it gets there, whatever comes back",
    "unanswered": "it gets there, and nothing comes back",
    "closed": "it gets there, and the receiver says that nobody listens",
    "silent": "it does not get there, and the sender hears nothing",
    "refused": "it does not get there: TCP is reset, else ICMP says prohibited",
    "unreachable": "it does not get there, and ICMP says that the address is not there",
    "no-route": "it does not get there, and ICMP says that no way leads there",
    "expired": "it does not get there, and ICMP says that its hop limit is used up",
    "too-big": "it does not get there, and ICMP says how large it may be",
}
_PROBE = re.compile(r"(?P<source>[\w-]+(@held)?) -> (?P<target>\S+) (?P<what>.+)")
_OPTIONS = {"from", "size", "hops"}
_FLAGS = {"stray", "tail", "whole"}


class Probe(NamedTuple):
    """What is sent."""

    source: str
    """The sender's address, as a target."""
    target: str
    kind: str
    """tcp, udp, sctp, ping, icmp, protocol, dns: a query by UDP that Weft's DNS answers, or
    solicit: a search for IPv6 routers, which advertise themselves."""
    number: int = 0
    """Of the destination's port, of the protocol, or the type of ICMP."""
    code: int = 0
    source_port: int = 0
    """0: the kernel's choice."""
    size: int = 0
    """Bytes of payload at least."""
    hops: int = 0
    """Hop limit; 0: the kernel's choice."""
    is_stray: bool = False
    """Of TCP: from the middle of a connection that never was."""
    is_tail: bool = False
    """A later fragment whose first one never was."""
    is_whole: bool = False
    """It must not be cut on its way."""

    @property
    def sender(self) -> str:
        """The workload."""
        return self.source.partition("@")[0]


class Outcome(NamedTuple):
    """What becomes of it."""

    word: str
    by: str | None = None
    """Who tells the sender."""
    hops: int | None = None
    """What is left of its hop limit where it arrives."""


def probe(text: str) -> Probe:
    """Of a line, what is before the colon. ValueError: it is no probe."""
    match = _PROBE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r}: say SENDER -> TARGET PROTOCOL …")
    kind, *rest = match["what"].split()
    number = code = 0
    if kind in NUMBERED or kind == "protocol":
        number = int(_next(text, rest))
    elif kind == "icmp":
        first, _, second = _next(text, rest).partition("/")
        number, code = int(first), int(second or 0)
    elif kind == "dns":
        number = 53
    elif kind not in ("ping", "solicit"):
        raise ValueError(f"{text!r}: unknown protocol {kind!r}")
    options, flags = _options(text, rest)
    return Probe(
        match["source"],
        match["target"],
        kind,
        number,
        code,
        source_port=options.get("from", 0),
        size=options.get("size", 0),
        hops=options.get("hops", 0),
        is_stray="stray" in flags,
        is_tail="tail" in flags,
        is_whole="whole" in flags,
    )


def outcome(text: str) -> Outcome:
    """Of a line, what is after the colon. ValueError: it is none."""
    word, *rest = text.split()
    if word not in WORDS:
        raise ValueError(f"{text!r}: say one of {', '.join(WORDS)}")
    by = hops = None
    while rest:
        match rest:
            case ["by", name, *rest]:
                by = name
            case ["with", number, "hops", *rest]:
                hops = int(number)
            case _:
                raise ValueError(f"{text!r}: after {word!r} there may be: by NAME, with N hops")
    return Outcome(word, by, hops)


def _options(text: str, words: list[str]) -> tuple[dict[str, int], set[str]]:
    options: dict[str, int] = {}
    flags: set[str] = set()
    while words:
        word = words.pop(0)
        if word in _OPTIONS:
            options[word] = int(_next(text, words))
        elif word in _FLAGS:
            flags.add(word)
        else:
            raise ValueError(f"{text!r}: unknown word {word!r}")
    return options, flags


def _next(text: str, words: list[str]) -> str:
    if not words:
        raise ValueError(f"{text!r}: it ends too early")
    return words.pop(0)
