"""Networks that Docker has and Weft has lost: made again from what Docker knows of them."""

from __future__ import annotations

import structlog

from weft.errors import WeftError
from weft.frontends.docker import protocol
from weft.frontends.docker.dockerd import NetworkFacts, PoolConfig
from weft.frontends.docker.ipam import IpamCalls
from weft.frontends.docker.names import network_name, one_line
from weft.frontends.docker.networks import ADDRESS_SPACE, NetworkCalls
from weft.frontends.docker.options import parse_prefix
from weft.frontends.docker.state import LABEL, DockerState
from weft.ipam.intervals import usable
from weft.model.records import Network

log = structlog.get_logger()


class NetworkRestorer:
    """Repeats the calls by which Docker once made a network."""

    def __init__(self, state: DockerState, networks: NetworkCalls, ipam: IpamCalls) -> None:
        self._state = state
        self._networks = networks
        self._ipam = ipam

    async def restore(self, facts: NetworkFacts) -> None:
        """Docker has a network that Weft has lost: make it again from what Docker knows.

        One that weftd once made in Docker is none of Docker's own; if what it was is gone, and
        nothing is on it, it is left to `mirror` to take it out.
        """
        if self._state.docker_network(facts.id) is not None or self._state.is_fresh(facts.id):
            return
        if is_stale(self._state, facts):
            return
        try:
            await self._networks.create(await self._request_again(facts))
        except WeftError as error:
            log.error(
                "docker network cannot be restored",
                network=facts.name,
                reason=str(error),
                fix="remove it in Docker and create it again",
            )
        else:
            log.warning("docker network restored", network=facts.name)

    async def _request_again(self, facts: NetworkFacts) -> protocol.CreateNetwork:
        is_ours = facts.ipam.driver == ADDRESS_SPACE
        pools: dict[int, list[protocol.Pool]] = {4: [], 6: []}
        for config in facts.ipam.config or ():
            if not config.subnet:
                continue
            if is_ours:
                await self._request_pool_again(config)
            pools[6 if ":" in config.subnet else 4].append(
                protocol.Pool(
                    address_space=ADDRESS_SPACE if is_ours else "",
                    pool=config.subnet,
                    gateway=f"{_gateway(config)}/{config.subnet.partition('/')[2]}",
                    auxiliary=config.auxiliary,
                )
            )
        return protocol.CreateNetwork(
            network=facts.id,
            options={
                protocol.GENERIC: self._options_again(facts),
                protocol.INTERNAL: facts.is_internal,
                protocol.ENABLE_IPV6: facts.is_ipv6,
            },
            ipv4=pools[4],
            ipv6=pools[6],
        )

    def _options_again(self, facts: NetworkFacts) -> dict[str, str]:
        """The options, with the name that Docker did not tell when it made the network."""
        options = dict(facts.options or {})
        is_lost = is_made_here(facts) and not is_still_there(self._state, facts)
        if not is_lost and ("network" in options or "id" in options):
            return options
        for key in ("network", "id"):
            options.pop(key, None)
        return {"name": network_name(one_line(facts.name)), **options}

    async def _request_pool_again(self, config: PoolConfig) -> None:
        pool = await self._ipam.request_pool(
            protocol.RequestPool(pool=config.subnet, sub_pool=config.ip_range)
        )
        for address in (config.auxiliary or {}).values():
            await self._ipam.request_address(protocol.RequestAddress(pool=pool.id, address=address))


def is_made_here(facts: NetworkFacts) -> bool:
    """Whether weftd made it in Docker, to be a network of Weft's."""
    return LABEL in (facts.labels or {})


def is_still_there(state: DockerState, facts: NetworkFacts) -> bool:
    """Whether the network is there that it was made to be."""
    return state.control.view.get(Network, (facts.labels or {}).get(LABEL, "")) is not None


def is_stale(state: DockerState, facts: NetworkFacts) -> bool:
    """Whether it was made to be a network that is gone, and nothing is on it."""
    return is_made_here(facts) and not is_still_there(state, facts) and not facts.containers


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
