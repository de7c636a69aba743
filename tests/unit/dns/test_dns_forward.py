from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import time
from collections.abc import AsyncIterator, Callable

import dns.flags
import dns.message
import dns.name
import dns.rcode
import pytest

from tests.free_ports import free_port
from tests.unit.dns import resolver
from tests.unit.dns.resolver import FakeResolver
from tests.unit.dns.world import eventually
from weft.dns import forward, wire
from weft.dns.counters import Counters
from weft.dns.forward import Forwarder
from weft.dns.wire import Answer, Query
from weft.model.addresses import IPAddress, ip_address

SOA = "ns.example. root.example. 1 2 3 4 60"


def query(name: str = "www.example.", type: str = "A", flags: int = 0) -> Query:
    message = dns.message.make_query(name, type, use_edns=False)
    message.flags |= flags
    read = wire.parse(message.to_wire())
    assert read is not None
    return read


def data(asked: Query, answer: Answer) -> list[str]:
    message = dns.message.from_wire(wire.encode(asked, answer, 65535, random.sample))
    return [rdata.to_text() for rrset in message.answer for rdata in rrset]


class Setup:
    """A forwarder that runs, its clock and its counters."""

    def __init__(self, *servers: str, port: int) -> None:
        self.now_s = 1000.0
        self.counters = Counters()
        self.servers: list[IPAddress] = [ip_address(server) for server in servers]
        self.forwarder = Forwarder(
            lambda: self.servers, self.counters, lambda: self.now_s, random.SystemRandom(), port
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Setup]:
        task = asyncio.create_task(self.forwarder.run())
        await asyncio.sleep(0)
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def ask(self, asked: Query, asker: str = "one") -> Answer:
        answer = self.forwarder.cached(asked) or await self.forwarder.answer(asked, asker)
        assert answer is not None
        return answer


@contextlib.asynccontextmanager
async def one(answerer: resolver.Answerer) -> AsyncIterator[tuple[Setup, FakeResolver]]:
    """A forwarder with one resolver."""
    fake = FakeResolver(answerer)
    async with fake.serving(), Setup("127.0.0.1", port=fake.port).running() as setup:
        yield setup, fake


async def test_answers_come_from_the_resolver_then_from_the_cache() -> None:
    async with one(resolver.records(60, "A 192.0.2.1")) as (setup, fake):
        for _ in range(3):
            assert data(query(), await setup.ask(query())) == ["192.0.2.1"]
        assert data(query("WWW.Example."), await setup.ask(query("WWW.Example."))) == ["192.0.2.1"]
        assert len(fake.udp_queries) == 1
        setup.now_s += 60
        await setup.ask(query())
        assert len(fake.udp_queries) == 2
        assert fake.udp_queries[0].id != fake.udp_queries[1].id
        assert fake.sources[0] != fake.sources[1]
        assert fake.udp_queries[0].payload == wire.MAX_UDP_BYTES


async def test_ports_and_ids_are_random() -> None:
    async with one(resolver.records(60, "A 192.0.2.1")) as (setup, fake):
        for n in range(40):
            await setup.ask(query(f"n{n}.example."))
        assert len({source[1] for source in fake.sources}) > 30
        assert len({asked.id for asked in fake.udp_queries}) > 35


async def test_negative_answers_are_kept() -> None:
    for rcode in (dns.rcode.NXDOMAIN, dns.rcode.NOERROR):
        async with one(resolver.nobody(rcode, SOA, 30)) as (setup, fake):
            for _ in range(2):
                assert (await setup.ask(query())).rcode == rcode
            assert len(fake.udp_queries) == 1
            setup.now_s += 30
            await setup.ask(query())
            assert len(fake.udp_queries) == 2


async def test_dnssec_and_plain_askers_do_not_share_answers() -> None:
    async with one(resolver.records(60, "A 192.0.2.1")) as (setup, fake):
        await setup.ask(query())
        await setup.ask(query()._replace(is_dnssec_ok=True))
        await setup.ask(query(flags=wire.CD))
        assert [bool(asked.ednsflags & wire.DNSSEC_OK) for asked in fake.udp_queries] == [
            False,
            True,
            False,
        ]
        assert [bool(asked.flags & dns.flags.CD) for asked in fake.udp_queries] == [
            False,
            False,
            True,
        ]


async def test_askers_of_one_question_wait_for_one_answer() -> None:
    async with one(resolver.records(60, "A 192.0.2.1")) as (setup, fake):
        answers = await asyncio.gather(*(setup.ask(query()) for _ in range(50)))
        assert {tuple(data(query(), answer)) for answer in answers} == {("192.0.2.1",)}
        assert len(fake.udp_queries) == 1


async def test_question_goes_on_when_its_first_asker_goes_away() -> None:
    async with one(resolver.records(60, "A 192.0.2.1")) as (setup, fake):
        first = asyncio.create_task(setup.ask(query()))
        await asyncio.sleep(0)
        second = asyncio.create_task(setup.ask(query()))
        first.cancel()
        assert data(query(), await second) == ["192.0.2.1"]
        assert len(fake.udp_queries) == 1


async def test_truncated_answers_are_fetched_over_tcp() -> None:
    many = [f"A 192.0.2.{n}" for n in range(200)]
    async with one(resolver.truncated(resolver.records(60, *many))) as (setup, fake):
        assert len(data(query(), await setup.ask(query()))) == 200
        assert (len(fake.udp_queries), len(fake.tcp_queries)) == (1, 1)


async def test_resolver_without_edns_is_asked_without() -> None:
    def old(asked: dns.message.Message, is_tcp: bool) -> dns.message.Message | bytes:
        if asked.edns >= 0:
            return struct.pack(">HHHHHH", asked.id, 0x8181, 0, 0, 0, 0)
        answer = resolver.records(60, "A 192.0.2.1")(asked, is_tcp)
        assert answer is not None
        return answer

    async with one(old) as (setup, fake):
        for n in range(3):
            assert data(query(f"n{n}."), await setup.ask(query(f"n{n}."))) == ["192.0.2.1"]
        assert [asked.edns for asked in fake.udp_queries] == [0, -1, -1, -1]


async def test_silent_resolver_is_passed_over_and_then_asked_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forward, "WAITS_S", (0.1, 0.1, 0.1))
    dead, live = FakeResolver(resolver.silent), FakeResolver(resolver.records(60, "A 192.0.2.1"))
    async with live.serving("127.0.0.3"), dead.serving("127.0.0.2", live.port):
        setup = Setup("127.0.0.2", "127.0.0.3", port=live.port)
        async with setup.running():
            for n in range(5):
                assert data(query(f"n{n}."), await setup.ask(query(f"n{n}."))) == ["192.0.2.1"]
            assert (len(dead.udp_queries), len(live.udp_queries)) == (1, 5)
            setup.now_s += forward.DOWN_S
            await setup.ask(query("later."))
            assert len(dead.udp_queries) == 2


async def test_lost_query_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "WAITS_S", (0.1, 0.1, 0.1))

    def second_time(asked: dns.message.Message, is_tcp: bool) -> dns.message.Message | bytes | None:
        if len(fake.udp_queries) < 2:
            return None
        return resolver.records(60, "A 192.0.2.1")(asked, is_tcp)

    async with one(second_time) as (setup, fake):
        assert data(query(), await setup.ask(query())) == ["192.0.2.1"]


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
async def test_failing_resolver_is_passed_over(rcode: dns.rcode.Rcode) -> None:
    bad, good = (
        FakeResolver(resolver.failing(rcode)),
        FakeResolver(resolver.records(60, "A 1.2.3.4")),
    )
    async with good.serving("127.0.0.3"), bad.serving("127.0.0.2", good.port):
        async with Setup("127.0.0.2", "127.0.0.3", port=good.port).running() as setup:
            assert data(query(), await setup.ask(query())) == ["1.2.3.4"]
        async with Setup("127.0.0.2", port=good.port).running() as setup:
            assert (await setup.ask(query())).rcode == rcode
            asked = len(bad.udp_queries)
            assert (await setup.ask(query())).rcode == rcode
            assert len(bad.udp_queries) == asked  # the failure is kept for a moment
            setup.now_s += forward.FAILURE_HOLD_S
            await setup.ask(query())
            assert len(bad.udp_queries) > asked


async def test_nobody_listening_fails_at_once() -> None:
    async with Setup("127.0.0.1", port=free_port()).running() as setup:
        start = time.monotonic()
        assert (await setup.ask(query())).rcode == wire.SERVFAIL
        assert time.monotonic() - start < 0.5
        assert setup.counters["failed"] == 1


async def test_no_resolver_at_all_fails_at_once() -> None:
    async with Setup(port=53).running() as setup:
        assert (await setup.ask(query())).rcode == wire.SERVFAIL


async def test_all_silent_fails_within_five_seconds() -> None:
    async with one(resolver.silent) as (setup, fake):
        start = time.monotonic()
        assert (await setup.ask(query())).rcode == wire.SERVFAIL
        assert 3 < time.monotonic() - start < 5
        assert len(fake.udp_queries) == 3


async def test_expired_answers_serve_while_resolvers_are_down() -> None:
    async with one(resolver.records(60, "A 192.0.2.1")) as (setup, fake):
        await setup.ask(query())
        setup.now_s += 61
        fake.answerer = resolver.failing(dns.rcode.SERVFAIL)
        assert data(query(), await setup.ask(query())) == ["192.0.2.1"]
        assert setup.counters["stale"] == 1
        setup.now_s += 4000
        assert (await setup.ask(query())).rcode == wire.SERVFAIL
        fake.answerer = resolver.records(60, "A 192.0.2.2")
        setup.now_s += forward.FAILURE_HOLD_S
        assert data(query(), await setup.ask(query())) == ["192.0.2.2"]


def _other_id(response: dns.message.Message) -> None:
    response.id ^= 1


def _other_question(response: dns.message.Message) -> None:
    response.question[0].name = dns.name.from_text("evil.example.")


def _a_query(response: dns.message.Message) -> None:
    response.flags &= ~dns.flags.QR


@pytest.mark.parametrize("forge", [_other_id, _other_question, _a_query])
async def test_forged_answers_are_not_taken(
    forge: Callable[[dns.message.Message], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "WAITS_S", (0.1,))

    def forged(asked: dns.message.Message, is_tcp: bool) -> bytes:
        response = resolver.records(60, "A 6.6.6.6")(asked, is_tcp)
        assert isinstance(response, dns.message.Message)
        forge(response)
        return response.to_wire()

    async with one(forged) as (setup, _):
        assert (await setup.ask(query())).rcode == wire.SERVFAIL


@pytest.mark.parametrize("cut", [13, 20, 30, 40])
async def test_malformed_answers_are_failures(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "WAITS_S", (0.1,))

    def damaged(asked: dns.message.Message, is_tcp: bool) -> bytes:
        response = resolver.records(60, "A 6.6.6.6")(asked, is_tcp)
        assert isinstance(response, dns.message.Message)
        return response.to_wire()[:-cut] if cut < 40 else response.to_wire() + b"x"

    async with one(damaged) as (setup, _):
        assert (await setup.ask(query())).rcode == wire.SERVFAIL


async def test_fault_of_our_own_is_servfail_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with one(resolver.records(60, "A 192.0.2.1")) as (setup, _):
        with monkeypatch.context() as patch:
            patch.setattr("weft.dns.response.read", lambda *_: 1 // 0)
            assert (await setup.ask(query())).rcode == wire.SERVFAIL
        assert setup.counters["errors"] == 1
        assert data(query("b."), await setup.ask(query("b."))) == ["192.0.2.1"]


async def test_questions_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "MAX_IN_FLIGHT", 6)
    most = 0

    def count(asked: dns.message.Message, is_tcp: bool) -> dns.message.Message | bytes | None:
        nonlocal most
        most = max(most, setup.forwarder.in_flight)
        return resolver.records(60, "A 192.0.2.1")(asked, is_tcp)

    async with one(count) as (setup, fake):
        asked = [query(f"n{n}.") for n in range(40)]
        answers = await asyncio.gather(*(setup.ask(each) for each in asked))
        assert {answer.rcode for answer in answers} == {wire.NOERROR}
        assert len(fake.udp_queries) == 40
        assert 1 < most <= 3
        assert (setup.counters["waited"], setup.counters["limited"]) == (37, 0)
        assert (setup.forwarder.waiting, setup.forwarder.in_flight) == (0, 0)


async def test_who_waited_for_what_others_asked_meanwhile_asks_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forward, "MAX_IN_FLIGHT", 2)
    async with one(resolver.records(60, "A 192.0.2.1")) as (setup, fake):
        names = ["a.", *["b."] * 20]
        answers = await asyncio.gather(*(setup.ask(query(name)) for name in names))
        assert {answer.rcode for answer in answers} == {wire.NOERROR}
        assert len(fake.udp_queries) == 2
        assert setup.forwarder.waiting == 0


async def test_busy_askers_do_not_keep_others_waiting() -> None:
    def slow(asked: dns.message.Message, is_tcp: bool) -> dns.message.Message | bytes | None:
        is_quiet = asked.question[0].name.to_text().startswith("quiet")
        return resolver.records(60, "A 192.0.2.1")(asked, is_tcp) if is_quiet else None

    async with one(slow) as (setup, _):
        busy = [
            asyncio.create_task(setup.forwarder.answer(query(f"{asker}-{n}."), f"busy{asker}"))
            for asker in range(4)
            for n in range(300)
        ]

        async def all_wait() -> bool:
            return setup.counters["waited"] >= 4 * 300 - forward.MAX_IN_FLIGHT

        await eventually(all_wait)
        start = time.monotonic()
        for n in range(30):
            assert (await setup.ask(query(f"quiet{n}."), "quiet")).rcode == wire.NOERROR
        assert time.monotonic() - start < 1
        assert setup.forwarder.waiting > 900  # the busy ones all the while
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        assert setup.forwarder.waiting == 0


async def test_no_turn_in_time_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "MAX_IN_FLIGHT", 2)
    monkeypatch.setattr(forward, "WAITS_S", (1.0,))
    monkeypatch.setattr(forward, "TURN_WAIT_S", 0.1)
    async with one(resolver.silent) as (setup, _):
        first, second = await asyncio.gather(
            setup.forwarder.answer(query("a."), "one"), setup.forwarder.answer(query("b."), "one")
        )
        assert first is not None and first.rcode == wire.SERVFAIL
        assert second is None
        assert setup.counters["limited"] == 1


async def test_not_running_it_fails_instead_of_waiting() -> None:
    setup = Setup("127.0.0.1", port=53)
    assert (await setup.ask(query())).rcode == wire.SERVFAIL
