"""A new subnet: its prefix is chosen, or checked against all that it must not overlap."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec import UNSET

from weft.control.context import Context
from weft.control.references import network_label
from weft.control.specs import SubnetSpec
from weft.errors import ConflictError, ExhaustedError, InvalidError
from weft.ipam.allocation import next_subnet, overlapping
from weft.ipam.intervals import range_within
from weft.model.addresses import IPNetwork
from weft.model.choices import Allocator
from weft.model.ids import SubnetId, TenantId, new_id
from weft.model.records import HostPrefixes, Network, Subnet
from weft.model.reserved import why_reserved
from weft.semantics.networks import is_apart_from_hosts
from weft.topology.prefixes import is_in_the_way


class Subnets:
    """Makes subnets. The caller writes the record."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def new(
        self,
        spec: SubnetSpec,
        *,
        tenant_id: TenantId,
        family: int = 4,
        is_forced: bool = False,
        others: Iterable[IPNetwork] = (),
        beside: Collection[Subnet] = (),
    ) -> Subnet:
        """A checked subnet that overlaps no subnet of its tenant but those in `beside`, and none of
        the prefixes `others`."""
        cidr = spec.cidr or self._cut(family, others)
        _check_usable(cidr)
        self._check_overlap(cidr, tenant_id, others, beside, is_forced=is_forced)
        return Subnet(
            id=SubnetId(new_id(self._context.random_bytes)),
            cidr=cidr,
            tenant_id=tenant_id,
            gateway=None if spec.gateway is UNSET else spec.gateway,
            ranges=tuple(range_within(cidr, r.first, r.last, "range") for r in spec.ranges),
            excludes=tuple(range_within(cidr, r.first, r.last, "exclude") for r in spec.excludes),
            allocator=Allocator(spec.allocator),
            is_forced=is_forced,
            is_latecomer=self._is_taken(cidr, tenant_id),
        )

    def _cut(self, family: int, others: Iterable[IPNetwork]) -> IPNetwork:
        settings = self._context.settings
        pool, length = settings.address_pool, settings.pool_prefix_length
        if family == 6:
            pool, length = settings.address_pool6, 64
        taken = [*(subnet.cidr for subnet in self._context.view.list(Subnet)), *others]
        for avoided in self._avoided(length):
            cidr = next_subnet(pool, length, [*taken, *avoided])
            if cidr is not None:
                return cidr
        raise ExhaustedError(
            f"address pool {pool}: no /{length} is free; name a subnet, or set another address_pool"
        )

    def _avoided(self, length: int) -> Iterator[Sequence[IPNetwork]]:
        """Prefixes that a new subnet of this length had better not overlap, fewer each time: all
        that any host routes anywhere; those that would be in its way on any host; those that would
        be in its way on this host."""
        own = [route for route in self._context.host_routes() if route.prefix.prefixlen]
        others = list(self._context.view.list(HostPrefixes))
        here = [route.prefix for route in own if route.is_link or route.prefix.prefixlen >= length]
        there = [prefix for host in others for prefix in host.links]
        ways = [prefix for host in others for prefix in host.routes]
        specific = [prefix for prefix in ways if prefix.prefixlen >= length]
        yield [*(route.prefix for route in own), *there, *ways]
        yield [*here, *there, *specific]
        yield here

    def _check_overlap(
        self,
        cidr: IPNetwork,
        tenant_id: TenantId,
        others: Iterable[IPNetwork],
        beside: Collection[Subnet],
        *,
        is_forced: bool,
    ) -> None:
        for subnet in self._overlapped(cidr):
            if subnet.tenant_id == tenant_id and subnet not in beside:
                raise ConflictError(
                    f"subnet {cidr}: overlaps {subnet.cidr} of {self._pool_label(subnet)}; choose "
                    "another"
                )
        other = overlapping(cidr, others)
        if other is not None:
            raise ConflictError(f"subnet {cidr}: overlaps {other} of the same network")
        if is_forced:
            return
        for route in self._context.host_routes():
            is_default = route.prefix.prefixlen == 0
            if not is_default and is_in_the_way(cidr, route.prefix, is_link=route.is_link):
                raise ConflictError(
                    f"subnet {cidr}: overlaps the host's route {route.description}; "
                    "choose another, or --force to hide that route from the network"
                )

    def _is_taken(self, cidr: IPNetwork, tenant_id: TenantId) -> bool:
        """Whether another tenant has some of the addresses, and uses a way out for them."""
        return any(
            subnet.tenant_id != tenant_id and self._is_open(subnet)
            for subnet in self._overlapped(cidr)
        )

    def _overlapped(self, cidr: IPNetwork) -> Iterator[Subnet]:
        return (
            subnet
            for subnet in self._context.view.list(Subnet)
            if overlapping(cidr, [subnet.cidr]) is not None
        )

    def _is_open(self, subnet: Subnet) -> bool:
        """Whether hosts are reached from there. One that waits for its network may become so."""
        view = self._context.view
        network = view.get(Network, subnet.network_id or "")
        return network is None or not is_apart_from_hosts(view, network)

    def _pool_label(self, subnet: Subnet) -> str:
        if subnet.network_id is None:
            return "a pool that waits for its network"
        network = self._context.view.get(Network, subnet.network_id)
        return (
            f"network {network_label(self._context.view, network.id)}"
            if network
            else (f"network {subnet.network_id}")
        )


def _check_usable(cidr: IPNetwork) -> None:
    reason = why_reserved(cidr)
    if reason is not None:
        raise InvalidError(f"subnet {cidr}: {reason}; choose another, as of 10.0.0.0/8 or fd00::/8")
