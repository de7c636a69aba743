"""What Docker calls a network, and which network of the cluster it therefore is. Pure.

Docker asks for a network before it says what it calls it. So a network is made under a provisional
name, and once the name is known it is either new in the cluster, then the network gets it; or a
network of the cluster has it, then the two become one while nobody uses the new one; or they
contradict each other, then both stay, and nothing can be put on the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from weft.control.notices import Notice
from weft.control.references import networks_named
from weft.frontends.docker.answers import NetworkFacts
from weft.frontends.docker.bindings import DockerNetwork
from weft.frontends.docker.names import labels as carried
from weft.frontends.docker.names import network_name, one_line
from weft.frontends.docker.reconcile.actions import (
    Action,
    InspectNetwork,
    MergeNetwork,
    Remember,
    RenameNetwork,
    TakeBack,
    Tell,
)
from weft.frontends.docker.reconcile.difference import difference, wanted_by
from weft.frontends.docker.reconcile.facts import DockerFacts, Memory
from weft.frontends.docker.records import (
    LABEL,
    DockerRecords,
    is_made_for,
    is_name_provisional,
    provisional_name,
)
from weft.model.records import Network
from weft.semantics.tenants import tenant_of

SOURCE = "docker name"
OTHERWISE = "docker name taken otherwise"


class _Verdict(NamedTuple):
    """What follows from a network's name."""

    contradiction: str | None
    """Why nothing may be put on it; empty: something may. None: that stays as it is."""
    action: Action | None = None


_OPEN = _Verdict(None)


def name_networks(docker: DockerFacts, records: DockerRecords, memory: Memory) -> Iterator[Action]:
    """Let each network of this host's Docker be what its name says."""
    known = set()
    for record in records.docker_networks():
        known.add(record.docker_id)
        yield from _name(record, docker, records, memory)
    for source, id in memory.told:
        if source in (SOURCE, OTHERWISE) and id not in known:
            yield TakeBack(source, id)


def _name(
    record: DockerNetwork, docker: DockerFacts, records: DockerRecords, memory: Memory
) -> Iterator[Action]:
    facts = docker.inspected.get(record.docker_id)
    learnt = record
    if facts is not None:
        name = one_line(facts.name) or record.name
        learnt = replace(record, name=name, engine=docker.engine or record.engine)
    network = records.view.get(Network, record.network_id)
    if network is None or not learnt.name:
        if learnt != record:
            yield Remember(learnt)
        return
    verdict = _verdict(learnt, network, docker, records, memory)
    if verdict.contradiction is not None:
        learnt = replace(learnt, is_name_awaited=False, contradiction=verdict.contradiction)
    if learnt != record:
        yield Remember(learnt)
    if verdict.action is not None:
        yield verdict.action
    for source, notice in (
        (SOURCE, _notice_of_contradiction(learnt)),
        (OTHERWISE, _notice_of_another_name(learnt, network)),
    ):
        told = memory.told.get((source, record.docker_id))
        if notice is not None and notice != told:
            yield Tell(source, notice)
        elif notice is None and told is not None:
            yield TakeBack(source, record.docker_id)


def _verdict(
    record: DockerNetwork,
    network: Network,
    docker: DockerFacts,
    records: DockerRecords,
    memory: Memory,
) -> _Verdict:
    if is_made_for(network, record.docker_id):
        return _verdict_on_own(record, network, docker, records, memory)
    if not (record.is_name_awaited or record.contradiction) or is_name_provisional(network):
        return _OPEN
    return _Verdict(_mistaken(record, network))


def _verdict_on_own(
    record: DockerNetwork,
    network: Network,
    docker: DockerFacts,
    records: DockerRecords,
    memory: Memory,
) -> _Verdict:
    """On a network that was made for Docker's."""
    name = network_name(record.name)
    is_provisional = network.name == provisional_name(record.docker_id)
    if not is_provisional and network.name != name:
        return _Verdict("")
    full = f"{tenant_of(records.view, network)}/{name}"
    others = [other for other in networks_named(records.view, full) if other.id != network.id]
    if not others:
        return _Verdict("", _named(record, network, docker))
    other = _preferred(others, records)
    if records.users(network):
        return _Verdict(_in_use(network, other) if is_provisional else "")
    if not is_provisional and not _gives_way(network, other, records):
        return _Verdict("")
    reason = _difference(network, other, records, memory)
    if not reason:
        return _Verdict(None, MergeNetwork(network.id, other.id))
    return _Verdict(reason if is_provisional else "")


def _named(record: DockerNetwork, network: Network, docker: DockerFacts) -> Action | None:
    """Have a network get Docker's name for it, and its labels with the name: other hosts make it
    in their Docker as soon as it has one."""
    name = network_name(record.name)
    is_provisional = network.name != name
    if is_provisional and record.docker_id not in docker.inspected:
        return InspectNetwork(record.docker_id)
    new = _new_labels(network, docker.inspected.get(record.docker_id))
    return RenameNetwork(network.id, network.name, name, new) if is_provisional or new else None


def _new_labels(network: Network, facts: NetworkFacts | None) -> tuple[tuple[str, str], ...]:
    """Labels that a network has in Docker, and not in Weft."""
    if facts is None or not facts.labels:
        return ()
    known = {LABEL, *(key for key, _ in network.labels)}
    return tuple(sorted((k, v) for k, v in carried(facts.labels).items() if k not in known))


def _preferred(others: Sequence[Network], records: DockerRecords) -> Network:
    """Of several with the name, one that is used; among equals the smallest id."""
    return min(others, key=lambda network: (not records.users(network), network.id))


def _gives_way(network: Network, other: Network, records: DockerRecords) -> bool:
    """Whether an unused network gives way to another of its name. Of two hosts that decide this at
    once, each about its own network, at most one may come to yes."""
    return bool(records.users(other)) or other.id < network.id


def _difference(network: Network, other: Network, records: DockerRecords, memory: Memory) -> str:
    subnets = records.subnets(network)
    if not other.is_internal and all(subnet.id in memory.chosen for subnet in subnets):
        subnets = ()  # nobody asked for these: the other gets them beside its own
    return difference(wanted_by(network, subnets), other, records.subnets(other))


def _in_use(network: Network, other: Network) -> str:
    return (
        f"network {other.name}: is in the cluster already, and what Docker called so is in use "
        f"as {network.name}; remove what is on it, or choose another name"
    )


def _mistaken(record: DockerNetwork, network: Network) -> str:
    """Why a network that was taken for another one by its subnets is not that one; empty: it is."""
    if network.name == network_name(record.name):
        return ""
    return (
        f"network {record.name}: its subnet is that of network {network.name}; choose another "
        f"subnet, or join that network with -o network={network.name}"
    )


def _notice_of_contradiction(record: DockerNetwork) -> Notice | None:
    if not record.contradiction:
        return None
    fix = f"docker network rm {record.name}; the cluster's network then comes by itself"
    return Notice("docker-network", record.docker_id, record.name, record.contradiction, fix)


def _notice_of_another_name(record: DockerNetwork, network: Network) -> Notice | None:
    """A notice for a network that Weft calls otherwise, for Weft does not take Docker's name."""
    name = network_name(record.name)
    if name == record.name or network.name != name:
        return None
    reason = (
        f"network {record.name}: Weft takes no such name; in Weft, and in the Docker of other "
        f"hosts, it is {name}"
    )
    fix = (
        "to call it alike everywhere, remove it in Docker and make it under a name of 1 to 63 "
        "letters, digits, '_', '.' and '-'"
    )
    return Notice("docker-network", record.docker_id, record.name, reason, fix)
