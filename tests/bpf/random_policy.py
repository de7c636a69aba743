"""Records of policy as chance will have them, about the ports of `enforced.py`."""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import ip_network

from msgspec.structs import replace

from tests.bpf.enforced import EVERYBODY, NET, port_of
from tests.bpf.world import RED
from weft.model.choices import Action, Direction, Operator, PeerKind, Tier
from weft.model.ids import GroupId, NetworkId, RuleId, Vni
from weft.model.records import (
    AllowedAddress,
    Network,
    Peer,
    Requirement,
    SecurityGroup,
    SecurityRule,
    Selector,
    Tenant,
)
from weft.model.records.tenants import DEFAULT_TENANT
from weft.store.interface import Change, Delete, Put, View

GROUPS = [GroupId(f"00000000-0000-4000-8000-0000000000{20 + at}") for at in range(10)]
ELSEWHERE = NetworkId("00000000-0000-4000-8000-0000000000ab")
_RULES = 30
_PREFIXES = [
    ip_network(each)
    for each in (
        *("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/24", "10.1.0.0/28", "10.1.0.12/32", "10.1.1.0/24"),
        *("::/0", "fd00:1::/64", "fd00:1::11/128", "fd00:1:1::/64", "fd00::/16"),
    )
]
ALLOWED = [
    ip_network(each)
    for each in ("10.1.0.200/32", "10.1.0.192/28", "192.0.2.0/24", "10.1.0.0/16", "fd00:1::c8/128")
]
"""What ports may use besides their own addresses; several may use the same."""
_LABELS = (("app", "a"), ("app", "b"), ("zone", "x"), ("zone", "y"))


class RandomPolicy:
    """Changes of records, one after the other."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def changes(self, view: View, count: int) -> list[Change]:
        """Some at once, of which no two are of the same record."""
        makers: list[tuple[int, Callable[[View], Change]]] = [
            (4, self._rule),
            (2, self._group),
            (3, self._port),
            (1, self._network),
            (1, self._tenant),
        ]
        weights, those = zip(*makers, strict=True)
        found: dict[object, Change] = {}
        for make in self._chance.choices(those, weights, k=count):
            change = make(view)
            found[_name(change)] = change
        return list(found.values())

    def rules_of_one(self, view: View, count: int) -> list[Change]:
        """Some of one group alone, at once."""
        group_id = self._chance.choice(GROUPS)
        made = (self._rule(view) for _ in range(count))
        found: dict[object, Change] = {}
        for change in made:
            if isinstance(change, Put) and isinstance(change.record, SecurityRule):
                former = view.get(SecurityRule, change.record.id)
                if former is None or former.group_id == group_id:
                    found[change.record.id] = Put(replace(change.record, group_id=group_id))
        return list(found.values())

    def _rule(self, view: View) -> Change:
        chance = self._chance
        id = RuleId(f"00000000-0000-4000-8000-000000000{300 + chance.randrange(_RULES)}")
        if view.get(SecurityRule, id) is not None and chance.random() < 0.4:
            return Delete(SecurityRule, id)
        protocol = chance.choice([None, None, 6, 6, 17, 1, 58])
        first = chance.choice([None, 80, 22]) if protocol in (6, 17) else None
        last = None if first is None else chance.choice([first, first + 1, 500])
        icmp = chance.choice([None, 8, 128]) if protocol in (1, 58) else None
        return Put(
            SecurityRule(
                id=id,
                group_id=chance.choice(GROUPS),
                direction=chance.choice([Direction.INGRESS, Direction.EGRESS]),
                action=chance.choice([Action.ALLOW, Action.ALLOW, Action.DROP, Action.PASS]),
                tier=chance.choice([Tier.ADMIN, Tier.NORMAL, Tier.NORMAL, Tier.BASELINE]),
                priority=chance.choice([0, 1, 5, 1000]),
                peer=self._peer(),
                family=chance.choice([None, None, None, 4, 6]),
                protocol=protocol,
                first_port=first,
                last_port=last,
                icmp_type=icmp,
            )
        )

    def _peer(self) -> Peer:
        chance = self._chance
        kind = chance.choice(_PEERS)
        if kind is PeerKind.GROUP:
            return Peer(kind=kind, group_id=chance.choice(GROUPS))
        if kind is PeerKind.NETWORK:
            return Peer(kind=kind, network_id=chance.choice([NET, ELSEWHERE]))
        if kind is PeerKind.PORTS:
            return Peer(kind=kind, selector=self._selector())
        if kind is not PeerKind.CIDR:
            return Peer(kind=kind)
        cidr = chance.choice(_PREFIXES)
        inner = [
            each
            for each in _PREFIXES
            if each.version == cidr.version
            and each.prefixlen >= cidr.prefixlen
            and each.network_address in cidr
        ]
        excepts = tuple(chance.sample(inner, min(len(inner), chance.choice([0, 0, 1, 2]))))
        return Peer(kind=kind, cidr=cidr, excepts=excepts)

    def _selector(self) -> Selector:
        chance = self._chance
        return Selector(
            requirements=tuple(
                Requirement(
                    key=chance.choice(["app", "zone"]),
                    operator=chance.choice(list(Operator)),
                    values=tuple(chance.sample("abxy", chance.randrange(3))),
                )
                for _ in range(chance.choice([0, 1, 1, 2]))
            )
        )

    def _group(self, view: View) -> Change:
        chance = self._chance
        id = chance.choice(GROUPS)
        if view.get(SecurityGroup, id) is not None and chance.random() < 0.2:
            return Delete(SecurityGroup, id)
        return Put(
            SecurityGroup(
                id=id,
                name=f"g{id[-2:]}",
                selector=self._selector() if chance.random() < 0.4 else None,
                networks=chance.choice([(), (), (NET,), (ELSEWHERE,)]),
                denied=self._directions(),
            )
        )

    def _port(self, view: View) -> Change:
        chance = self._chance
        groups = chance.sample(GROUPS, chance.choice([0, 1, 1, 2, 3, 10]))
        labels = dict(chance.sample(_LABELS, chance.randrange(3)))
        allowed = chance.sample(ALLOWED, chance.choice([0, 0, 1, 2]))
        return Put(
            port_of(
                chance.choice(EVERYBODY),
                groups=tuple(sorted(groups)),
                labels=tuple(sorted(labels.items())),
                allowed=tuple(AllowedAddress(cidr=cidr) for cidr in allowed),
            )
        )

    def _network(self, view: View) -> Change:
        denied = self._chance.choice([None, (), self._directions(), self._directions()])
        return Put(Network(id=NET, name="net", vni=Vni(RED), denied=denied))

    def _tenant(self, view: View) -> Change:
        return Put(Tenant(id=DEFAULT_TENANT, name="default", denied=self._directions()))

    def _directions(self) -> tuple[Direction, ...]:
        both = (Direction.EGRESS, Direction.INGRESS)
        return self._chance.choice([(), both[:1], both[1:], both, both])


_PEERS = (
    *(PeerKind.ANY, PeerKind.GROUP, PeerKind.GROUP, PeerKind.GROUP, PeerKind.NETWORK),
    *(PeerKind.CIDR, PeerKind.CIDR, PeerKind.CIDR, PeerKind.PORTS, PeerKind.PORTS, PeerKind.OTHER),
)


def _name(change: Change) -> object:
    if isinstance(change, Put):
        return type(change.record), change.record.id
    return change.kind, change.id
