"""The whole service over real sockets: ephemeral ports on loopback, real `dig`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.dns import resolver
from tests.unit.dns.resolver import FakeResolver
from tests.unit.dns.served import data, needs_dig, read_frame, serving
from tests.unit.dns.world import DEADLINE_S, HOST, added, network, port, two_tenants
from weft.dns import askers, service
from weft.dns.askers import Asker
from weft.dns.zone import Zone
from weft.errors import InvalidError
from weft.model.records import Port, Record
from weft.store.interface import Put
from weft.store.memory import MemoryStore


@pytest.fixture
def as_workload(monkeypatch: pytest.MonkeyPatch) -> Callable[[Record], None]:
    """Queries from 127.0.0.1 come from a port, as if from its alias."""

    def set_port(record: Record) -> None:
        assert isinstance(record, Port)
        monkeypatch.setattr(
            askers.Askers,
            "_find",
            lambda self, address: Asker(record.id, self._zone.scope_of_port(record)),
        )

    return set_port


@needs_dig
async def test_dig_gets_every_type(tmp_path: Path) -> None:
    records = [*two_tenants(), added("foo", "_http._tcp.web", services=["0 5 80 web"])]
    async with serving(tmp_path, *records) as running:
        for arguments, expected in (
            (["web.foo.weft.internal"], "192.168.1.2\n"),
            (["WEB.foo.weft.INTERNAL", "AAAA"], "fd00:1::2\n"),
            (["web.foo.weft.internal", "+tcp"], "192.168.1.2\n"),
            (["web.foo.weft.internal", "+noedns", "+noall", "+answer"], "192.168.1.2\n"),
            (["-x", "192.168.1.2"], "web.foo.weft.internal.\n"),
            (["-x", "fd00:1::2"], "web.foo.weft.internal.\n"),
            (["_http._tcp.web.foo.weft.internal", "SRV"], "0 5 80 web.foo.weft.internal.\n"),
        ):
            assert (await running.dig("+short", *arguments)).endswith(expected), arguments


@needs_dig
async def test_dig_sees_status_and_flags(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        known = await running.dig("web.foo.weft.internal")
        assert "status: NOERROR" in known and "flags: qr aa rd ra;" in known
        assert "EDNS: version: 0" in known and "WARNING" not in known
        assert "status: NXDOMAIN" in await running.dig("nobody.foo.weft.internal")
        empty = await running.dig("web.foo.weft.internal", "MX")
        assert "status: NOERROR" in empty and "ANSWER: 0, AUTHORITY: 1" in empty
        assert "status: BADVERS" in await running.dig(
            "+edns=1", "+noednsneg", "web.foo.weft.internal"
        )
        assert "status: NOTIMP" in await running.dig("+opcode=NOTIFY", "weft.internal", HOST)
        assert "status: REFUSED" in await running.dig("version.bind", "CH", "TXT")
        assert "RFC8482" in await running.dig("web.foo.weft.internal", "ANY")
        assert "Transfer failed" in await running.dig("example.org", "AXFR")


@needs_dig
async def test_dig_retries_truncated_answers_over_tcp(tmp_path: Path) -> None:
    ports = [port("foo", ["many"], f"10.0.{n >> 8}.{n & 255}") for n in range(300)]
    async with serving(tmp_path, network("foo"), *ports) as running:
        udp = await running.dig("+ignore", "+noedns", "many.foo.weft.internal")
        assert " tc " in udp and udp.count("\tA\t") == 29
        retried = await running.dig("many.foo.weft.internal")
        assert "retrying in TCP" in retried and retried.count("\tA\t") == 300
        assert (await running.dig("+tcp", "+short", "many.foo.weft.internal")).count("\n") == 300


async def test_changes_show_in_the_next_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        assert (await running.ask("new.foo.weft.internal")).rcode() == dns.rcode.NXDOMAIN
        await running.store.write([Put(port("foo", ["new"], "192.168.1.99"))])
        assert data(await running.ask("new.foo.weft.internal")) == ["192.168.1.99"]


async def test_alone_names_and_forwarding_for_a_workload(
    tmp_path: Path, as_workload: Callable[[Record], None]
) -> None:
    fake = FakeResolver(resolver.records(60, "A 203.0.113.5"))
    async with fake.serving("127.0.0.2"), serving(tmp_path, upstream=fake) as running:
        as_workload(port("foo", ["me"], "192.168.1.8"))
        assert data(await running.ask("web")) == ["192.168.1.2"]
        assert data(await running.ask("intranet")) == ["203.0.113.5"]
        assert data(await running.ask("www.Example.org")) == ["203.0.113.5"]
        assert data(await running.ask("www.example.org")) == ["203.0.113.5"]
        asked = [query.question[0].name.to_text() for query in fake.udp_queries]
        assert asked == ["intranet.", "www.example.org."]
        await running.ask("nobody.foo.weft.internal")
        await running.ask("77.1.168.192.in-addr.arpa", "PTR")
        assert len(fake.udp_queries) == 2  # names of ours never leave the host


async def test_workload_on_internal_networks_only_gets_nothing_from_outside(
    tmp_path: Path, as_workload: Callable[[Record], None]
) -> None:
    fake = FakeResolver(resolver.records(60, "A 203.0.113.5"))
    async with fake.serving("127.0.0.2"), serving(tmp_path, upstream=fake) as running:
        as_workload(port("bar", ["me"], "192.168.2.8"))
        assert data(await running.ask("web")) == ["192.168.2.2"]
        assert (await running.ask("secret.attacker.example")).rcode() == dns.rcode.NXDOMAIN
        assert not fake.udp_queries
        assert running.service.statistics()["internal"] == 1


async def test_resolvers_down_is_servfail_and_ours_still_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        assert (await running.ask("www.example.org")).rcode() == dns.rcode.SERVFAIL
        assert data(await running.ask("web.foo.weft.internal")) == ["192.168.1.2"]


async def test_forwarded_answers_obey_the_askers_size(tmp_path: Path) -> None:
    many = [f"A 192.0.2.{n}" for n in range(150)]
    fake = FakeResolver(resolver.truncated(resolver.records(60, *many)))
    async with fake.serving("127.0.0.2"), serving(tmp_path, upstream=fake) as running:
        small = await running.ask("big.example", use_edns=-1)
        assert small.flags & dns.flags.TC and 20 < len(data(small)) <= 30 and small.edns == -1
        large = await running.ask("big.example", use_edns=0, payload=4096)
        assert large.flags & dns.flags.TC and 60 < len(data(large)) < 80 and large.edns == 0
        async with running.connected() as (reader, writer):
            writer.write(dns.message.make_query("big.example", "A").to_wire(prepend_length=True))
            assert len(data(await read_frame(reader))) == 150


async def test_alias_of_a_port_is_that_port_and_strangers_get_nothing() -> None:
    records = two_tenants()
    (acme,) = (r for r in records if isinstance(r, Port) and r.network_id == "acme/foo")
    zone = Zone(MemoryStore(records), "weft.internal", HOST)
    now_s = 0.0
    found: dict[int, Port] = {}
    known = askers.Askers(zone, found.get, lambda: now_s)
    assert known.find("240.0.0.7") is None  # not known yet, and not remembered as such
    found[7] = acme
    for alias in ("240.0.0.7", "fd77:6566:7400:1::7"):  # one asker, with one share of everything
        assert known.find(alias) == (acme.id, zone.scope_of_port(acme))
    assert known.find("240.0.0.8") is None
    assert known.find("127.0.0.5") == known.find("::1") == ("host", zone.scope_of_host())
    for stranger in ("192.0.2.1", "2001:db8::1", "224.0.0.1", "0.0.0.0", "fd77:6566:7400::53"):
        assert known.find(stranger) is None, stranger
    del found[7]
    now_s = askers.OWN_ADDRESS_HOLD_S
    assert known.find("240.0.0.7") is None


async def test_known_askers_see_changes_at_once() -> None:
    records = two_tenants()
    (web,) = (r for r in records if isinstance(r, Port) and r.network_id == "bar")
    store = MemoryStore(records)
    zone = Zone(store, "weft.internal", HOST)
    store.watch(zone.changed)
    known = askers.Askers(zone, lambda ifindex: web, lambda: 0.0)
    before = known.find("240.0.0.7")
    assert before is not None and not before.scope.is_outside_seen
    await store.write([Put(network("bar"))])  # no longer internal
    after = known.find("240.0.0.7")
    assert after is not None and after.scope.is_outside_seen


async def test_own_addresses_are_known_from_the_kernel() -> None:
    assert askers.is_own(ip_address("127.0.0.1"))
    assert askers.is_own(ip_address("::1"))
    assert not askers.is_own(ip_address("192.0.2.1"))


async def test_changed_list_of_resolvers_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_S", 0.02)
    async with serving(tmp_path) as running:
        told: list[list[str]] = []
        changed = asyncio.Event()

        def listener(resolvers: object) -> None:
            told.append([str(address) for address in resolvers])  # type: ignore[attr-defined]
            changed.set()

        end = running.service.watch_resolvers(listener)
        changed.clear()
        (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.9\nnameserver 127.0.0.9\n")
        await asyncio.wait_for(changed.wait(), DEADLINE_S)
        assert told[-1] == ["192.0.2.9"] and len(told) == 2
        assert running.service.upstreams() == ["192.0.2.9", "127.0.0.9"]
        end()


async def test_lookup_answers_as_to_a_workload_or_the_host(tmp_path: Path) -> None:
    fake = FakeResolver(resolver.records(60, 'TXT "out side"'))
    async with fake.serving("127.0.0.2"), serving(tmp_path, upstream=fake) as running:
        lookup = running.service.lookup
        alone = await lookup("web", "A", "foo")
        assert (alone.name, alone.rcode) == ("web.", "NOERROR")
        assert [tuple(r) for r in alone.records] == [("web.", "A", 1, "192.168.1.2")]
        assert (await lookup("x.foo.weft.internal", "A", None)).rcode == "NXDOMAIN"
        outside = await lookup("web", "TXT", None)
        assert [record.data for record in outside.records] == ['"out side"']
        assert (await lookup("café.example", "TXT", None)).name == "xn--caf-dma.example."
        for name, type in (("a..b", "A"), ("x" * 64, "A"), ("web", "NONSENSE"), ("", "A" * 300)):
            with pytest.raises(InvalidError):
                await lookup(name, type, None)


async def test_fault_of_our_own_is_servfail_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as running:
        with monkeypatch.context() as patch:
            patch.setattr("weft.dns.zone.Zone.answer", lambda *_: 1 // 0)
            query = dns.message.make_query("web.foo.weft.internal", "A")
            response = dns.message.from_wire(await running.send(query.to_wire()))
            assert (response.id, response.rcode()) == (query.id, dns.rcode.SERVFAIL)
        assert running.service.statistics()["errors"] == 1
        assert data(await running.ask("web.foo.weft.internal")) == ["192.168.1.2"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=30))
async def test_hostile_octets_do_no_harm(tmp_path: Path, packets: list[bytes]) -> None:
    async with serving(tmp_path) as running:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for packet in packets:
                sock.sendto(packet, ("127.0.0.1", running.port))
        async with running.connected() as (_, writer):
            writer.write(b"".join(packets))
        assert data(await running.ask("web.foo.weft.internal")) == ["192.168.1.2"]
        assert running.service.statistics()["errors"] == 0
