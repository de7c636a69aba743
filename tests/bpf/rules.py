"""Rules as a test writes them, what they mean one by one, and how they get into the maps."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from tests.bpf.image import ANYBODY, Image
from tests.bpf.world import RED, WORKLOADS, Workload, World
from weft.engine.ebpf.policy.points import EVERYTHING, Stretch, icmp, of_family, stretch
from weft.engine.ebpf.policy.profile import Clause, Profile, word
from weft.kernel.bpf.layouts import Direction, RuleAction, Tier
from weft.model.addresses import IPAddress, IPNetwork

TENANT = 77
INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
_TIERS = (Tier.TIER_ADMIN, Tier.TIER_NORMAL, Tier.TIER_BASELINE)


class Group(NamedTuple):
    """A peer that addresses belong to."""

    atom: int


class Cidr(NamedTuple):
    """A peer that is a prefix, less others."""

    atom: int
    prefix: IPNetwork
    exceptions: tuple[IPNetwork, ...] = ()

    def covers(self, address: IPAddress) -> bool:
        return address in self.prefix and not any(address in each for each in self.exceptions)


Peer = Group | Cidr | None


class Rule(NamedTuple):
    number: int
    subject: int
    direction: Direction
    peer: Peer
    """None: anybody."""
    action: RuleAction
    stretches: tuple[Stretch, ...] = (EVERYTHING,)
    tier: Tier = Tier.TIER_NORMAL
    rank: int = 0

    def compiled(self) -> list[Stretch]:
        """About a prefix: where it speaks of that one's family."""
        if not isinstance(self.peer, Cidr):
            return list(self.stretches)
        parts = (of_family(its, self.peer.prefix.version) for its in self.stretches)
        return [each for each in parts if each]

    @property
    def word(self) -> int:
        return word(self.rank, self.action, self.number)


class Decision(NamedTuple):
    action: RuleAction
    number: int
    """0: no rule."""


class Model:
    """Rules, and who is in which group."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.groups: dict[IPAddress, set[int]] = defaultdict(set)
        """Of addresses that have a row."""

    def decide(
        self,
        subjects: Iterable[int],
        direction: Direction,
        remote: IPAddress,
        point: int,
        default: RuleAction,
    ) -> Decision:
        """The specification: of all rules that match, the first of the first tier that has one
        which does not pass on."""
        matching = [
            each
            for each in self.rules
            if each.subject in subjects
            and each.direction == direction
            and self._is_peer(each.peer, remote)
            and any(its.first <= point <= its.last for its in each.stretches)
        ]
        for tier in _TIERS:
            best = (
                min((each.word, each) for each in matching if each.tier == tier)
                if any(each.tier == tier for each in matching)
                else None
            )
            if best and best[1].action != RuleAction.RULE_PASS:
                return Decision(best[1].action, best[1].number)
        return Decision(default, 0)

    def _is_peer(self, peer: Peer, address: IPAddress) -> bool:
        if peer is None:
            return True
        if isinstance(peer, Group):
            return peer.atom in self.groups.get(address, ())
        return peer.covers(address)

    def image(self, subjects: Iterable[int]) -> Image:
        """Of these subjects at least, without ports and addresses."""
        image = Image()
        lines: dict[int, dict[tuple[Direction, int], list[Clause]]] = {
            each: {} for each in subjects
        }
        for rule in self.rules:
            atom = rule.peer.atom if rule.peer else ANYBODY
            line = lines.setdefault(rule.subject, {}).setdefault((rule.direction, atom), [])
            line += [Clause(*its, rule.tier, rule.word) for its in rule.compiled()]
        for subject, profiles in lines.items():
            naming = {
                each.direction
                for each in self.rules
                if each.subject == subject and isinstance(each.peer, Cidr)
            }
            made = {key: Profile(clauses) for key, clauses in profiles.items()}
            image.add_subject(subject, subject + 100, made, naming)
        return image

    def fill(self, world: World, image: Image) -> dict[frozenset[int], int]:
        """Identities, prefixes, and all that `image` has. The identity of each set of groups."""
        sets = {frozenset(each) for each in self.groups.values()}
        identities = {groups: number for number, groups in enumerate(sorted(sets, key=sorted), 1)}
        for groups, number in identities.items():
            image.add_identity(number, sorted(groups))
        cidrs = {each.peer for each in self.rules if isinstance(each.peer, Cidr)}
        rows = {each.prefix for each in cidrs} | {no for each in cidrs for no in each.exceptions}
        for number, row in enumerate(sorted(rows, key=str), len(identities) + 1):
            atoms = [each.atom for each in cidrs if is_within(row, each)]
            image.add_identity(number, sorted(atoms))
            image.add_prefix(TENANT, row, number)
        for name, entries in image.entries.items():
            for key, value in entries.items():
                world.put(name, key, value)
        return identities


def is_within(row: IPNetwork, cidr: Cidr) -> bool:
    """Whether all of a row is what the peer covers; a row is in an exception, or apart from it."""

    def contains(outer: IPNetwork, inner: IPNetwork) -> bool:
        return (
            outer.version == inner.version
            and outer.prefixlen <= inner.prefixlen
            and inner.network_address in outer
        )

    return contains(cidr.prefix, row) and not any(contains(no, row) for no in cidr.exceptions)


PROTOCOLS = (6, 17, 1, 58, 47, 132)


def random_stretches(chance: random.Random) -> tuple[Stretch, ...]:
    kind = chance.randrange(6)
    family = chance.choice([4, 6])
    if kind == 0:
        return (EVERYTHING,)
    if kind == 1:
        return (stretch(family),)
    if kind == 2:
        return (stretch(4, chance.choice(PROTOCOLS)), stretch(6, chance.choice(PROTOCOLS)))
    if kind == 3:
        code = chance.choice([None, 0, 3])
        return (icmp(family, chance.choice([0, 3, 8, 128]), code),)
    low = chance.choice([1, 22, 80, 443, 1000, 8000])
    ports = range(low, low + chance.choice([1, 1, 2, 400, 50000]))
    protocol = chance.choice([6, 17])
    return (stretch(4, protocol, ports), stretch(6, protocol, ports))


PREFIXES = [
    ip_network(each)
    for each in (
        *("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/28", "10.1.0.12/32"),
        *("198.51.100.0/24", "::/0", "fd00:1::/64", "fd00:1::11/128", "2001:db8::/32"),
    )
]


def random_peers(chance: random.Random, groups: int, cidrs: int) -> list[Peer]:
    peers: list[Peer] = [None, *(Group(number) for number in range(1, groups + 1))]
    for number in range(cidrs):
        prefix = chance.choice(PREFIXES)
        inner = [
            each
            for each in PREFIXES
            if each.version == prefix.version
            and each.prefixlen > prefix.prefixlen
            and each.network_address in prefix
        ]
        exceptions = tuple(chance.sample(inner, min(len(inner), chance.randrange(3))))
        peers.append(Cidr(1000 + number, prefix, exceptions))
    return peers


def random_model(chance: random.Random, rules: int, subjects: int, groups: int) -> Model:
    model = Model()
    peers = random_peers(chance, groups, 8)
    for number in range(1, rules + 1):
        model.rules.append(
            Rule(
                number,
                chance.randrange(1, subjects + 1),
                chance.choice([INGRESS, EGRESS]),
                chance.choice(peers),
                chance.choice(list(RuleAction)),
                random_stretches(chance),
                chance.choice(_TIERS),
                chance.choice([0, 1, 5, 2**31, 2**32 - 1]),
            )
        )
    addresses = [ip_address(each) for one in WORKLOADS if one.vni == RED for each in one[3:5]]
    for address in addresses:
        count = chance.choice([0, 1, 3, groups // 2, groups])
        model.groups[address] = set(chance.sample(range(1, groups + 1), min(count, 60)))
    return model


def addresses_of(workload: Workload) -> tuple[IPAddress, IPAddress]:
    return ip_address(workload.ipv4), ip_address(workload.ipv6)
