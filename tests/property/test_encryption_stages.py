"""Encryption is turned on and off, and no two hosts ever disagree on what they send and take.

Hosts change their settings, hear of each other's records in any order and as late as they like,
and their kernels follow their views when they come round to it.
"""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.model.addresses import IPNetwork
from weft.model.choices import EncryptionStage
from weft.model.ids import HostId
from weft.model.records import Cluster, Host, HostKeys
from weft.topology.encryption import (
    Party,
    Way,
    is_settled,
    knows_key,
    next_end,
    takes_plain,
    way_between,
)

PLAIN = IPv4Network("192.0.2.0/31")
"""Holds the addresses of the first two hosts."""


def a(number: int) -> IPv4Address:
    return IPv4Address("192.0.2.0") + number


class Kernel:
    """What one host's kernel sends to and takes from the others."""

    def __init__(self, cluster: Cluster, me: Party, others: list[Party]) -> None:
        mine = me.underlay[0]
        self.ways = {o.id: way_between(cluster, me, o, mine, o.underlay[0]) for o in others}
        self.plain = {o.id for o in others if takes_plain(cluster, me, o, o.underlay[0])}
        self.keys = {o.id for o in others if knows_key(cluster, me, o)}


class Simulation:
    """Some hosts, each with its own view of all records."""

    def __init__(self, count: int) -> None:
        self.clusters = [Cluster()]
        self.records = [[self._host(number)] for number in range(count)]
        self.seen: list[list[int]] = []
        """By host: the version that it has of each host's record, and last of the settings."""
        self.kernels: list[Kernel] = []
        self.applied: list[tuple[Party, Cluster]] = []
        for number in range(count):
            self.seen.append([0] * (count + 1))
            self.kernels.append(self._kernel(number))
            self.applied.append((self.records[number][-1], self.clusters[0]))

    def _host(self, number: int) -> Party:
        id = HostId(f"{number:016x}")
        end = HostKeys(id=id, host_id=id, public_key=f"key{number}", port=1)
        return Party(Host(id=id, name=f"h{number}", underlay=(a(number),)), end)

    def join(self) -> None:
        """A host that nobody knows and that knows nobody."""
        number = len(self.records)
        self.records.append([self._host(number)])
        for seen in self.seen:
            seen.insert(-1, -1)
        self.seen.append([-1] * number + [0, 0])
        self.kernels.append(self._kernel(number))
        self.applied.append((self.records[number][-1], self.cluster(number)))

    def cluster(self, number: int) -> Cluster:
        return self.clusters[self.seen[number][-1]]

    def others(self, number: int) -> list[Party]:
        return [
            self.records[other][version]
            for other, version in enumerate(self.seen[number][:-1])
            if other != number and version >= 0
        ]

    def _kernel(self, number: int) -> Kernel:
        return Kernel(self.cluster(number), self.records[number][-1], self.others(number))

    def change(self, number: int, is_encrypted: bool, plain: tuple[IPNetwork, ...]) -> None:
        """Somebody at this host changes the settings; exceptions only when all is quiet."""
        now = self.clusters[-1]
        if self.seen[number][-1] != len(self.clusters) - 1:
            return
        known = [self.records[number][-1], *self.others(number)]
        if plain != now.plain_underlays and not is_settled(now, known):
            plain = now.plain_underlays
        self.clusters.append(
            Cluster(
                is_encrypted=is_encrypted,
                plain_underlays=plain,
                former_plain_underlays=now.plain_underlays
                if plain != now.plain_underlays
                else now.former_plain_underlays,
                encryption_id=f"change{len(self.clusters)}",
            )
        )
        self.seen[number][-1] += 1

    def hear(self, number: int, about: int, lag: int) -> None:
        """A host gets a later version of a record, not always the last."""
        about %= len(self.records) + 1
        versions = self.clusters if about == len(self.records) else self.records[about]
        at = self.seen[number][about]
        self.seen[number][about] = max(at, len(versions) - 1 - lag)

    def work(self, number: int, lag: int, has_heard: bool) -> None:
        """A host hears of all, nearly up to date, or of nothing, and does what it can."""
        for about in range(len(self.records) + 1 if has_heard else 0):
            self.hear(number, about, lag)
        self.apply(number)
        self.step(number)

    def apply(self, number: int) -> None:
        """The kernel comes to hold what the view says."""
        self.kernels[number] = self._kernel(number)
        self.applied[number] = (self.records[number][-1], self.cluster(number))

    def step(self, number: int) -> None:
        """The host publishes what is in force, or goes on."""
        me, cluster = self.records[number][-1], self.cluster(number)
        is_in_force = self.applied[number] == (me, cluster)
        end = next_end(cluster, me, self.others(number), is_in_force=is_in_force)
        if end != me.wireguard:
            self.records[number].append(me._replace(wireguard=end))
            self.seen[number][number] = len(self.records[number]) - 1

    def check(self, count: int) -> None:
        """What one of the first hosts sends, the other takes."""
        for sender in range(count):
            for receiver in range(count):
                if sender == receiver:
                    continue
                how = self.kernels[sender].ways[self.records[receiver][0].id]
                id = self.records[sender][0].id
                taking = self.kernels[receiver]
                is_taken = id in (taking.plain if how is Way.PLAIN else taking.keys)
                assert how is not Way.NONE and is_taken, f"{sender} -> {receiver}: {how}"

    def quiesce(self) -> None:
        """All is heard and done."""
        for _ in range(12):
            for number in range(len(self.records)):
                for about in range(len(self.records) + 1):
                    self.hear(number, about, 0)
                self.apply(number)
                self.step(number)


numbers = st.integers(0, 3)
exceptions = st.sampled_from([(), (PLAIN,)])
actions = st.lists(
    st.one_of(
        st.tuples(st.just("change"), numbers, st.booleans(), exceptions),
        st.tuples(st.just("hear"), numbers, st.integers(0, 7), st.integers(0, 2)),
        st.tuples(st.just("hear"), numbers, st.integers(0, 7), st.just(0)),
        st.tuples(st.just("work"), numbers, st.just(0), st.booleans()),
        st.tuples(st.just("apply"), numbers),
        st.tuples(st.just("step"), numbers),
        st.tuples(st.just("quiesce")),
    ),
    max_size=80,
)


def act_at_random(simulation: Simulation, chance: random.Random) -> None:
    """One thing happens somewhere; changes of the settings are rare enough to get through."""
    number, about = chance.randrange(3), chance.randrange(4)
    match chance.choices(("hear", "apply", "step", "work", "change"), (30, 10, 15, 45, 2))[0]:
        case "hear":
            simulation.hear(number, about, chance.choice((0, 0, 1, 2)))
        case "apply":
            simulation.apply(number)
        case "step":
            simulation.step(number)
        case "work":
            simulation.work(number, chance.choice((0, 1)), chance.random() < 0.5)
        case "change":
            simulation.change(number, chance.random() < 0.5, chance.choice(((), (PLAIN,))))


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_heard_when_what_one_sends_the_other_takes(seed: int) -> None:
    chance = random.Random(seed)
    simulation = Simulation(3)
    for _ in range(1500):
        act_at_random(simulation, chance)
        simulation.check(3)
    for _ in range(2):
        simulation.quiesce()
    simulation.check(3)
    wanted = simulation.clusters[-1]
    assert is_settled(wanted, [versions[-1] for versions in simulation.records])


@settings(max_examples=100)
@given(actions)
def test_hosts_that_join_disturb_nobody_and_never_send_plain_to_one_that_refuses(
    todo: list[tuple[object, ...]],
) -> None:
    simulation = Simulation(2)
    simulation.change(0, True, ())
    simulation.quiesce()
    simulation.join()
    simulation.join()
    for action, *arguments in todo:
        if action == "hear":
            arguments[-1] = 0
        if action != "change":
            getattr(simulation, str(action))(*arguments)
        simulation.check(2)
        for number in (2, 3):
            ways = simulation.kernels[number].ways
            assert Way.PLAIN not in (ways.get(simulation.records[old][0].id) for old in (0, 1))
    simulation.quiesce()
    simulation.check(4)
    ends = [versions[-1].wireguard for versions in simulation.records]
    assert {end.in_force for end in ends if end} == {EncryptionStage.REFUSES}


def test_a_host_that_is_down_holds_up_a_change_and_nothing_else() -> None:
    simulation = Simulation(3)
    simulation.change(0, True, ())
    for _ in range(20):
        for number in (0, 1):
            for about in range(4):
                simulation.hear(number, about, 0)
            simulation.apply(number)
            simulation.step(number)
            simulation.check(3)
    ends = [versions[-1].wireguard for versions in simulation.records]
    assert [end.stage for end in ends if end] == [EncryptionStage.OFF] * 3


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_a_host_alone_needs_nobody(is_encrypted: bool) -> None:
    simulation = Simulation(1)
    simulation.change(0, is_encrypted, ())
    simulation.quiesce()
    assert is_settled(simulation.clusters[-1], [simulation.records[0][-1]])
