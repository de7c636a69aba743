"""What `weft policy test` says: the way, the verdict, and the rule or default that decides."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tests.unit.control.test_group_intents import OWNER, Desk
from weft.control.answers.policy_test import Judged, try_flow
from weft.control.group_specs import GroupChanges, GroupSpec
from weft.control.router_specs import ConnectionSpec, RouterSpec
from weft.control.specs import (
    NetworkChanges,
    NetworkSpec,
    PortChanges,
    PortSpec,
    SubnetSpec,
    TenantChanges,
)
from weft.errors import ConflictError, InvalidError, NotFoundError
from weft.model.addresses import ip_address
from weft.semantics.policy import Packet

HTTP = Packet(6, 40000, 80)


class Shop(Desk):
    async def net(self, name: str, *cidrs: str, tenant: str = "default") -> None:
        subnets = tuple(SubnetSpec(cidr=ip_network(cidr)) for cidr in cidrs)
        spec = NetworkSpec(name=name, tenant=tenant, subnets=subnets)
        await self.control.networks.create(spec)

    async def box(
        self, name: str, network: str, *addresses: str, groups: tuple[str, ...] = ()
    ) -> None:
        spec = PortSpec(
            network=network,
            names=(name,),
            addresses=tuple(map(ip_address, addresses)),
            is_exact=bool(addresses),
            groups=groups,
            owner=OWNER,
        )
        await self.control.ports.add(spec)

    def test(
        self, source: str, destination: str, packet: Packet = HTTP, family: int | None = None
    ) -> Judged:
        return try_flow(self.store, source, destination, lambda _: packet, family)

    def verdict(self, source: str, destination: str, packet: Packet = HTTP) -> str:
        return self.test(source, destination, packet).verdict

    def reasons(self, source: str, destination: str) -> list[str]:
        return [each.reason for each in self.test(source, destination).judgements]


@pytest.fixture
async def shop() -> Shop:
    made = Shop()
    await made.net("back", "10.9.0.0/24", "fd00:9::/64")
    for name in ("web", "db", "ops"):
        await made.groups.create(GroupSpec(name=name))
    await made.box("web", "back", "10.9.0.7", "fd00:9::7", groups=("web",))
    await made.box("db", "back", "10.9.0.8", "fd00:9::8", groups=("db",))
    await made.box("old", "back", "10.9.0.9")
    return made


async def test_both_sides_name_what_decides(shop: Shop) -> None:
    assert shop.verdict("web", "db") == "allowed"
    assert shop.reasons("web", "db") == [
        "no rule is about it, and nothing denies egress",
        "no rule is about it, and nothing denies ingress",
    ]
    rule = await shop.groups.add_rule("db", "drop ingress tcp 80 from group:web tier admin")
    assert shop.verdict("web", "db") == "dropped"
    assert shop.reasons("web", "db")[1] == (
        f"rule {rule.id[:8]} of group db, tier admin: drop ingress tcp 80 from group:web tier admin"
    )
    assert shop.verdict("old", "db") == "allowed"
    assert shop.verdict("web", "db", Packet(6, 1, 81)) == "allowed"
    await shop.groups.add_rule("web", "reject egress to group:db")
    assert shop.verdict("web", "db", Packet(17, 1, 81)) == "rejected"
    directions = [each.direction.value for each in shop.test("web", "db").judgements]
    assert directions == ["egress", "ingress"]


async def test_whose_default_it_is_is_said(shop: Shop) -> None:
    await shop.control.tenants.change("default", TenantChanges(denied=("ingress",)))
    assert shop.reasons("web", "db")[1] == "tenant default denies ingress, and no rule allows it"
    await shop.control.networks.change("back", NetworkChanges(denied=("ingress",)))
    assert shop.reasons("web", "db")[1] == "network back denies ingress, and no rule allows it"
    await shop.groups.change("db", GroupChanges(denied=("ingress",)))
    assert shop.reasons("web", "db")[1] == "group db denies ingress, and no rule allows it"
    assert shop.verdict("web", "db") == "dropped"
    await shop.groups.add_rule("db", "allow ingress from group:web")
    assert shop.verdict("web", "db") == "allowed"


async def test_addresses_are_ports_where_the_way_leads_to_one(shop: Shop) -> None:
    await shop.groups.add_rule("db", "drop ingress from group:web")
    for source, destination in (
        ("10.9.0.7", "db"),
        ("web", "10.9.0.8"),
        ("10.9.0.7", "10.9.0.8"),
        ("fd00:9::7", "db"),
    ):
        found = shop.test(source, destination)
        assert found.verdict == "dropped", (source, destination)
        assert len(found.judgements) == 2
    assert shop.test("fd00:9::7", "db").destination.address == ip_address("fd00:9::8")


async def test_from_and_to_outside_one_side_alone_is_judged(shop: Shop) -> None:
    await shop.groups.add_rule("web", "allow ingress from 203.0.113.0/24")
    await shop.groups.add_rule("web", "drop egress to 198.51.100.0/24")
    await shop.groups.change("web", GroupChanges(denied=("ingress",)))
    found = shop.test("203.0.113.9", "web")
    assert (found.verdict, len(found.judgements)) == ("allowed", 1)
    assert shop.verdict("192.0.2.1", "web") == "dropped"
    assert shop.verdict("web", "198.51.100.9") == "dropped"
    found = shop.test("web", "203.0.113.9")
    assert (found.verdict, found.destination.network_id) == ("allowed", None)
    assert shop.test("10.9.0.200", "web").source.network_id is not None


async def test_where_nothing_leads_the_obstacle_is_said(shop: Shop) -> None:
    found = shop.test("web", "10.9.0.200")
    assert (found.verdict, "nobody has the address" in found.obstacle) == ("no-way", True)
    await shop.net("far", "10.8.0.0/24")
    await shop.box("file", "far", "10.8.0.5")
    found = shop.test("web", "file")
    assert (found.verdict, "no router leads there" in found.obstacle) == ("no-way", True)
    connected = tuple(ConnectionSpec(network=name) for name in ("back", "far"))
    await shop.control.routers.create(RouterSpec(name="r1", networks=connected))
    found = shop.test("web", "file")
    assert (found.verdict, found.routers, len(found.judgements)) == ("allowed", ("r1",), 2)
    await shop.groups.add_rule("web", "drop egress to network:far")
    assert shop.verdict("web", "file") == "dropped"
    assert shop.verdict("web", "10.8.0.5") == "dropped"


async def test_of_ports_with_one_name_those_on_one_network_are_meant(shop: Shop) -> None:
    await shop.net("front", "10.7.0.0/24")
    await shop.box("web", "front", "10.7.0.7")
    assert shop.test("web", "db").source.address == ip_address("10.9.0.7")
    await shop.box("lb", "front", "10.7.0.8")
    assert shop.test("lb", "web").destination.address == ip_address("10.7.0.7")
    assert shop.test("web", "10.9.0.8").source.address == ip_address("10.9.0.7")
    with pytest.raises(ConflictError, match="port web: several are called so, web on back"):
        shop.test("203.0.113.9", "web")
    assert shop.verdict("203.0.113.9", "web.back") == "allowed"


async def test_families(shop: Shop) -> None:
    found = shop.test("web", "db", family=6)
    assert found.source.address == ip_address("fd00:9::7")
    with pytest.raises(InvalidError, match="have no IPv6 address in common"):
        shop.test("web", "old", family=6)
    with pytest.raises(InvalidError, match="port old on back: has no IPv6 address"):
        shop.test("old", "fd00:9::8")
    seen: list[int] = []

    def ping(version: int) -> Packet:
        seen.append(version)
        return Packet(58, icmp_type=128)

    assert try_flow(shop.store, "fd00:9::7", "db", ping).verdict == "allowed"
    assert seen == [6]


async def test_ends_that_are_none(shop: Shop) -> None:
    with pytest.raises(NotFoundError, match="port wbe: not found; did you mean web"):
        shop.test("wbe", "db")
    with pytest.raises(InvalidError, match="one end must be a port"):
        shop.test("203.0.113.1", "203.0.113.2")


async def test_what_is_never_judged_is_said(shop: Shop) -> None:
    await shop.groups.change("web", GroupChanges(denied=("ingress", "egress")))
    found = shop.test("web", "db", Packet(17, 68, 67))
    assert found.judgements[0].is_exempt
    assert "DHCP as a client needs no rule" in found.judgements[0].reason
    assert shop.verdict("web", "web") == "allowed"


async def test_queries_to_wefts_dns(shop: Shop) -> None:
    """Also on a network without a way out, and from one that denies egress."""
    await shop.control.networks.change("back", NetworkChanges(denied=("egress",), is_strict=True))
    query = Packet(17, 40000, 53)
    found = shop.test("web", "10.9.0.1", query)
    assert found.verdict == "allowed"
    assert found.judgements[0].is_exempt
    assert "queries to Weft's DNS need no rule" in found.judgements[0].reason
    assert shop.verdict("web", "db", query) == "dropped"
    assert shop.verdict("web", "198.51.100.53", query) == "dropped"
    await shop.control.networks.change("back", NetworkChanges(judges_dns=True))
    assert shop.verdict("web", "10.9.0.1", query) == "dropped"


async def test_the_own_hosts_place_where_a_port_admits_it(shop: Shop) -> None:
    await shop.control.networks.change("back", NetworkChanges(denied=("ingress",)))
    place = await shop.control.host_access.expose("back", ())
    source = str(place.addresses[0])
    assert shop.verdict(source, "db") == "dropped"
    await shop.control.ports.change("db", PortChanges(admits_host=True))
    found = shop.test(source, "db")
    assert (found.verdict, found.judgements[-1].is_exempt) == ("allowed", True)
    assert shop.verdict(source, "web") == "dropped"
    assert shop.verdict("10.9.0.1", "db") == "dropped"
    await shop.control.networks.change("back", NetworkChanges(admits_host=True))
    assert shop.verdict(source, "web") == "allowed"
