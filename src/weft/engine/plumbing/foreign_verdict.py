"""Whether another's chain surely lets a packet of Weft's through. Pure: of rules as JSON.

A ruleset that somebody wrote, or that firewalld did, is not read for what it says of addresses and
ports. Of the packet only what is always so is known (its devices, how conntrack sees it). A rule
that asks for anything else may match or not; so a drop behind it is one that may happen, and an
accept behind it is no promise. libnftables-json(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Packet = Mapping[str, Sequence[str]]
"""What is known of ``iifname``, ``oifname``, ``ct state``: one of these."""

_ACCEPT, _DROP, _RETURN = "accept", "drop", "return"
TRACKED = ("2", "4", "8")
"""States of a connection as libnftables writes them: established, related, new."""
UNTRACKED = ("64",)
"""That of what conntrack was told to leave alone."""
_MAX_DEPTH = 16
"""Of jumps: the kernel allows no more (NFT_JUMP_STACK_SIZE)."""


def is_let_through(objects: Iterable[Json], chain: str, packet: Packet) -> bool:
    """Whether the base chain accepts the packet in any case. objects: its table, as listed."""
    table = _Table(objects, packet)
    return table.walk(chain) == _ACCEPT and not table.may_drop


class _Table:
    def __init__(self, objects: Iterable[Json], packet: Packet) -> None:
        self._rules: dict[str, list[Json]] = {}
        self._policies: dict[str, str] = {}
        self._packet = packet
        self.may_drop = False
        """A rule that may match drops."""
        for each in objects:
            if "chain" in each:
                self._policies[each["chain"]["name"]] = each["chain"].get("policy", _RETURN)
            elif "rule" in each:
                self._rules.setdefault(each["rule"]["chain"], []).append(each["rule"])

    def walk(self, chain: str, depth: int = 0) -> str:
        """What the chain does for sure with the packet: accept, drop or return."""
        if depth > _MAX_DEPTH:
            self.may_drop = True
            return _RETURN
        for rule in self._rules.get(chain, ()):
            verdict = self._of_rule(rule["expr"], depth)
            if verdict == _RETURN:
                break
            if verdict is not None:
                return verdict
        return self._policies.get(chain, _RETURN)

    def _of_rule(self, parts: Sequence[Json], depth: int) -> str | None:
        """None: the packet goes on to the next rule."""
        is_sure = True
        for part in parts:
            if "match" in part:
                matches = _matches(part["match"], self._packet)
                if matches is False:
                    return None
                is_sure = is_sure and matches is True
            elif "vmap" in part:
                return self._of_map(part["vmap"], is_sure, depth)
            elif _is_verdict(part):
                return self._apply(part, is_sure, depth)
            elif not part.keys() & {"counter", "log"}:
                is_sure = False
        return None

    def _of_map(self, vmap: Json, is_sure: bool, depth: int) -> str | None:
        data = vmap["data"]
        known = _known(vmap["key"], self._packet)
        entries = data.get("set", []) if isinstance(data, dict) else None
        if entries is None:  # a map of its own, whose elements are not looked at
            self.may_drop = True
            return None
        for value, verdict in entries:
            matches = _is_among(known, _values(value))
            if matches:
                return self._apply(verdict, is_sure, depth)
            if matches is None:
                self._apply(verdict, False, depth)
        return None

    def _apply(self, part: Json, is_sure: bool, depth: int) -> str | None:
        if "accept" in part:
            return _ACCEPT if is_sure else None
        if "return" in part:
            return _RETURN if is_sure else None
        if "jump" in part or "goto" in part:
            verdict = self.walk(part["jump" if "jump" in part else "goto"]["target"], depth + 1)
            if is_sure:
                return None if verdict == _RETURN and "jump" in part else verdict
            self.may_drop = self.may_drop or verdict == _DROP
            return None
        if is_sure:
            return _DROP
        self.may_drop = True
        return None


def _is_verdict(part: Json) -> bool:
    return bool(part.keys() & {"accept", "drop", "reject", "return", "jump", "goto", "queue"})


def _matches(match: Json, packet: Packet) -> bool | None:
    """None: not known."""
    is_among = _is_among(_known(match["left"], packet), _values(match["right"]))
    return not is_among if match["op"] == "!=" and is_among is not None else is_among


def _known(left: object, packet: Packet) -> Sequence[str]:
    """What it may be; empty: anything."""
    if isinstance(left, dict):
        for kind, prefix in (("meta", ""), ("ct", "ct ")):
            if isinstance(left.get(kind), dict):
                return packet.get(prefix + str(left[kind].get("key")), ())
    return ()


def _is_among(known: Sequence[str], values: Sequence[str]) -> bool | None:
    """None: it may be."""
    hits = [any(_is_like(each, value) for value in values) for each in known]
    return None if not hits or len(set(hits)) > 1 else hits[0]


def _values(right: object) -> list[str]:
    if isinstance(right, dict):
        right = right.get("set", [])
    return [str(value) for value in right] if isinstance(right, list) else [str(right)]


def _is_like(known: str, value: str) -> bool:
    """Names of devices may end in a star."""
    return known.startswith(value[:-1]) if value.endswith("*") else known == value
