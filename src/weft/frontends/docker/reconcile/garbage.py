"""What Docker has no more: its ports, networks and pools go. Pure.

Things that Docker has spoken of just now are left alone, since they may be on their way into
Docker's own store.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.frontends.docker.reconcile.actions import (
    Action,
    ForgetNetwork,
    MeetPool,
    ReleasePool,
    RemoveLeftover,
    RemoveNetwork,
    RemovePort,
)
from weft.frontends.docker.reconcile.facts import DockerFacts, Memory
from weft.frontends.docker.records import DockerRecords, is_made_by_docker
from weft.model.records import Network, Subnet


def remove_garbage(docker: DockerFacts, records: DockerRecords, memory: Memory) -> Iterator[Action]:
    """Nothing, unless everything that Docker has is known."""
    if docker.is_everything:
        yield from _ports(docker, records, memory)
        yield from _networks(docker, records, memory)
        yield from _pools(records, memory)


def _ports(docker: DockerFacts, records: DockerRecords, memory: Memory) -> Iterator[Action]:
    kept = docker.endpoints | memory.recent
    for port in records.ports():
        if port.owner.reference not in kept:
            label = port.owner.container_name or port.owner.reference[:12]
            yield RemovePort(port.id, label)


def _networks(docker: DockerFacts, records: DockerRecords, memory: Memory) -> Iterator[Action]:
    for record in records.docker_networks():
        if docker.inspected.get(record.docker_id) or record.docker_id in memory.recent:
            continue
        name = record.name or record.docker_id[:12]
        if record.engine == docker.engine:
            yield RemoveNetwork(record.docker_id, name)
        else:
            yield ForgetNetwork(record.docker_id, name)
    for network in records.view.list(Network):
        is_ours = is_made_by_docker(network, records.host_id)
        if is_ours and not any(records.anywhere(network)):
            yield RemoveLeftover(network.id)


def _pools(records: DockerRecords, memory: Memory) -> Iterator[Action]:
    """Pools whose network never came. One that is met for the first time gets its grace."""
    for subnet in records.view.list(Subnet):
        if subnet.network_id is not None:
            continue
        if subnet.id not in memory.touched:
            yield MeetPool(subnet.id)
        elif subnet.id not in memory.recent:
            yield ReleasePool(subnet.id, subnet.cidr)
