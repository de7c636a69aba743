"""Decides which network of Weft's Docker asks for. Pure.

Docker does not say the name of a new network. Where a request has the subnets of a network that is
about to come to this Docker, it means that network, as far as can be known before its name is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from weft.control.references import find_network, networks_named
from weft.control.specs import NetworkSpec, SubnetSpec
from weft.errors import ConflictError, InvalidError, NotFoundError
from weft.frontends.docker.options import (
    NetworkOptions,
    parse_address,
    parse_network_options,
    parse_prefix,
)
from weft.frontends.docker.protocol import ADDRESS_SPACE, CreateNetwork, Pool
from weft.frontends.docker.reconcile.difference import Wanted, difference
from weft.frontends.docker.records import (
    MADE_BY,
    MADE_FOR,
    DockerRecords,
    is_made_for,
    provisional_name,
)
from weft.model.ids import NetworkId, SubnetId
from weft.model.records import AddressRange, Network, Subnet
from weft.model.records.tenants import DEFAULT_TENANT
from weft.semantics.networks import is_anothers_pool
from weft.semantics.tenants import tenant_of


class Joined(NamedTuple):
    """The network is there."""

    network: Network
    is_name_awaited: bool
    """It is taken for this one by its subnets alone; its name will tell."""


class Made(NamedTuple):
    """A network is made for Docker's."""

    network: Network | None
    """What a weftd made that died before it could say so; Docker repeats its call. None: it is to
    be made as `spec` says."""
    spec: NetworkSpec
    adopt: Sequence[SubnetId] = ()
    """Pools that become its subnets."""
    merged_into: Network | None = None
    """The network of the cluster into which the new one is merged at once, with its pools as
    subnets."""
    hint: str = ""
    """Names the network that is in the way, if there is one."""


def decide(
    request: CreateNetwork,
    records: DockerRecords,
    chosen: Collection[SubnetId] = (),
    mirrored: Collection[NetworkId] = (),
) -> Joined | Made:
    """What a request means. `chosen`: subnets whose prefix nobody asked for. `mirrored`: networks
    that weftd itself has Docker make now."""
    options = parse_network_options(request.options)
    pools = _pools(request)

    def is_chosen(pool: Pool) -> bool:
        return pool.address_space == ADDRESS_SPACE and any(
            subnet.id in chosen
            for subnet in records.view.list(Subnet)
            if str(subnet.cidr) == pool.pool and subnet.network_id is None
        )

    merged = None
    joined = _joined(options, pools, is_chosen, records)
    if joined is not None and joined.id in mirrored:
        _check_mirrored(joined, records)
    if joined is not None and options.name and any(map(is_chosen, pools)):
        joined, merged, options = None, joined, replace(options, name="")
    if joined is not None:
        return Joined(joined, is_name_awaited=not (options.join or options.name))
    made = _made_before(request.network, records)
    spec = _spec(request.network, options, pools, records)
    adopt = [
        _waiting_pool(pool, records)
        for pool in pools
        if pool.address_space == ADDRESS_SPACE and made is None
    ]
    return Made(made, spec, adopt, merged, _hint(options, pools, records))


def _joined(
    options: NetworkOptions,
    pools: Sequence[Pool],
    is_chosen: Callable[[Pool], bool],
    records: DockerRecords,
) -> Network | None:
    """The network of the cluster that is meant; None: a new one is."""
    if options.join:
        network = find_network(records.view, options.join)
        _check_joined(network, records.subnets(network), pools, options)
        return network
    wanted = _wanted(options, pools, is_chosen)
    if options.name:
        name = f"{options.tenant}/{options.name}"
        if not networks_named(records.view, name):
            return None
        network = find_network(records.view, name)
        if network.is_internal:  # a subnet more would be out of reach of what is there already
            wanted = _wanted(options, pools, lambda _: False)
        reason = difference(wanted, network, records.subnets(network))
        if reason:
            raise ConflictError(reason)
        return network
    for network in records.networks() if wanted.subnets else ():
        subnets = records.subnets(network)
        is_same = {cidr for cidr, _ in wanted.subnets} == {s.cidr for s in subnets}
        is_same = is_same and tenant_of(records.view, network) == options.tenant
        if is_same and not records.is_in_docker(network):
            return None if difference(wanted, network, subnets) else network
    return None


def subnets_of(request: CreateNetwork) -> list[str]:
    """The subnets that Docker names."""
    return [pool.pool for pool in _pools(request)]


def _made_before(docker_id: str, records: DockerRecords) -> Network | None:
    found = (network for network in records.networks() if is_made_for(network, docker_id))
    return next(found, None)


def _spec(
    docker_id: str, options: NetworkOptions, pools: Sequence[Pool], records: DockerRecords
) -> NetworkSpec:
    return NetworkSpec(
        name=options.name or provisional_name(docker_id),
        tenant=options.tenant,
        subnets=tuple(_subnet_specs(pools, options.excludes)),
        is_ipv6=options.is_ipv6 and not pools,
        is_internal=options.is_internal,
        mtu_bytes=options.mtu_bytes,
        multicast=options.multicast or "snoop",
        judges_dns=options.judges_dns or False,
        admits_host=options.admits_host or False,
        is_forced=options.is_forced,
        labels=((MADE_BY, records.host_id), (MADE_FOR, docker_id)),
    )


def _waiting_pool(pool: Pool, records: DockerRecords) -> SubnetId:
    cidr = parse_prefix("subnet", pool.pool)
    subnets = records.view.list(Subnet)
    alike = [s for s in subnets if s.cidr == cidr and s.tenant_id == DEFAULT_TENANT]
    networks = [records.view.get(Network, s.network_id or "") for s in alike]
    for subnet, network in zip(alike, networks, strict=True):
        if network is None and not is_anothers_pool(records.view, records.host_id, subnet):
            return subnet.id
    for network in filter(None, networks):
        exists = ", which already exists in Docker" if records.is_in_docker(network) else ""
        raise ConflictError(
            f"subnet {cidr}: belongs to network {network.name}{exists}; choose another, or join "
            f"that network with -o network={network.name}"
        )
    raise NotFoundError(f"subnet {cidr}: weft has not given it; create the network again")


def _hint(options: NetworkOptions, pools: Sequence[Pool], records: DockerRecords) -> str:
    """How to join, when what is in the way is a network of Weft's."""
    for network in records.networks():
        cidrs = {str(s.cidr) for s in records.subnets(network)}
        if network.name == options.name or cidrs & {pool.pool for pool in pools}:
            return f"; to join network {network.name}, add -o network={network.name}"
    return ""


def _check_mirrored(network: Network, records: DockerRecords) -> None:
    """Docker looks for a name before it makes a network and not after, so what weftd asks it for
    may have been made for somebody else since."""
    if any(r.host_id == records.host_id and not r.contradiction for r in records.anywhere(network)):
        raise ConflictError(f"network {network.name}: already exists in Docker")


def _check_joined(
    network: Network, joined: Sequence[Subnet], pools: Sequence[Pool], options: NetworkOptions
) -> None:
    subnets = {s.cidr: s for s in joined}
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
    _check_exemptions(network, options)
    if options.is_internal and not network.is_internal:
        raise InvalidError(
            f"--internal: network {network.name} is not; join it without, or make another"
        )


def _check_exemptions(network: Network, options: NetworkOptions) -> None:
    for flag, wanted, actual in (
        ("judge-dns", options.judges_dns, network.judges_dns),
        ("admit-host", options.admits_host, network.admits_host),
    ):
        if wanted not in (None, actual):
            change = f"--{flag}" if wanted else f"--no-{flag}"
            raise ConflictError(
                f"-o {flag}={str(wanted).lower()}: network {network.name} is the other way; to "
                f"change it: weft network set {network.name} {change}"
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
        judges_dns=options.judges_dns,
        admits_host=options.admits_host,
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
