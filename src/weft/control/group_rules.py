"""From a rule as it is asked for to its record, and back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from weft.control.group_references import find_group_of, find_network_of
from weft.control.group_specs import AnyRule, RuleSpec
from weft.control.rule_text import (
    DIRECTIONS,
    TIERS,
    parse_prefix,
    parse_rule,
    parse_selector,
    ports_text,
    protocol_number,
    protocol_word,
    rule_text,
    selector_text,
)
from weft.errors import ConflictError, InvalidError
from weft.model.addresses import IPNetwork, contains
from weft.model.choices import Action, Direction, PeerKind, Tier
from weft.model.codec import decode, encode
from weft.model.ids import RuleId, derived_id
from weft.model.records import Network, Peer, SecurityGroup, SecurityRule
from weft.model.records.security import ICMP, ICMPV6, MAX_EXCEPTS, WITH_PORTS, WITH_TYPES
from weft.store.interface import View

_KINDS = {"group": PeerKind.GROUP, "network": PeerKind.NETWORK, "label": PeerKind.PORTS}
_UNIDENTIFIED = RuleId("-")


def checked(rule: AnyRule) -> RuleSpec:
    """A rule in its one form, as far as it can be checked by itself; InvalidError."""
    spec = parse_rule(rule) if isinstance(rule, str) else rule
    number = protocol_number(spec.protocol)
    whole = replace(
        spec,
        protocol=None if number is None else protocol_word(number),
        last_port=spec.first_port if spec.last_port is None else spec.last_port,
        peer=_one_form(spec.peer),
        excepts=tuple(sorted(set(spec.excepts), key=_in_order)),
        description=spec.description.strip(),
    )
    reason = _contradiction(whole, number)
    if reason:
        raise InvalidError(f"rule {rule_text(whole)[:120]!r}: {reason}")
    return whole


def faults(rules: Iterable[AnyRule]) -> Iterator[tuple[str, str]]:
    """The field of each rule that is wrong by itself, and why."""
    for index, rule in enumerate(rules):
        try:
            checked(rule)
        except InvalidError as error:
            yield f"rules[{index}]", str(error)


def record_of(view: View, rule: RuleSpec, group: SecurityGroup) -> SecurityRule:
    """A checked rule as the record of a group's, with the id that all hosts give it."""
    made = SecurityRule(
        id=_UNIDENTIFIED,
        group_id=group.id,
        direction=Direction(rule.direction),
        action=Action(rule.action),
        tier=Tier(rule.tier),
        priority=rule.priority,
        peer=_peer(view, rule, group),
        family=rule.family,
        protocol=protocol_number(rule.protocol),
        first_port=rule.first_port,
        last_port=rule.last_port,
        icmp_type=rule.icmp_type,
        icmp_code=rule.icmp_code,
        is_stateless=rule.is_stateless,
        keeps_flows=rule.keeps_flows,
        logs_per_s=rule.logs_per_s,
        description=rule.description,
    )
    decode(SecurityRule.KIND, encode(made))
    said = encode((made.action, flows_of(made))).decode()
    return replace(made, id=RuleId(derived_id("security-rule", group.id, said)))


def flows_of(rule: SecurityRule) -> SecurityRule:
    """What flows it is about, and when it is asked, whatever it makes of them. A group has no two
    rules in which this is the same."""
    return replace(
        rule,
        id=_UNIDENTIFIED,
        action=Action.ALLOW,
        is_stateless=False,
        keeps_flows=False,
        logs_per_s=None,
        description="",
    )


def check_apart(view: View, rules: Sequence[SecurityRule], group: SecurityGroup) -> None:
    """ConflictError: two rules are the same, or say different things of the same flows. It names
    the field of the later one."""
    first: dict[SecurityRule, int] = {}
    for index, rule in enumerate(rules):
        other = first.setdefault(flows_of(rule), index)
        if other != index:
            clash = _clash(view, rule, rules[other], group)
            raise ConflictError(f"{clash} (rules[{other}])").of_field(f"rules[{index}]")


def check_beside(
    view: View, rule: SecurityRule, others: Iterable[SecurityRule], group: SecurityGroup
) -> None:
    """ConflictError: one of the others says something else of the same flows."""
    for other in others:
        if flows_of(other) == flows_of(rule):
            raise ConflictError(_clash(view, rule, other, group))


def spec_of(view: View, rule: SecurityRule, group: SecurityGroup) -> RuleSpec:
    """A record as the rule that was asked for."""
    return RuleSpec(
        action=rule.action.value,
        direction=rule.direction.value,  # type: ignore[arg-type]
        family=rule.family,
        protocol=None if rule.protocol is None else protocol_word(rule.protocol),  # type: ignore[arg-type]
        first_port=rule.first_port,
        last_port=rule.last_port,
        icmp_type=rule.icmp_type,
        icmp_code=rule.icmp_code,
        peer=_peer_text(view, rule.peer),
        excepts=rule.peer.excepts,
        tier=rule.tier.value,
        priority=rule.priority,
        is_stateless=rule.is_stateless,
        keeps_flows=rule.keeps_flows,
        logs_per_s=rule.logs_per_s,
        description=rule.description,
    )


def text_of(view: View, rule: SecurityRule, group: SecurityGroup) -> str:
    """A record as text."""
    return rule_text(spec_of(view, rule, group))


def by_turn(view: View, rules: Iterable[SecurityRule], group: SecurityGroup) -> list[SecurityRule]:
    """Rules in the order in which they are asked."""
    texts = {rule.id: spec_of(view, rule, group) for rule in rules}

    def turn(rule: SecurityRule) -> tuple[int, int, int, str, str]:
        direction, tier = texts[rule.id].direction, texts[rule.id].tier
        return (
            DIRECTIONS.index(direction) if direction in DIRECTIONS else len(DIRECTIONS),
            TIERS.index(tier),
            rule.priority,
            rule_text(texts[rule.id]),
            rule.id,
        )

    return sorted(rules, key=turn)


def local_name(reference: str, tenant: str) -> str:
    """A name in the group's own tenant, without the tenant."""
    return reference.removeprefix(f"{tenant}/")


def in_tenant(rule: RuleSpec, tenant: str) -> RuleSpec:
    """A checked rule, in which names of the tenant are as `spec_of` says them."""
    kind, colon, rest = rule.peer.partition(":")
    if kind not in ("group", "network"):
        return rule
    return replace(rule, peer=f"{kind}{colon}{local_name(rest, tenant)}")


def _one_form(peer: str) -> str:
    kind, _, rest = peer.partition(":")
    if peer == "any":
        return peer
    if kind == "label":
        return f"label:{selector_text(parse_selector(rest))}"
    if kind in _KINDS:
        if not rest:
            raise InvalidError(f"peer {peer!r}: say which {kind}, {kind}:NAME")
        return peer
    try:
        return str(parse_prefix(peer))
    except InvalidError as error:
        raise InvalidError(
            f"peer {peer[:60]!r}: say any, group:NAME, network:NAME, label:KEY=VALUE or a prefix "
            f"({error})"
        ) from error


def _contradiction(rule: RuleSpec, number: int | None) -> str:
    """Why no packet is as a rule says; empty: some may be."""
    if rule.first_port is None and rule.last_port is not None:
        return "a range of ports needs its first_port"
    if rule.first_port is not None and rule.last_port is not None:
        if number not in WITH_PORTS:
            return "only tcp, udp and sctp have ports"
        if rule.first_port > rule.last_port:
            return f"ports {ports_text(rule.first_port, rule.last_port)} end before they begin"
    if rule.icmp_type is not None and number not in WITH_TYPES:
        return "only icmp and icmpv6 have types"
    if rule.icmp_code is not None and rule.icmp_type is None:
        return "a code of ICMP needs its type"
    cidr = _cidr(rule.peer)
    if rule.excepts and cidr is None:
        return "except goes with a prefix"
    return _of_families(rule, number, cidr)


def _of_families(rule: RuleSpec, number: int | None, cidr: IPNetwork | None) -> str:
    version = cidr.version if cidr is not None else None
    families = {version, rule.family, {ICMP: 4, ICMPV6: 6}.get(number or 0)} - {None}
    if len(families) > 1:
        return "says both IPv4 and IPv6 (icmp is of IPv4, icmpv6 of IPv6)"
    if len(rule.excepts) > MAX_EXCEPTS:
        return f"{len(rule.excepts)} exceptions; {MAX_EXCEPTS} is the most"
    for part in rule.excepts:
        if cidr is not None and (part.version != version or not contains(cidr, part)):
            return f"except {part}: lies outside {cidr}"
        if part == cidr:
            return f"except {part}: leaves nothing"
    return ""


def _cidr(peer: str) -> IPNetwork | None:
    is_prefix = peer != "any" and peer.partition(":")[0] not in _KINDS
    return parse_prefix(peer) if is_prefix else None


def _peer(view: View, rule: RuleSpec, group: SecurityGroup) -> Peer:
    kind, _, rest = rule.peer.partition(":")
    if rule.peer == "any":
        return Peer()
    match _KINDS.get(kind):
        case PeerKind.GROUP if rest in (group.name, group.id):
            return Peer(kind=PeerKind.GROUP, group_id=group.id)
        case PeerKind.GROUP:
            found = find_group_of(view, rest, group.tenant_id)
            return Peer(kind=PeerKind.GROUP, group_id=found.id)
        case PeerKind.NETWORK:
            network = find_network_of(view, rest, group.tenant_id)
            return Peer(kind=PeerKind.NETWORK, network_id=network.id)
        case PeerKind.PORTS:
            return Peer(kind=PeerKind.PORTS, selector=parse_selector(rest))
        case _:
            return Peer(kind=PeerKind.CIDR, cidr=_cidr(rule.peer), excepts=rule.excepts)


def _peer_text(view: View, peer: Peer) -> str:
    match peer.kind:
        case PeerKind.GROUP:
            group = view.get(SecurityGroup, peer.group_id or "")
            return f"group:{group.name if group is not None else peer.group_id}"
        case PeerKind.NETWORK:
            network = view.get(Network, peer.network_id or "")
            return f"network:{network.name if network is not None else peer.network_id}"
        case PeerKind.PORTS:
            assert peer.selector is not None
            return f"label:{selector_text(peer.selector)}"
        case PeerKind.CIDR:
            return str(peer.cidr)
        case _:
            return peer.kind.value


def _clash(view: View, rule: SecurityRule, other: SecurityRule, group: SecurityGroup) -> str:
    text, theirs = text_of(view, rule, group), text_of(view, other, group)
    if rule.action is other.action:
        return f"rule {text!r}: is there twice"
    return (
        f"rule {text!r}: contradicts {theirs!r}, which is about the same flows; give one of them "
        "another priority, or change the one that is there"
    )


def _in_order(prefix: IPNetwork) -> tuple[int, int, int]:
    return prefix.version, int(prefix.network_address), prefix.prefixlen
