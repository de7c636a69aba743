"""Every network of Weft's is a network of this host's Docker, wherever it was made. Pure.

What is not in Docker is made there, what is no more in the records is removed there. What weftd
makes in Docker carries `records.LABEL`. What Docker refuses is not asked for again at once (see
`following`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from weft.control.notices import Notice
from weft.frontends.docker.answers import DRIVER, IpamRequest, NetworkFacts, NetworkRequest
from weft.frontends.docker.bindings import DockerNetwork
from weft.frontends.docker.names import network_name, one_line
from weft.frontends.docker.reconcile.actions import (
    Action,
    InspectNetwork,
    MakeNetwork,
    TakeBack,
    TakeOut,
    TakeOutUnused,
    Tell,
)
from weft.frontends.docker.reconcile.facts import DockerFacts, Memory, is_made_here
from weft.frontends.docker.reconcile.restore import is_stale
from weft.frontends.docker.records import (
    LABEL,
    MADE_BY,
    MADE_FOR,
    DockerRecords,
    is_name_provisional,
)
from weft.model.records import Network, Subnet
from weft.model.records.tenants import DEFAULT_TENANT
from weft.semantics.tenants import tenant_of
from weft.store.interface import View

SOURCE = "docker"


def mirror(docker: DockerFacts, records: DockerRecords, memory: Memory) -> Iterator[Action]:
    """Bring Docker's list of networks to what Weft's is, when Docker's is known."""
    if docker.listed is None:
        return
    have = {facts.name: facts for facts in docker.listed}
    ids = {facts.id for facts in docker.listed}
    for record in records.docker_networks():
        network = records.view.get(Network, record.network_id)
        if record.docker_id not in ids:
            continue
        if network is None:
            yield TakeOut(record.docker_id, record.name or record.docker_id[:12])
        elif _is_called_otherwise(record, network, have, records):
            yield from _take_out_if_unused(docker, record.docker_id, record.name)
    for facts in docker.listed:
        is_unknown = facts.driver == DRIVER and records.docker_network(facts.id) is None
        if is_unknown and facts.id not in memory.recent and is_stale(facts, records):
            yield from _take_out_if_unused(docker, facts.id, facts.name)
    yield from _take_back(records, memory)
    if _is_one_on_its_way(memory, ids, records):
        return
    for network in missing(records):
        yield from _make(network, have, records, memory)


def docker_name(network: Network, view: View) -> str:
    """What a network of Weft's is called in Docker."""
    is_default = network.tenant_id == DEFAULT_TENANT
    return network.name if is_default else f"{network.name}.{tenant_of(view, network)}"


def request_for(network: Network, name: str, subnets: Sequence[Subnet]) -> NetworkRequest:
    """What makes a network of Weft's one of Docker's."""
    labels = {key: value for key, value in network.labels if key not in (MADE_BY, MADE_FOR)}
    return NetworkRequest(
        name=name,
        is_internal=network.is_internal,
        is_ipv6=any(subnet.cidr.version == 6 for subnet in subnets),
        options={"network": network.id},
        labels={**labels, LABEL: network.id},
        ipam=IpamRequest(
            options={"network": network.id},
            config=[_config(subnet) for subnet in subnets],
        ),
    )


def refusal(network: Network, name: str, host: str, reason: str) -> Notice:
    """That a network is not in Docker, and why."""
    return Notice(
        kind="network",
        id=network.id,
        name=network.name,
        reason=f"network {network.name}: not in Docker on host {host}: {reason}",
        fix=f"on {host}: docker network rm {name}; or give Weft's another name: "
        f"weft network rename {network.id} NEW-NAME",
    )


def kept(docker_id: str, name: str, reason: str) -> Notice:
    """That Docker keeps a network that was removed, and why."""
    return Notice(
        kind="docker-network",
        id=docker_id,
        name=name,
        reason=f"network {name}: was removed, but Docker keeps it: {reason}",
        fix=f"remove what is on it, then: docker network rm {name}",
    )


def _is_called_otherwise(
    record: DockerNetwork,
    network: Network,
    have: Mapping[str, NetworkFacts],
    records: DockerRecords,
) -> bool:
    """Whether weftd made it in Docker under a name that it has no more.

    Docker gives networks no new names: one on which nothing is, is made anew.
    """
    facts = have.get(record.name)
    if facts is None or not is_made_here(facts) or is_name_provisional(network):
        return False
    return docker_name(network, records.view) not in (record.name, *have)


def _take_out_if_unused(docker: DockerFacts, docker_id: str, name: str) -> Iterator[Action]:
    if docker_id not in docker.inspected:
        yield InspectNetwork(docker_id)
        return
    facts = docker.inspected[docker_id]
    if facts is not None and not facts.containers:
        yield TakeOutUnused(docker_id, name)


def _is_one_on_its_way(memory: Memory, listed: Collection[str], records: DockerRecords) -> bool:
    """Whether Docker makes a network under a name that is not known yet: it may be any that is
    missing, and Docker would then have two of that name."""
    return any(
        id not in listed and not ((known := records.docker_network(id)) and known.name)
        for id in memory.under_way
    )


def _take_back(records: DockerRecords, memory: Memory) -> Iterator[Action]:
    """Notices about what is in Docker by now, or is no more."""
    for (source, id), notice in memory.told.items():
        if source != SOURCE:
            continue
        if notice.kind == "network":
            network = records.view.get(Network, id)
            is_over = network is None or records.is_in_docker(network)
        else:
            is_over = records.docker_network(id) is None
        if is_over:
            yield TakeBack(SOURCE, id)


def missing(records: DockerRecords) -> Iterator[Network]:
    """Networks that shall be in Docker and are not, by id."""
    names: set[str] = set()
    for network in sorted(records.view.list(Network), key=lambda one: one.id):
        if is_name_provisional(network):
            continue
        name = docker_name(network, records.view)
        is_first = name not in names  # of several that are called so, see `conflicts`
        names.add(name)
        if is_first and not records.is_in_docker(network):
            yield network


def _make(
    network: Network,
    have: Mapping[str, NetworkFacts],
    records: DockerRecords,
    memory: Memory,
) -> Iterator[Action]:
    name = docker_name(network, records.view)
    subnets = records.subnets(network)
    other = have.get(name) or _same_network(have.values(), name)
    if other is not None and other.driver == DRIVER:
        return  # on its way in or out of Docker, or contradicting: `naming` tells
    if not subnets or memory.refused.get(network.id) == request_for(network, name, subnets):
        return
    if other is None:
        yield MakeNetwork(network.id, name)
        return
    reason = f"there is a {other.driver} network of that name"
    notice = refusal(network, name, records.host_name, reason)
    if memory.told.get((SOURCE, network.id)) != notice:
        yield Tell(SOURCE, notice)


def _same_network(have: Iterable[NetworkFacts], name: str) -> NetworkFacts | None:
    """One of Weft's driver that Docker calls as Weft does not, and that will be called `name`."""
    return next(
        (
            each
            for each in have
            if each.driver == DRIVER and network_name(one_line(each.name)) == name
        ),
        None,
    )


def _config(subnet: Subnet) -> dict[str, str]:
    config = {"Subnet": str(subnet.cidr)}
    if subnet.gateway is not None:
        config["Gateway"] = str(subnet.gateway)
    return config
