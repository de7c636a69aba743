"""While rules are written, nothing passes that neither the old nor the new ones allow: after
whatever write another packet comes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self

import pytest
from msgspec.structs import replace

from tests.bpf.enforced import NET, Enforced, port_of
from tests.bpf.random_policy import RandomPolicy
from tests.bpf.test_enforcement import ALLOW, DROP, IN, WEB, emptied, group, of_group, rule
from tests.bpf.test_enforcement_models import (
    CHANGES,
    FIRST,
    MODELS,
    OTHERS,
    PACKETS,
    Flow,
    Traffic,
    frame,
    says,
)
from tests.bpf.wire import TCP
from tests.bpf.world import ANN, BOB, World
from weft.model.addresses import ip_address, ip_network
from weft.model.choices import PeerKind
from weft.model.ids import GroupId
from weft.model.records import AllowedAddress, Peer, Record, SecurityRule
from weft.semantics.policy import Packet
from weft.store.interface import Delete, Put

CLUB = GroupId("00000000-0000-4000-8000-000000000299")


@pytest.fixture
def enforced(world: World) -> Iterator[Enforced]:
    yield from emptied(world)


class Between:
    """Sends flows anew after each write to a table, and notes which of them got through."""

    def __init__(self, enforced: Enforced, flows: Sequence[Flow], traffic: Traffic) -> None:
        self.let: dict[Flow, str] = {}
        """After which table's write."""
        self._enforced = enforced
        self._flows = flows
        self._traffic = traffic

    def __enter__(self) -> Self:
        for name, driver in self._enforced.drivers.items():
            driver.write = partial(self._written, name, driver.write)  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        for driver in self._enforced.drivers.values():
            del driver.write

    def _written(self, name: str, write: Callable[..., Any], *rows: Any) -> Any:
        failures = write(*rows)
        for flow in self._flows:
            fresh = self._traffic.again(flow)
            if self._enforced.is_sent(flow.sender, flow.target, frame(fresh)):
                self.let.setdefault(flow, name)
        return failures


@pytest.mark.parametrize("turn", range(MODELS))
def test_random_changes(enforced: Enforced, turn: int) -> None:
    """One record changes, or the rules of one group do: what is of several may be mixed."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    policy, traffic = RandomPolicy(chance), Traffic(chance, OTHERS)
    assert not enforced.change(*policy.changes(enforced.store, FIRST))
    for change in range(CHANGES // 2):
        flows = [traffic.flow() for _ in range(PACKETS // 2)]
        before = [says(enforced, flow) for flow in flows]
        changes = policy.changes(enforced.store, 1)
        if chance.random() < 0.5:
            changes = policy.rules_of_one(enforced.store, 8)
        with Between(enforced, flows, traffic) as between:
            assert not enforced.change(*changes)
        for flow, was in zip(flows, before, strict=True):
            is_allowed = was or says(enforced, flow)
            note = f"seed {seed}, change {change}: {flow} after {between.let.get(flow)}: {changes}"
            assert is_allowed or flow not in between.let, note


def cidr(text: str) -> Peer:
    return Peer(kind=PeerKind.CIDR, cidr=ip_network(text))


VIP = "10.1.0.200"
PEERS: dict[str, tuple[Peer, str]] = {
    "an address": (cidr("10.1.0.11/32"), ANN.ipv4),
    "a prefix": (cidr("10.1.0.0/24"), ANN.ipv4),
    "a member": (of_group(CLUB), ANN.ipv4),
    "what a member may use": (of_group(CLUB), VIP),
    "the network": (Peer(kind=PeerKind.NETWORK, network_id=NET), ANN.ipv4),
    "what is in its subnet": (Peer(kind=PeerKind.NETWORK, network_id=NET), VIP),
}


def sent(source: str) -> Flow:
    packet = Packet(TCP, 30000, 80)
    return Flow(ANN, BOB, ip_address(source), ip_address(BOB.ipv4), packet)


def people() -> tuple[Record, ...]:
    """Ann is a member of the club and may use one more address; Bob lets nobody in."""
    vip = AllowedAddress(cidr=ip_network(VIP))
    return (
        group(WEB, IN),
        group(CLUB),
        port_of(ANN, groups=(CLUB,), allowed=(vip,)),
        port_of(BOB, groups=(WEB,)),
    )


@pytest.mark.parametrize(("peer", "source"), PEERS.values(), ids=PEERS)
def test_whoever_is_excepted_from_the_first_rules(
    enforced: Enforced, peer: Peer, source: str
) -> None:
    """From nobody to all but some."""
    enforced.put(*people())
    flow = sent(source)
    with Between(enforced, [flow], Traffic(random.Random(1))) as between:
        changes = rule(1, ALLOW, priority=5), rule(2, DROP, peer=peer, priority=1)
        assert not enforced.change(*map(Put, changes))
    assert not says(enforced, flow) and not between.let
    assert enforced.is_open(BOB, ANN), "or nothing gets anywhere"


@pytest.mark.parametrize(("peer", "source"), PEERS.values(), ids=PEERS)
def test_who_is_excepted_changes_its_name(enforced: Enforced, peer: Peer, source: str) -> None:
    """It was another prefix or peer, within or around this one, that was dropped."""
    for former in ("10.1.0.11/32", f"{VIP}/32", "10.1.0.0/16", "10.0.0.0/8"):
        enforced.put(*people(), rule(1, ALLOW, priority=5), rule(3, DROP, peer=cidr(former)))
        was = says(enforced, sent(source))
        with Between(enforced, [sent(source)], Traffic(random.Random(1))) as between:
            changes = Put(rule(2, DROP, peer=peer, priority=1)), Delete(SecurityRule, rule(3).id)
            assert not enforced.change(*changes)
        assert not says(enforced, sent(source))
        assert was or not between.let, former
        enforced.change(Delete(SecurityRule, rule(2).id), Delete(SecurityRule, rule(1).id))


def test_the_wider_prefix_is_replaced_by_a_narrower_one_and_back(enforced: Enforced) -> None:
    """Both drop what is sent: it must not slip through where the one goes and the other comes."""
    wide, narrow = cidr("10.0.0.0/8"), cidr("10.1.0.0/28")
    dropping = rule(2, DROP, peer=wide, priority=1)
    enforced.put(*people(), rule(1, ALLOW, priority=5), dropping)
    for peer in (narrow, wide, narrow):
        with Between(enforced, [sent(ANN.ipv4)], Traffic(random.Random(1))) as between:
            enforced.put(replace(dropping, peer=peer))
        assert not between.let, peer
