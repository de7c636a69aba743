"""While rules are replaced, packets meet the old ones or the new ones, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.bpf.enforced import Enforced, port_of
from tests.bpf.judged import segment
from tests.bpf.test_enforcement import DB, DROP, IN, WEB, emptied, group, of_group, rule
from tests.bpf.world import ANN, BOB, World
from weft.model.ids import GroupId
from weft.model.records import Peer, SecurityRule
from weft.store.interface import Change, Delete, Put

TURNS = 150
OTHERS = GroupId("00000000-0000-4000-8000-000000000209")


@pytest.fixture
def enforced(world: World) -> Iterator[Enforced]:
    yield from emptied(world)


class Sender(threading.Thread):
    """Begins connections from Ann to Bob until it is told to end."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._ends = threading.Event()
        self.sent = 0
        self.let_through = 0

    def run(self) -> None:
        while not self._ends.is_set():
            self.sent += 1
            ports = (1024 + self.sent % 60000, 80)
            outcome = self._world.send(ANN, segment(ANN, BOB, ports=ports))
            self.let_through += outcome.target == BOB.device

    def end(self) -> None:
        self._ends.set()
        self.join()


def either(is_first: bool) -> list[Change]:
    """All but a group are let in; or nobody is but another group. Ann, of the former, never is."""
    if is_first:
        peers = (rule(1, peer=Peer()), rule(2, DROP, priority=1, peer=of_group(DB)))
        return [*map(Put, peers), Delete(SecurityRule, rule(3).id)]
    peers = (rule(1, DROP, peer=Peer()), rule(3, priority=1, peer=of_group(OTHERS)))
    return [*map(Put, peers), Delete(SecurityRule, rule(2).id)]


def test_who_neither_the_old_nor_the_new_rules_let_in_never_gets_in(enforced: Enforced) -> None:
    enforced.put(group(WEB, IN), group(DB), group(OTHERS), port_of(ANN, groups=(DB,)))
    assert not enforced.change(*either(True))
    enforced.put(port_of(BOB, groups=(WEB,)))
    sender = Sender(enforced.world)
    sender.start()
    try:
        for turn in range(TURNS):
            assert not enforced.change(*either(turn % 2 == 1))
    finally:
        sender.end()
    assert sender.sent > TURNS
    assert sender.let_through == 0
