"""Pools: subnets that wait for their network, for frontends with an IPAM of their own."""

from __future__ import annotations

from weft.control.context import Context
from weft.control.reservations import Reservations
from weft.control.specs import SubnetSpec
from weft.control.subnets import Subnets
from weft.errors import ConflictError
from weft.ipam.intervals import range_within
from weft.model.ids import SubnetId, TenantId
from weft.model.records import Subnet
from weft.model.records.tenants import DEFAULT_TENANT
from weft.semantics.networks import is_anothers_pool
from weft.store.interface import Delete, Put


class Pools:
    """The pools of all hosts, and this host's own."""

    def __init__(self, context: Context, subnets: Subnets, reservations: Reservations) -> None:
        self._context = context
        self._subnets = subnets
        self._reservations = reservations

    async def request(
        self, spec: SubnetSpec, *, family: int, tenant_id: TenantId = DEFAULT_TENANT
    ) -> Subnet:
        """A subnet that waits for its network. Asked for the same cidr again, while the subnet
        waits here or belongs to a network, it returns that subnet. ConflictError: its ranges are
        others.
        """
        async with self._context.lock:
            alike = [
                subnet
                for subnet in self._context.view.list(Subnet)
                if subnet.cidr == spec.cidr and subnet.tenant_id == tenant_id
            ]
            for subnet in alike:
                if not is_anothers_pool(self._context.view, self._context.host_id, subnet):
                    return _same(subnet, spec)
            subnet = self._subnets.new(spec, tenant_id=tenant_id, family=family, beside=alike)
            await self._context.commit([Put(subnet), *self._context.space.created(subnet)])
            return subnet

    async def release(self, subnet_id: SubnetId) -> None:
        """Remove a waiting pool. Nothing happens if it is gone or belongs to a network."""
        async with self._context.lock:
            subnet = self._context.view.get(Subnet, subnet_id)
            if subnet is None or subnet.network_id is not None:
                return
            await self._context.commit(
                [Delete(Subnet, subnet_id), *self._reservations.all_of(subnet)]
            )


def _same(subnet: Subnet, spec: SubnetSpec) -> Subnet:
    ranges = tuple(range_within(subnet.cidr, r.first, r.last, "range") for r in spec.ranges)
    if ranges and ranges != subnet.ranges:
        raise ConflictError(
            f"subnet {subnet.cidr}: is there already, with another range for its addresses"
        )
    return subnet
