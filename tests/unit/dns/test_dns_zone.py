from __future__ import annotations

import time

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.dns.world import HOST, added, ask, data, network, port, subnet, two_tenants
from weft.dns import zone as zone_module
from weft.dns.zone import Scope, Zone
from weft.errors import InvalidError
from weft.model.ids import NetworkId
from weft.model.records import Host, Network, Owner, Port, Record
from weft.model.records.tenants import Tenant
from weft.store.interface import Delete, Put
from weft.store.memory import MemoryStore

DOMAIN = "weft.internal"


def zone_of(*records: Record) -> Zone:
    return Zone(MemoryStore(records), DOMAIN, HOST)


def on(zone: Zone, *networks: str) -> Scope:
    """As a workload on one network."""
    (id,) = networks
    return zone.scope_of_network(NetworkId(id))


def rcode(message: dns.message.Message | None) -> str:
    assert message is not None
    return dns.rcode.to_text(message.rcode())


def authority(message: dns.message.Message | None) -> list[str]:
    assert message is not None
    return [f"{rrset.name} {rrset.ttl} {rrset[0].rdtype.name}" for rrset in message.authority]


def test_name_alone_is_of_the_askers_network() -> None:
    zone = zone_of(*two_tenants())
    assert data(ask(zone, on(zone, "foo"), "web")) == ["192.168.1.2"]
    assert data(ask(zone, on(zone, "foo"), "web", "AAAA")) == ["fd00:1::2"]
    assert data(ask(zone, on(zone, "bar"), "web")) == ["192.168.2.2"]


def test_aliases_and_hostnames_are_names_too() -> None:
    zone = zone_of(*two_tenants())
    assert data(ask(zone, on(zone, "foo"), "www")) == ["192.168.1.2"]
    assert data(ask(zone, on(zone, "foo"), "www.foo.weft.internal")) == ["192.168.1.2"]


def test_full_names_of_other_networks_of_the_tenant_are_answered() -> None:
    zone = zone_of(*two_tenants())
    assert data(ask(zone, on(zone, "foo"), "web.bar.weft.internal")) == ["192.168.2.2"]


def test_other_tenants_names_do_not_exist() -> None:
    zone = zone_of(*two_tenants(), port("acme/foo", ["secret"], "192.168.1.9"))
    assert rcode(ask(zone, on(zone, "foo"), "secret.foo.acme.weft.internal")) == "NXDOMAIN"
    assert rcode(ask(zone, on(zone, "foo"), "foo.acme.weft.internal")) == "NXDOMAIN"
    assert rcode(ask(zone, on(zone, "foo"), "acme.weft.internal")) == "NXDOMAIN"
    assert rcode(ask(zone, on(zone, "acme/foo"), "db.foo.weft.internal")) == "NXDOMAIN"
    assert ask(zone, on(zone, "foo"), "secret") is None


def test_names_of_a_tenant_carry_it() -> None:
    zone = zone_of(*two_tenants())
    asker = on(zone, "acme/foo")
    assert data(ask(zone, asker, "web")) == ["192.168.1.2"]
    assert data(ask(zone, asker, "web.foo.acme.weft.internal")) == ["192.168.1.2"]
    assert data(ask(zone, asker, "2.1.168.192.in-addr.arpa", "PTR")) == [
        "web.foo.acme.weft.internal."
    ]


async def test_a_tenants_name_may_come_after_its_networks() -> None:
    records = two_tenants()
    acme = next(each for each in records if isinstance(each, Tenant))
    store = MemoryStore(each for each in records if each is not acme)
    zone = Zone(store, DOMAIN, HOST)
    store.watch(zone.changed)
    name = "web.foo.acme.weft.internal"
    assert rcode(ask(zone, on(zone, "acme/foo"), name)) == "NXDOMAIN"
    await store.write([Put(acme)])
    assert data(ask(zone, on(zone, "acme/foo"), name)) == ["192.168.1.2"]


def test_host_sees_full_names_of_the_default_tenant_only() -> None:
    zone = zone_of(*two_tenants())
    host = zone.scope_of_host()
    assert data(ask(zone, host, "web.foo.weft.internal")) == ["192.168.1.2"]
    assert rcode(ask(zone, host, "web.foo.acme.weft.internal")) == "NXDOMAIN"
    assert ask(zone, host, "web") is None


def test_workload_on_two_networks_sees_names_of_both() -> None:
    owner = Owner(frontend="docker", container_id="c1")
    first = port("foo", ["me"], "192.168.1.9", owner=owner)
    second = port("bar", ["me"], "192.168.2.9", owner=owner)
    zone = zone_of(*two_tenants(), first, second)
    asker = zone.scope_of_port(first)
    assert data(ask(zone, asker, "web")) == ["192.168.1.2", "192.168.2.2"]
    assert asker is zone.scope_of_port(second)
    assert asker.is_outside_seen


def test_unknown_name_alone_and_foreign_names_are_not_ours() -> None:
    zone = zone_of(*two_tenants())
    for name in (
        "nobody",
        "example.org",
        ".",
        "internal",
        "weft.internal.example",
        "xweft.internal",
    ):
        assert ask(zone, on(zone, "foo"), name) is None, name


def test_unknown_name_in_our_domain_is_nxdomain_with_soa() -> None:
    zone = zone_of(*two_tenants())
    for name in ("x.foo.weft.internal", "x.weft.internal", "a.web.foo.weft.internal"):
        message = ask(zone, on(zone, "foo"), name)
        assert rcode(message) == "NXDOMAIN", name
        assert authority(message) == ["weft.internal. 1 SOA"]
        assert message is not None and message.flags & dns.flags.AA


def test_unknown_type_of_a_known_name_is_empty_with_soa() -> None:
    zone = zone_of(*two_tenants())
    for type in ("MX", "TXT", "SRV", "HTTPS", "PTR", "CNAME", "NS"):
        message = ask(zone, on(zone, "foo"), "web.foo.weft.internal", type)
        assert (rcode(message), data(message)) == ("NOERROR", [])
        assert authority(message) == ["weft.internal. 1 SOA"]
    alone = ask(zone, on(zone, "foo"), "db", "AAAA")
    assert (rcode(alone), data(alone), authority(alone)) == ("NOERROR", [], ["db. 1 SOA"])


def test_case_of_the_question_is_kept_and_ignored() -> None:
    zone = zone_of(*two_tenants(), network("Mixed"), port("Mixed", ["a"], "192.168.7.1"))
    message = ask(zone, on(zone, "foo"), "WeB.Foo.WEFT.internal")
    assert data(message) == ["192.168.1.2"]
    assert message is not None and message.question[0].name.to_text() == "WeB.Foo.WEFT.internal."
    assert message.answer[0].name.to_text() == "WeB.Foo.WEFT.internal."
    assert data(ask(zone, on(zone, "foo"), "a.mixed.weft.internal")) == ["192.168.7.1"]


def test_all_holders_answer_in_random_order() -> None:
    addresses = [f"192.168.1.{n}" for n in range(10, 20)]
    zone = zone_of(*two_tenants(), *(port("foo", ["many"], address) for address in addresses))
    orders = set()
    for seed in range(30):
        message = ask(zone, on(zone, "foo"), "many", seed=seed)
        assert data(message) == addresses
        assert message is not None
        orders.add(message.to_wire()[2:])
    assert len(orders) > 20


def test_port_without_device_does_not_answer() -> None:
    waiting = port("foo", ["waiting"], "192.168.1.50", device=None)
    own_place = port("foo", ["host"], "192.168.1.51", device=None, owner=Owner(frontend="host"))
    zone = zone_of(*two_tenants(), waiting, own_place)
    assert ask(zone, on(zone, "foo"), "waiting") is None
    assert data(ask(zone, on(zone, "foo"), "host")) == ["192.168.1.51"]


def test_added_name_has_its_own_ttl_and_joins_ports() -> None:
    zone = zone_of(
        *two_tenants(),
        added("foo", "printer", "10.9.9.9", ttl_s=300),
        added("foo", "db", "192.168.1.77", ttl_s=60),
    )
    message = ask(zone, on(zone, "foo"), "printer")
    assert message is not None and message.answer[0].ttl == 300
    assert data(ask(zone, on(zone, "foo"), "db")) == ["192.168.1.3", "192.168.1.77"]
    assert data(ask(zone, on(zone, "foo"), "9.9.9.10.in-addr.arpa", "PTR")) == [
        "printer.foo.weft.internal."
    ]


def test_service_points_to_full_names_and_brings_their_addresses() -> None:
    zone = zone_of(
        *two_tenants(),
        added("foo", "_http._tcp.web", services=["0 10 80 web", "1 0 8080 web.bar.weft.internal"]),
        added("foo", "_ldap._tcp", services=["0 0 389 ldap.example.org"]),
    )
    for name in ("_http._tcp.web", "_http._tcp.web.foo.weft.internal"):
        message = ask(zone, on(zone, "foo"), name, "SRV")
        assert data(message) == [
            "0 10 80 web.foo.weft.internal.",
            "1 0 8080 web.bar.weft.internal.",
        ]
        assert message is not None
        assert sorted(str(rrset) for rrset in message.additional) == [
            "web.bar.weft.internal. 1 IN A 192.168.2.2",
            "web.foo.weft.internal. 1 IN A 192.168.1.2",
            "web.foo.weft.internal. 1 IN AAAA fd00:1::2",
        ]
    outside = ask(zone, on(zone, "foo"), "_ldap._tcp", "SRV")
    assert data(outside) == ["0 0 389 ldap.example.org."]


def test_names_above_others_exist_but_are_empty() -> None:
    zone = zone_of(*two_tenants(), added("foo", "_http._tcp.x", services=["0 0 80 web"]))
    for name in (
        "weft.internal",
        "foo.weft.internal",
        "_tcp.x.foo.weft.internal",
        "x.foo.weft.internal",
    ):
        message = ask(zone, on(zone, "foo"), name)
        assert (rcode(message), data(message)) == ("NOERROR", []), name
    assert rcode(ask(zone, on(zone, "acme/foo"), "acme.weft.internal")) == "NOERROR"


def test_network_and_port_names_may_have_dots() -> None:
    zone = zone_of(
        network("my.net"), subnet("my.net", "10.1.0.0/24"), port("my.net", ["web.1"], "10.1.0.2")
    )
    for name in ("web.1.my.net.weft.internal", "web.1"):
        assert data(ask(zone, on(zone, "my.net"), name)) == ["10.1.0.2"]
    assert data(ask(zone, on(zone, "my.net"), "2.0.1.10.in-addr.arpa", "PTR")) == [
        "web.1.my.net.weft.internal."
    ]


def test_label_with_a_dot_inside_is_not_two_labels() -> None:
    zone = zone_of(*two_tenants())
    assert rcode(ask(zone, on(zone, "foo"), r"web\.foo.weft.internal")) == "NXDOMAIN"
    assert ask(zone, on(zone, "foo"), r"we\200b") is None


def test_reverse_names_are_of_the_askers_network_first() -> None:
    zone = zone_of(
        *two_tenants(), network("twin"), port("twin", ["other"], "192.168.1.2", "fd00:2::1")
    )
    name = "2.1.168.192.in-addr.arpa"
    assert data(ask(zone, on(zone, "foo"), name, "PTR")) == ["web.foo.weft.internal."]
    assert data(ask(zone, on(zone, "twin"), name, "PTR")) == ["other.twin.weft.internal."]
    assert data(ask(zone, on(zone, "bar"), name, "PTR")) == [
        "other.twin.weft.internal.",
        "web.foo.weft.internal.",
    ]
    ipv6 = f"{'2.' + '0.' * 15}0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa"
    assert data(ask(zone, on(zone, "foo"), ipv6, "PTR")) == ["web.foo.weft.internal."]


def test_reverse_name_of_a_free_address_of_ours_is_nxdomain_others_are_not_ours() -> None:
    zone = zone_of(*two_tenants())
    message = ask(zone, on(zone, "foo"), "200.1.168.192.in-addr.arpa", "PTR")
    assert rcode(message) == "NXDOMAIN"
    assert authority(message) == ["1.168.192.in-addr.arpa. 1 SOA"]
    for name in (
        "8.8.8.8.in-addr.arpa",
        "1.168.192.in-addr.arpa",
        "300.1.168.192.in-addr.arpa",
        "x.1.168.192.in-addr.arpa",
        "02.1.168.192.in-addr.arpa",
    ):
        assert ask(zone, on(zone, "foo"), name, "PTR") is None, name


def test_soa_of_the_domain_and_any() -> None:
    zone = zone_of(*two_tenants())
    soa = ask(zone, on(zone, "foo"), "weft.internal", "SOA")
    assert data(soa) == ["ns.weft.internal. hostmaster.weft.internal. 1 3600 600 86400 1"]
    assert data(ask(zone, on(zone, "foo"), "web", "ANY")) == ['"RFC8482" ""']


def test_name_too_long_for_dns_is_left_out() -> None:
    label = "x" * 63
    long = ".".join([label] * 3)
    zone = zone_of(network(label), subnet(label, "10.2.0.0/24"), port(label, [long], "10.2.0.2"))
    assert data(ask(zone, on(zone, label), long)) == ["10.2.0.2"]
    reverse = ask(zone, on(zone, label), "2.0.2.10.in-addr.arpa", "PTR")
    assert (rcode(reverse), data(reverse)) == ("NOERROR", [])


def test_internal_networks_alone_do_not_see_outside() -> None:
    zone = zone_of(*two_tenants())
    assert not on(zone, "bar").is_outside_seen
    assert on(zone, "foo").is_outside_seen
    assert zone.scope_of_host().is_outside_seen


async def test_changes_are_seen_at_once() -> None:
    store = MemoryStore(two_tenants())
    zone = Zone(store, DOMAIN, HOST)
    store.watch(zone.changed)
    web = port("foo", ["late"], "192.168.1.60")
    assert ask(zone, on(zone, "foo"), "late") is None
    await store.write([Put(web)])
    assert data(ask(zone, on(zone, "foo"), "late")) == ["192.168.1.60"]
    await store.write([Delete(Port, web.id)])
    assert ask(zone, on(zone, "foo"), "late") is None
    await store.write([Put(network("new")), Put(port("new", ["n"], "10.0.0.1"))])
    assert data(ask(zone, on(zone, "foo"), "n.new.weft.internal")) == ["10.0.0.1"]
    await store.write([Delete(Network, "new")])
    assert rcode(ask(zone, on(zone, "foo"), "n.new.weft.internal")) == "NXDOMAIN"


def test_kept_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zone_module, "MAX_KEPT", 10)
    ports = [port("foo", [f"n{n}"], f"192.168.1.{n}") for n in range(1, 100)]
    zone = zone_of(network("foo"), *ports)
    for n in range(1, 100):
        assert data(ask(zone, on(zone, "foo"), f"n{n}")) == [f"192.168.1.{n}"]
        assert len(on(zone, "foo").answers) <= 10


async def test_ten_thousand_ports_make_a_change_no_dearer() -> None:
    def ports(count: int) -> list[Record]:
        return [
            port("foo", [f"c{n}", f"alias-{n}"], f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
            for n in range(count)
        ]

    async def seconds_per_change(count: int) -> float:
        store = MemoryStore([network("foo"), *ports(count)])
        zone = Zone(store, DOMAIN, HOST)
        store.watch(zone.changed)
        best = 1.0
        for n in range(50):
            change = Put(port("foo", ["new"], f"10.200.0.{n}", id="new"))
            start = time.perf_counter()
            await store.write([change])
            assert ask(zone, on(zone, "foo"), "new") is not None
            best = min(best, time.perf_counter() - start)
        return best

    assert await seconds_per_change(10_000) < 10 * await seconds_per_change(10)


LABELS = st.sampled_from(["a", "b", "_http._tcp.a", "a.b", "foo"])
ADDRESSES = st.sampled_from(["192.168.1.1", "192.168.1.2", "fd00:1::1", "10.0.0.1"])
NETWORKS = st.sampled_from(["foo", "bar", "acme/foo"])


@st.composite
def changes(draw: st.DrawFn) -> Put | Delete:
    kind = draw(st.sampled_from(["network", "port", "name", "subnet", "delete"]))
    network_id = draw(NETWORKS)
    tenant, _, name = network_id.rpartition("/")
    if kind == "network":
        return Put(network(name, tenant=tenant or "default", is_internal=draw(st.booleans())))
    if kind == "subnet":
        return Put(subnet(network_id, draw(st.sampled_from(["192.168.1.0/24", "fd00:1::/64"]))))
    label = draw(LABELS)
    if kind == "port":
        return Put(
            port(
                network_id,
                [label],
                draw(ADDRESSES),
                id=draw(st.sampled_from(["p1", "p2", "p3"])),
                owner=Owner(frontend="docker", container_id=draw(st.sampled_from(["", "c1"]))),
            )
        )
    if kind == "name":
        return Put(added(network_id, label, draw(ADDRESSES), services=["0 0 80 a"]))
    deletes = [Delete(Network, network_id), Delete(Port, "p1"), Delete(Port, "p2")]
    return draw(st.sampled_from(deletes))


QUESTIONS = [
    *((f"{n}{tail}", t) for n in ("a", "b", "_http._tcp.a", "a.b", "_tcp.a") for t in ("A", "SRV")
      for tail in ("", ".foo.weft.internal", ".bar.weft.internal", ".foo.acme.weft.internal")),
    ("1.1.168.192.in-addr.arpa", "PTR"),
    ("1.0.0.10.in-addr.arpa", "PTR"),
    ("9.1.168.192.in-addr.arpa", "PTR"),
]  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.lists(changes(), max_size=4), max_size=6))
async def test_incremental_equals_fresh(writes: list[list[Put | Delete]]) -> None:
    store = MemoryStore()
    zone = Zone(store, DOMAIN, HOST)
    store.watch(zone.changed)
    for write in writes:
        await store.write(write)
        fresh = Zone(store, DOMAIN, HOST)
        ports = list(store.list(Port))
        pairs = [(zone.scope_of_port(p), fresh.scope_of_port(p)) for p in ports]
        pairs.append((zone.scope_of_host(), fresh.scope_of_host()))
        for kept, made in pairs:
            for name, type in QUESTIONS:
                assert ask_sorted(zone, kept, name, type) == ask_sorted(fresh, made, name, type)


def ask_sorted(zone: Zone, scope: Scope, name: str, type: str) -> object:
    message = ask(zone, scope, name, type)
    if message is None:
        return None
    return rcode(message), data(message), sorted(map(str, message.additional))


async def test_records_that_names_do_not_depend_on_drop_nothing() -> None:
    store = MemoryStore(two_tenants())
    zone = Zone(store, DOMAIN, HOST)
    store.watch(zone.changed)
    scope = on(zone, "foo")
    await store.write([Put(Host(id=HOST, name="h1"))])
    assert on(zone, "foo") is scope
    await store.write([Put(port("foo", ["new"], "192.168.1.70"))])
    assert on(zone, "foo") is not scope


@pytest.mark.parametrize("domain", ["", "a..b", "café", "x" * 64])
def test_domain_that_is_no_name_is_refused(domain: str) -> None:
    with pytest.raises(InvalidError, match="setting domain"):
        Zone(MemoryStore(), domain, HOST)
