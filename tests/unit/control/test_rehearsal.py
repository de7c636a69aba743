"""Intents that are done together, or not at all."""

from __future__ import annotations

import pytest

from tests.unit.cluster import Cluster
from weft.control.specs import NetworkSpec, QuotaSpec, TenantSpec
from weft.errors import ExhaustedError
from weft.model.records import Network


async def test_what_is_rehearsed_is_nowhere_until_it_is_carried_out() -> None:
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    async with a.control.rehearse() as rehearsal:
        await rehearsal.control.networks.create(NetworkSpec(name="foo"))
        await rehearsal.control.networks.rename("foo", "bar")
        assert not tuple(a.store.list(Network))
        await rehearsal.carry_out()
    cluster.settle()
    assert [network.name for network in b.control.networks.list()] == ["bar"]


async def test_what_one_intent_refuses_is_refused_for_all() -> None:
    cluster = await Cluster.of("a")
    (a,) = cluster.hosts
    with pytest.raises(ExhaustedError):
        async with a.control.rehearse() as rehearsal:
            control = rehearsal.control
            await control.tenants.create(TenantSpec(name="acme", quota=QuotaSpec(networks=1)))
            for name in ("foo", "bar"):
                await control.networks.create(NetworkSpec(name=name, tenant="acme"))
            await rehearsal.carry_out()
    assert [tenant.name for tenant in a.control.tenants.list()] == ["default"]
    await a.control.networks.create(NetworkSpec(name="foo"))
