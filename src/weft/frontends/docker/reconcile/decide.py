"""What is to be done, from what Docker has and what the records say. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from weft.frontends.docker.reconcile.actions import Action
from weft.frontends.docker.reconcile.containers import name_ports
from weft.frontends.docker.reconcile.facts import DockerFacts, Memory
from weft.frontends.docker.reconcile.garbage import remove_garbage
from weft.frontends.docker.reconcile.grouping import group_ports
from weft.frontends.docker.reconcile.leftovers import clear_leftovers
from weft.frontends.docker.reconcile.mirror import mirror
from weft.frontends.docker.reconcile.naming import name_networks
from weft.frontends.docker.reconcile.restore import restore
from weft.frontends.docker.records import DockerRecords

Decide = Callable[[DockerFacts, DockerRecords, Memory], Iterator[Action]]

_STEPS: Sequence[Decide] = (
    restore,
    name_networks,
    remove_garbage,
    clear_leftovers,
    name_ports,
    group_ports,
    mirror,
)
"""In the order in which their actions are carried out."""
_OF_CONTAINERS: Sequence[Decide] = (name_ports, group_ports)


def decide(docker: DockerFacts, records: DockerRecords, memory: Memory) -> Iterator[Action]:
    """All that is to be done, as far as it is known now.

    What is known in part gives actions that ask for the rest. `looks` carries out those of one kind
    and decides anew, for an action may make others needless, or possible.
    """
    return chain.from_iterable(step(docker, records, memory) for step in _STEPS)


def of_containers(docker: DockerFacts, records: DockerRecords, memory: Memory) -> Iterator[Action]:
    """What is to be done about containers alone."""
    return chain.from_iterable(step(docker, records, memory) for step in _OF_CONTAINERS)
