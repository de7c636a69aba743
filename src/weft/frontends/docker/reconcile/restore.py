"""Networks that Docker has and Weft has lost: by which calls Docker once made them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weft.frontends.docker import protocol
from weft.frontends.docker.answers import NetworkFacts, PoolConfig
from weft.frontends.docker.names import network_name, one_line
from weft.frontends.docker.options import parse_prefix
from weft.frontends.docker.reconcile.actions import Action, RestoreNetwork
from weft.frontends.docker.reconcile.facts import DockerFacts, Memory, is_made_here
from weft.frontends.docker.records import LABEL, DockerRecords
from weft.ipam.intervals import usable
from weft.model.records import Network


def restore(docker: DockerFacts, records: DockerRecords, memory: Memory) -> Iterator[Action]:
    """Networks to make again. One that weftd once made in Docker is none of Docker's own; if what
    it was is gone, and nothing is on it, it is left to `mirror` to take it out."""
    for facts in docker.networks:
        is_known = records.docker_network(facts.id) is not None or facts.id in memory.recent
        if not is_known and not is_stale(facts, records):
            yield RestoreNetwork(facts.id, facts.name)


def is_stale(facts: NetworkFacts, records: DockerRecords) -> bool:
    """Whether it was made to be a network that is gone, and nothing is on it."""
    return is_made_here(facts) and not _is_still_there(facts, records) and not facts.containers


def pool_requests(facts: NetworkFacts) -> Iterator[tuple[protocol.RequestPool, Sequence[str]]]:
    """The pools that were asked of Weft's IPAM driver, with the addresses that were taken out."""
    for config in facts.ipam.config or () if _is_ours(facts) else ():
        if config.subnet:
            request = protocol.RequestPool(pool=config.subnet, sub_pool=config.ip_range)
            yield request, tuple((config.auxiliary or {}).values())


def network_request(facts: NetworkFacts, records: DockerRecords) -> protocol.CreateNetwork:
    """The call that made the network."""
    pools: dict[int, list[protocol.Pool]] = {4: [], 6: []}
    for config in facts.ipam.config or ():
        if not config.subnet:
            continue
        pools[6 if ":" in config.subnet else 4].append(
            protocol.Pool(
                address_space=protocol.ADDRESS_SPACE if _is_ours(facts) else "",
                pool=config.subnet,
                gateway=f"{_gateway(config)}/{config.subnet.partition('/')[2]}",
                auxiliary=config.auxiliary,
            )
        )
    return protocol.CreateNetwork(
        network=facts.id,
        options={
            protocol.GENERIC: _options(facts, records),
            protocol.INTERNAL: facts.is_internal,
            protocol.ENABLE_IPV6: facts.is_ipv6,
        },
        ipv4=pools[4],
        ipv6=pools[6],
    )


def _is_ours(facts: NetworkFacts) -> bool:
    return facts.ipam.driver == protocol.ADDRESS_SPACE


def _is_still_there(facts: NetworkFacts, records: DockerRecords) -> bool:
    """Whether the network is there that it was made to be."""
    return records.view.get(Network, (facts.labels or {}).get(LABEL, "")) is not None


def _options(facts: NetworkFacts, records: DockerRecords) -> dict[str, str]:
    """The options, with the name that Docker did not tell when it made the network."""
    options = dict(facts.options or {})
    is_lost = is_made_here(facts) and not _is_still_there(facts, records)
    if not is_lost and ("network" in options or "id" in options):
        return options
    for key in ("network", "id"):
        options.pop(key, None)
    return {"name": network_name(one_line(facts.name)), **options}


def _gateway(config: PoolConfig) -> str:
    """A subnet's gateway; where its maker named none, the address that Docker has taken for it."""
    if config.gateway:
        return config.gateway.partition("/")[0]
    first, last = usable(parse_prefix("subnet", config.subnet))
    part = parse_prefix("ip-range", config.ip_range or config.subnet)
    taken = {text.partition("/")[0] for text in (config.auxiliary or {}).values()}
    candidates = range(max(first, int(part.network_address)), last + 1)
    make = type(part.network_address)
    return next(str(make(n)) for n in candidates if str(make(n)) not in taken)
