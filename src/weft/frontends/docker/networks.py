"""Networks of the network driver: create and remove.

Docker does not say what it calls a network, so it is made under a provisional name; the follower
of events renames it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog
from msgspec.structs import replace

from weft.control.references import networks_named
from weft.control.specs import NetworkSpec, SubnetSpec
from weft.errors import ConflictError, InUseError, InvalidError, NotFoundError
from weft.frontends.docker.bindings import DockerNetwork
from weft.frontends.docker.difference import Wanted, difference
from weft.frontends.docker.naming import Naming
from weft.frontends.docker.options import (
    NetworkOptions,
    parse_address,
    parse_network_options,
    parse_prefix,
)
from weft.frontends.docker.protocol import (
    CheckGateway,
    CreateNetwork,
    Empty,
    GatewaysChecked,
    NetworkAllocated,
    NetworkReference,
    Pool,
)
from weft.frontends.docker.state import (
    MADE_BY,
    MADE_FOR,
    DockerState,
    is_made_by_docker,
    is_made_for,
    provisional_name,
)
from weft.model.ids import SubnetId
from weft.model.records import AddressRange, Network, Subnet
from weft.model.records.tenants import DEFAULT_TENANT

log = structlog.get_logger()

NEWS_S = 1.0
"""How long news of another host's ports may take."""
ADDRESS_SPACE = "weft"
"""Pools of Weft's own IPAM driver are known by it."""


class NetworkCalls:
    """Calls about networks. One at a time: they are rare, and the garbage search joins in."""

    def __init__(self, state: DockerState) -> None:
        self._state = state
        self._control = state.control
        self.naming = Naming(state)
        self.lock = asyncio.Lock()

    async def create(self, request: CreateNetwork) -> Empty:
        """CreateNetwork."""
        async with self.lock:
            self._state.touch(request.network)
            known = self._state.docker_network(request.network)
            if known is not None and self._state.network(request.network) is not None:
                return Empty()
            options = parse_network_options(request.options)
            pools = _pools(request)
            joined = self._joined(options, pools)
            merged = joined if options.name and any(map(self._is_chosen, pools)) else None
            if merged is not None:
                joined, options = None, replace(options, name="")
            network = (
                joined
                or self._made_before(request.network)
                or await self._make(request.network, options, pools)
            )
            try:
                await self._state.keep(
                    DockerNetwork(
                        docker_id=request.network,
                        network_id=network.id,
                        host_id=self._control.host.id,
                        engine=self._state.engine,
                        is_name_awaited=joined is not None and not (options.join or options.name),
                    )
                )
            except BaseException:
                if joined is None:
                    await asyncio.shield(self._control.networks.remove(network.id))
                raise
            if merged is not None:
                network = await self._control.networks.merge(network.id, merged.id)
        log.info("docker network created", network=network.name, docker_id=request.network[:12])
        return Empty()

    async def delete(self, request: NetworkReference) -> Empty:
        """DeleteNetwork."""
        async with self.lock:
            await self.remove(request.network)
        return Empty()

    async def remove(self, docker_id: str) -> None:
        """A network is Docker's no more. With `lock` held.

        One that was made for Docker, on whichever host, goes from all hosts, unless something is on
        it or another network of this Docker is the same. Docker does not ask whether it may: what
        stays in the cluster comes back to it (see `mirror`).
        """
        record = self._state.docker_network(docker_id)
        if record is None:
            return
        await self._state.drop(docker_id)
        self.naming.forget(docker_id)
        network = self._control.view.get(Network, record.network_id)
        if network is None or docker_id in self._state.leaving or self._is_here(network):
            return
        is_other = record.is_name_awaited or bool(record.contradiction)
        if is_made_for(network, docker_id) or (is_made_by_docker(network) and not is_other):
            await self._remove_unused(network)

    async def forget(self, docker_id: str) -> None:
        """Docker has lost a network without anybody's wish. With `lock` held."""
        await self._state.drop(docker_id)
        self.naming.forget(docker_id)

    async def remove_leftover(self, network: Network) -> None:
        """Remove a network made for this Docker, which has it not, nor has another host's.

        With `lock` held.
        """
        if is_made_by_docker(network, self._control.host.id) and not any(
            self._state.anywhere(network)
        ):
            await self._remove_unused(network)

    def _is_here(self, network: Network) -> bool:
        here = self._control.host.id
        return any(record.host_id == here for record in self._state.anywhere(network))

    async def _remove_unused(self, network: Network) -> None:
        for port in list(self._state.ports()):
            if port.network_id == network.id:
                await self._control.ports.remove(port.id)
        await self._remove_when_unused(network)

    async def _remove_when_unused(self, network: Network) -> None:
        """What another host has just taken off it may be known here a moment later."""
        now_s = asyncio.get_running_loop().time
        deadline_s = now_s() + NEWS_S
        while True:
            try:
                await self._control.networks.remove(network.id)
            except InUseError as error:
                if now_s() < deadline_s:
                    await asyncio.sleep(NEWS_S / 20)
                    continue
                log.warning("network stays, and comes back to docker", reason=str(error))
            except NotFoundError:
                pass
            else:
                log.info("docker network removed", network=network.name)
            return

    async def check_gateway(self, request: CheckGateway) -> GatewaysChecked:
        """GwAllocCheck: only subnets that are there already, without a gateway, need none."""
        options = parse_network_options(request.options)
        if not options.join:
            return GatewaysChecked()
        subnets = self._control.networks.subnets(self._control.networks.find(options.join))
        has = {s.cidr.version: s.gateway is not None for s in subnets}
        return GatewaysChecked(skips_ipv4=not has.get(4, True), skips_ipv6=not has.get(6, True))

    async def allocate(self, request: CreateNetwork) -> NetworkAllocated:
        """AllocateNetwork: swarm managers only; our scope is local, nothing needs to be kept."""
        parse_network_options({"com.docker.network.generic": request.options or {}})
        return NetworkAllocated(options={})

    async def free(self, request: NetworkReference) -> Empty:
        """FreeNetwork."""
        return Empty()

    def _joined(self, options: NetworkOptions, pools: Sequence[Pool]) -> Network | None:
        """The network of the cluster that is meant; None: a new one is.

        A name that Docker keeps to itself cannot say so; then the subnets may: whoever asks for
        those of a network that is about to come to this Docker means that one, as far as can be
        known before the name is.
        """
        if options.join:
            network = self._control.networks.find(options.join)
            self._check_joined(network, pools, options)
            return network
        wanted = _wanted(options, pools, self._is_chosen)
        if options.name:
            if not networks_named(self._control.view, options.name):
                return None
            network = self._control.networks.find(options.name)
            subnets = self._control.networks.subnets(network)
            if network.is_internal:  # a subnet more would be out of reach of what is there already
                wanted = _wanted(options, pools, lambda _: False)
            reason = difference(wanted, network, subnets)
            if reason:
                raise ConflictError(reason)
            return network
        for network in self._control.networks.list() if wanted.subnets else ():
            subnets = self._control.networks.subnets(network)
            is_same = {cidr for cidr, _ in wanted.subnets} == {s.cidr for s in subnets}
            if is_same and not self._state.is_in_docker(network):
                return None if difference(wanted, network, subnets) else network
        return None

    def _is_chosen(self, pool: Pool) -> bool:
        """Whether Weft chose the prefix of a pool."""
        return pool.address_space == ADDRESS_SPACE and any(
            self._state.is_chosen(subnet)
            for subnet in self._control.view.list(Subnet)
            if str(subnet.cidr) == pool.pool and subnet.network_id is None
        )

    def _made_before(self, docker_id: str) -> Network | None:
        """What a weftd made that died before it could say so; Docker repeats its call."""
        for network in self._control.networks.list():
            if (MADE_FOR, docker_id) in network.labels:
                return network
        return None

    async def _make(
        self, docker_id: str, options: NetworkOptions, pools: Sequence[Pool]
    ) -> Network:
        adopted = [self._waiting_pool(p) for p in pools if p.address_space == ADDRESS_SPACE]
        spec = NetworkSpec(
            name=options.name or provisional_name(docker_id),
            subnets=tuple(_subnet_specs(pools, options.excludes)),
            is_ipv6=options.is_ipv6 and not pools,
            is_internal=options.is_internal,
            mtu_bytes=options.mtu_bytes,
            multicast=options.multicast or "snoop",
            is_forced=options.is_forced,
            labels=((MADE_BY, self._control.host.id), (MADE_FOR, docker_id)),
        )
        try:
            return await self._control.networks.create(spec, adopt=adopted)
        except ConflictError as error:
            raise ConflictError(self._with_hint(str(error), options, pools)) from error

    def _waiting_pool(self, pool: Pool) -> SubnetId:
        cidr = parse_prefix("subnet", pool.pool)
        subnets = self._control.view.list(Subnet)
        alike = [s for s in subnets if s.cidr == cidr and s.tenant_id == DEFAULT_TENANT]
        networks = [self._control.view.get(Network, s.network_id or "") for s in alike]
        for subnet, network in zip(alike, networks, strict=True):
            if network is None and not self._control.pools.is_anothers(subnet):
                return subnet.id
        for network in filter(None, networks):
            raise ConflictError(
                f"subnet {cidr}: belongs to network {network.name}; choose another, or join "
                f"that network with -o network={network.name}"
            )
        raise NotFoundError(f"subnet {cidr}: weft has not given it; create the network again")

    def _with_hint(self, message: str, options: NetworkOptions, pools: Sequence[Pool]) -> str:
        """Say how to join, when what is in the way is a network of Weft's."""
        for network in self._control.networks.list():
            cidrs = {str(s.cidr) for s in self._control.networks.subnets(network)}
            if network.name == options.name or cidrs & {pool.pool for pool in pools}:
                return f"{message}; to join network {network.name}, add -o network={network.name}"
        return message

    def _check_joined(
        self, network: Network, pools: Sequence[Pool], options: NetworkOptions
    ) -> None:
        subnets = {s.cidr: s for s in self._control.networks.subnets(network)}
        known = " ".join(f"--subnet={cidr}" for cidr in subnets)
        for pool in pools:
            subnet = subnets.get(parse_prefix("subnet", pool.pool))
            if subnet is None:
                raise InvalidError(
                    f"subnet {pool.pool}: is none of network {network.name}'s; "
                    f"add --ipam-driver weft {known}"
                )
            gateway = parse_address("gateway", pool.gateway) if pool.gateway else None
            if gateway is not None and subnet.gateway is not None and gateway != subnet.gateway:
                raise ConflictError(
                    f"gateway {gateway}: network {network.name} has {subnet.gateway}; "
                    f"add --gateway={subnet.gateway}"
                )
        if options.multicast not in (None, network.multicast):
            raise ConflictError(
                f"-o multicast={options.multicast}: network {network.name} has "
                f"{network.multicast}; to change it: "
                f"weft network set {network.name} --multicast {options.multicast}"
            )
        if options.is_internal and not network.is_internal:
            raise InvalidError(
                f"--internal: network {network.name} is not; join it without, or make another"
            )


def _pools(request: CreateNetwork) -> list[Pool]:
    """The subnets that Docker names. Its `null` IPAM driver says 0.0.0.0/0, which is none."""
    given = [*(request.ipv4 or ()), *(request.ipv6 or ())]
    return [pool for pool in given if pool.pool and not pool.pool.endswith("/0")]


def _wanted(
    options: NetworkOptions, pools: Sequence[Pool], is_chosen: Callable[[Pool], bool]
) -> Wanted:
    return Wanted(
        subnets=tuple(
            (
                parse_prefix("subnet", pool.pool),
                parse_address("gateway", pool.gateway) if pool.gateway else None,
            )
            for pool in pools
            if not is_chosen(pool)
        ),
        is_internal=options.is_internal,
        mtu_bytes=options.mtu_bytes,
        multicast=options.multicast,
    )


def _subnet_specs(pools: Sequence[Pool], excludes: Sequence[AddressRange]) -> Iterable[SubnetSpec]:
    used = 0
    for pool in pools:
        cidr = parse_prefix("subnet", pool.pool)
        auxiliary = [
            parse_address(f"aux-address {name}", text)
            for name, text in sorted((pool.auxiliary or {}).items())
        ]
        inside = [r for r in excludes if r.first in cidr]
        used += len(inside)
        is_ours = pool.address_space == ADDRESS_SPACE
        kept = () if is_ours else tuple(AddressRange(first=a, last=a) for a in auxiliary)
        yield SubnetSpec(
            cidr=cidr,
            gateway=parse_address("gateway", pool.gateway) if pool.gateway else None,
            excludes=(*inside, *kept),
            allocator="weft" if is_ours else "docker",
        )
    if pools and used < len(excludes):
        outside = next(r for r in excludes if not any(_is_in(r, pool) for pool in pools))
        raise InvalidError(f"-o exclude={outside.first}: lies in no subnet of the network")


def _is_in(range: AddressRange, pool: Pool) -> bool:
    return range.first in parse_prefix("subnet", pool.pool)
