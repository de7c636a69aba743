"""Records for DNS tests, and questions put to a zone the way that the server does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import dns.message
import dns.rdatatype

from weft.dns import wire
from weft.dns.zone import Scope, Zone
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import HostId, MacAddress, NameId, NetworkId, PortId, SubnetId, Vni
from weft.model.records import (
    Name,
    Network,
    Owner,
    Port,
    Record,
    ServiceTarget,
    Subnet,
    Veth,
)
from weft.model.records.tenants import Tenant, tenant_id

HOST = HostId("a" * 16)
DEVICE = Veth(ifname="weft0001", peer_ifname="wefc0001")
MAC = MacAddress("02:00:00:00:00:01")
DEADLINE_S = 10.0


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Returns once the condition holds; TimeoutError after DEADLINE_S."""
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


def network(name: str, **fields: Any) -> Network:
    """Id = the name, with the tenant before it when it is not the default."""
    tenant = fields.pop("tenant", "default")
    id = name if tenant == "default" else f"{tenant}/{name}"
    return Network(id=NetworkId(id), name=name, vni=Vni(100), tenant_id=tenant_id(tenant), **fields)


def subnet(network_id: str, cidr: str) -> Subnet:
    return Subnet(
        id=SubnetId(f"{network_id} {cidr}"),
        cidr=ip_network(cidr),
        network_id=NetworkId(network_id),
    )


def port(network_id: str, names: Sequence[str], *addresses: str, **fields: Any) -> Port:
    """Plugged in, unless `device` says otherwise. Id = network, first name, first address."""
    given: dict[str, Any] = {
        "id": PortId(f"{network_id} {names[:1]} {addresses[:1]}"),
        "host_id": HOST,
        "device": DEVICE,
        "owner": Owner(frontend="cli"),
        **fields,
    }
    return Port(
        network_id=NetworkId(network_id),
        mac=MAC,
        slot=0,
        addresses=tuple(ip_address(text) for text in addresses),
        names=tuple(names),
        **given,
    )


def added(
    network_id: str, name: str, *addresses: str, services: Sequence[str] = (), ttl_s: int = 1
) -> Name:
    targets = []
    for text in services:
        priority, weight, number, target = text.split()
        targets.append(
            ServiceTarget(
                priority=int(priority), weight=int(weight), port=int(number), target=target
            )
        )
    return Name(
        id=NameId(f"{network_id} {name}"),
        name=name,
        network_id=NetworkId(network_id),
        addresses=tuple(ip_address(text) for text in addresses),
        services=tuple(targets),
        ttl_s=ttl_s,
    )


def two_tenants() -> list[Record]:
    """`foo` and the internal `bar` of the default tenant; `acme/foo` with the same addresses."""
    return [
        Tenant(id=tenant_id("acme"), name="acme"),
        network("foo"),
        network("bar", is_internal=True),
        network("foo", tenant="acme"),
        subnet("foo", "192.168.1.0/24"),
        subnet("foo", "fd00:1::/64"),
        subnet("bar", "192.168.2.0/24"),
        subnet("acme/foo", "192.168.1.0/24"),
        port("foo", ["web", "www"], "192.168.1.2", "fd00:1::2"),
        port("foo", ["db"], "192.168.1.3"),
        port("bar", ["web"], "192.168.2.2"),
        port("acme/foo", ["web"], "192.168.1.2"),
    ]


def ask(
    zone: Zone, scope: Scope, name: str, type: str = "A", seed: int = 0
) -> dns.message.Message | None:
    """The response as dnspython reads it; None when it is not ours to answer."""
    query = wire.parse(dns.message.make_query(name, type, use_edns=False).to_wire())
    assert query is not None
    answer = zone.answer(scope, query.name, query.type)
    if answer is None:
        return None
    shuffle = random.Random(seed).sample
    return dns.message.from_wire(
        wire.encode(query, answer, wire.limit_bytes(query, is_stream=True), shuffle)
    )


def data(message: dns.message.Message | None) -> list[str]:
    """The answer section's data, sorted."""
    assert message is not None
    return sorted(rdata.to_text() for rrset in message.answer for rdata in rrset)
