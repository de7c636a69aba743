"""Hosts ask each other: what they are told, what they are not told, and why."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.ask_world import (
    BREAK,
    COUNT,
    HANG,
    REFUSE,
    STRANGE,
    Count,
    Said,
    Villain,
    World,
    id_of,
)
from weft.cluster import ask_messages, relaying
from weft.cluster.answering import MOST_OF_ONE
from weft.cluster.ask import (
    LEAST_SHARE_BYTES,
    MOST_BYTES,
    OWN_OF_TARGET,
    WAIT_S,
    share_of,
)
from weft.cluster.ask_messages import (
    MOST_ANSWER_BYTES,
    MOST_ASKED_BYTES,
    MOST_MESSAGE_BYTES,
    WINDOW,
    Asked,
    Dropped,
    Failed,
    Piece,
    Taken,
    decode_body,
    encode_body,
)
from weft.cluster.inquiry import Inquiry, Reply, UnansweredError, Why
from weft.cluster.relaying import MOST_HOPS
from weft.cluster.wanted import wanted
from weft.errors import InvalidError
from weft.model.addresses import ip_address
from weft.model.ids import HostId
from weft.observers.flows.seen import FlowsAsked
from weft.topology.routes import Route

SOON_S = 0.1
LONG_S = 30.0
BODY = ask_messages.encode(Count())


async def reason(
    world: World,
    asker: str,
    host: str,
    inquiry: Inquiry[Count, Said] = COUNT,
    *,
    wait_s: float = WAIT_S,
    most_bytes: int = MOST_BYTES,
) -> UnansweredError:
    ask = world[asker].ask
    with pytest.raises(UnansweredError) as raised:
        await ask.ask(id_of(host), inquiry, Count(), wait_s=wait_s, most_bytes=most_bytes)
    return raised.value


async def replies(world: World, asker: str, wait_s: float) -> list[Reply[Said]]:
    asking = world[asker].ask.ask_all(COUNT, Count(), wait_s=wait_s)
    async with contextlib.aclosing(asking) as answers:
        return [reply async for reply in answers]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LONG_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


# What is told.


async def test_a_linked_host_answers() -> None:
    async with World("ab", "ab").running() as world:
        answer = await world["a"].ask.ask(id_of("b"), COUNT, Count(2))
        assert answer.items == [Said("b", 0), Said("b", 1)] and answer.is_whole
        assert (await world["b"].ask.ask(id_of("a"), COUNT, Count(0))).items == []


@pytest.mark.parametrize("links", ["ab", "ac cb", "ac cd db"])
async def test_a_long_answer_comes_whole_and_in_order_in_small_pieces(links: str) -> None:
    async with World("abcd", links).running() as world:
        asked = Count(numbers=2000, size_bytes=1000)
        answer = await world["a"].ask.ask(id_of("b"), COUNT, asked, most_bytes=4_000_000)
        assert answer.is_whole
        assert [item.number for item in answer.items] == list(range(2000))
        assert {item.host for item in answer.items} == {"b"}
        assert world.largest_bytes <= MOST_MESSAGE_BYTES
        assert world.carried > 2_000_000 / MOST_MESSAGE_BYTES


@pytest.mark.parametrize("links", ["ab", "ac cb"])
async def test_no_more_comes_than_is_taken_and_it_is_told(links: str) -> None:
    async with World("abc", links).running() as world:
        asked = Count(numbers=1000, size_bytes=1000)
        answer = await world["a"].ask.ask(id_of("b"), COUNT, asked, most_bytes=100_000)
        assert not answer.is_whole
        assert [item.number for item in answer.items] == list(range(len(answer.items)))
        assert 90 <= len(answer.items) < 100


async def test_hosts_without_a_link_are_asked_by_way_of_others() -> None:
    async with World("abcde", "ab bc cd de").running() as world:
        for host in "bcde":
            answer = await world["a"].ask.ask(id_of(host), COUNT, Count(1))
            assert answer.items == [Said(host, 0)]


async def test_all_are_asked_at_once_and_answers_come_as_they_come() -> None:
    world = World("abcd", "ab ac ad")
    async with world.running():
        seen = []
        async with contextlib.aclosing(
            world["a"].ask.ask_all(COUNT, Count(delay_s=0.0), wait_s=LONG_S)
        ) as answers:
            async for reply in answers:
                assert reply.answer is not None and len(reply.answer.items) == 3
                seen.append(reply.host)
        assert sorted(seen) == [id_of(name) for name in "bcd"]


async def test_of_all_those_that_give_no_answer_are_named_with_the_reason() -> None:
    world = World("abcde", "ab ac bd")  # nobody reaches e
    world.villain("c")
    async with world.running():
        found = {reply.host: reply for reply in await replies(world, "a", 0.5)}
        assert found.keys() == {id_of(name) for name in "bcde"}
        errors = {host[0]: reply.error.why for host, reply in found.items() if reply.error}
        assert errors == {"c": Why.LATE, "e": Why.NO_WAY}
        assert "ask host c for count: no answer within 0.5 s" in str(found[id_of("c")].error)


async def test_whoever_has_seen_enough_of_all_answers_leaves() -> None:
    async with World("abc", "ab ac").running() as world:
        async with contextlib.aclosing(world["a"].ask.ask_all(HANG, Count())) as answers:
            asking = asyncio.ensure_future(anext(answers))
            await until(lambda: world["b"].hanging and world["c"].hanging)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
        await until(lambda: not world["b"].hanging and not world["c"].hanging)


def test_all_answers_together_have_a_bound() -> None:
    assert share_of(32_000_000, 2) == 16_000_000
    assert share_of(10**12, 2) == MOST_ANSWER_BYTES
    assert share_of(1_000_000, 1000) == LEAST_SHARE_BYTES
    assert share_of(1_000_000, 0) == 1_000_000


# What is not told, and why.


async def test_an_inquiry_that_the_host_does_not_know() -> None:
    async with World("abc", "ab bc").running() as world:
        for host in "bc":
            error = await reason(world, "a", host, STRANGE)
            assert error.why is Why.UNKNOWN and "upgrade weft there" in str(error)
            assert f"ask host {host} for strange" in str(error)


async def test_a_host_whose_weft_cannot_be_asked() -> None:
    world = World("ab", "ab")
    world["a"].ask.link_down(id_of("b"))  # as for a link whose host does not say so
    async with world.running():
        error = await reason(world, "a", "b")
        assert error.why is Why.UNKNOWN
        assert str(error) == (
            "ask host b for count: its weft 0.0.9 cannot be asked by other hosts; "
            "upgrade weft there"
        )


async def test_a_handler_that_hangs_is_given_up_at_both_ends() -> None:
    async with World("abc", "ac cb").running() as world:
        asking = asyncio.ensure_future(reason(world, "a", "b", HANG, wait_s=0.5))
        await until(lambda: world["b"].hanging)
        assert (await asking).why is Why.LATE
        await until(lambda: not world["b"].hanging)


async def test_a_handler_that_cannot_answer_says_why() -> None:
    async with World("abc", "ac cb").running() as world:
        error = await reason(world, "a", "b", REFUSE)
        assert error.why is Why.FAILED
        assert str(error) == "ask host b for refuse: by way of c: port web: is not here"


async def test_a_fault_of_a_handler_ends_its_inquiry_and_nothing_else() -> None:
    async with World("ab", "ab").running() as world:
        assert "fault in weftd there" in str(await reason(world, "a", "b", BREAK))
        assert (await world["a"].ask.ask(id_of("b"), COUNT, Count(1))).items == [Said("b", 0)]


async def test_a_link_that_goes_down_ends_what_is_under_way_on_it() -> None:
    async with World("ab", "ab").running() as world:
        asking = asyncio.ensure_future(reason(world, "a", "b", HANG, wait_s=LONG_S))
        await until(lambda: world["b"].hanging)
        world.cut("a", "b")
        assert (await asking).why is Why.NO_WAY
        await until(lambda: not world["b"].hanging)
        assert "has just gone down" in str(await reason(world, "a", "b"))


async def test_a_request_that_is_too_large_is_not_sent() -> None:
    async with World("ab", "ab").running() as world:
        with pytest.raises(UnansweredError, match="at most 8192 are taken"):
            request = Said("x", 0, bytes(MOST_ASKED_BYTES))
            await world["a"].ask.ask(id_of("b"), Inquiry("count", Said, Said), request)
        assert world.carried == 0


async def test_an_item_that_no_piece_has_room_for_is_an_error() -> None:
    async with World("ab", "ab").running() as world:
        with pytest.raises(UnansweredError, match="an item of 20"):
            await world["a"].ask.ask(id_of("b"), COUNT, Count(1, size_bytes=20_000))


async def test_the_way_has_a_bound() -> None:
    names = "0123456789"[: MOST_HOPS + 2]
    links = " ".join(names[n : n + 2] for n in range(MOST_HOPS + 1))
    async with World(names, links).running() as world:
        last = await world["0"].ask.ask(id_of(names[MOST_HOPS]), COUNT, Count(1))
        assert last.items == [Said(names[MOST_HOPS], 0)]
        assert (await reason(world, "0", names[MOST_HOPS + 1])).why is Why.NO_WAY


async def test_ways_that_go_in_a_circle_end() -> None:
    world = World("abcd", "ab bc ca")

    def by(via: str) -> dict[HostId, Route]:
        return {id_of("d"): Route(id_of("d"), id_of(via), ip_address("192.0.2.1"), 2, 0)}

    for name, via in ("ab", "bc", "ca"):
        world[name].lies = by(via)
    async with world.running():
        error = await reason(world, "a", "d", wait_s=LONG_S)
        assert error.why is Why.NO_WAY
        assert world.carried < 4 * MOST_HOPS
    world["b"].lies = by("a")
    async with world.running():
        assert (await reason(world, "a", "d", wait_s=LONG_S)).why is Why.NO_WAY


# Who holds up whom.


async def test_a_host_that_hangs_holds_up_no_other() -> None:
    async with World("abcd", "ac cb cd").running() as world:
        hanging = [
            asyncio.ensure_future(reason(world, "a", "b", HANG, wait_s=3.0)) for _ in range(20)
        ]
        await until(lambda: world["b"].hanging == OWN_OF_TARGET)
        for host in "cd":
            assert (await world["a"].ask.ask(id_of(host), COUNT, Count(1), wait_s=2.0)).items
            assert (await world["d"].ask.ask(id_of("b"), COUNT, Count(1), wait_s=2.0)).items
        assert {(await each).why for each in hanging} == {Why.LATE}


async def test_a_host_that_takes_nothing_holds_up_no_other_that_is_relayed() -> None:
    world = World("abcd", "ab db bc")
    villain = world.villain("a")
    async with world.running():
        body = ask_messages.encode(Count(1000, 1000))
        relay = [id_of("c"), id_of("a"), 4, "count", body]
        for number in range(MOST_OF_ONE):
            villain.say(
                world["b"],
                Asked(number, "relay", 2.0, 4_000_000, ask_messages.encode(relay)),
            )
        await until(lambda: len([m for m in villain.heard if isinstance(m, Piece)]) >= WINDOW)
        for asker in "db":
            answer = await world[asker].ask.ask(id_of("c"), COUNT, Count(1000, 1000), wait_s=1.5)
            assert len(answer.items) == 1000
        await until(lambda: not any(world["b"].ask._answering._under_way.values()))


async def test_one_that_asks_too_much_is_refused_what_is_over() -> None:
    world = World("abc", "ab cb")
    villain = world.villain("a")
    async with world.running():
        for number in range(1000):
            villain.say(world["b"], Asked(number, "hang", LONG_S, 1000, BODY))
        await until(lambda: world["b"].hanging == MOST_OF_ONE)
        refused = [message for message in villain.heard if isinstance(message, Failed)]
        assert len(refused) == 1000 - MOST_OF_ONE
        assert {message.why for message in refused} == {Why.BUSY}
        assert (await world["c"].ask.ask(id_of("b"), COUNT, Count(1))).items == [Said("b", 0)]
        for number in range(1000):
            villain.say(world["b"], Dropped(number))
        await until(lambda: not world["b"].hanging)


async def test_no_more_pieces_are_under_way_than_the_window_whatever_is_acknowledged() -> None:
    world = World("ab", "ab")
    villain = world.villain("a")
    async with world.running():
        body = ask_messages.encode(Count(1000, 1000))
        villain.say(world["b"], Asked(1, "count", 1.0, 4_000_000, body))
        await until(lambda: len(villain.heard) >= WINDOW)
        await asyncio.sleep(SOON_S)
        assert len(villain.heard) == WINDOW
        villain.heard.clear()
        for _ in range(1000):
            villain.say(world["b"], Taken(1))
        await asyncio.sleep(SOON_S)
        assert len(villain.heard) <= WINDOW
        await until(lambda: any(isinstance(each, Failed) for each in villain.heard))


# Hostile answers.


async def asked_of(
    world: World, villain: Villain, *, wait_s: float = LONG_S, most_bytes: int = MOST_BYTES
) -> tuple[asyncio.Future[UnansweredError], int]:
    """An inquiry of host a that has reached the villain, and its number."""
    asking = asyncio.ensure_future(reason(world, "a", "b", wait_s=wait_s, most_bytes=most_bytes))
    await until(lambda: any(isinstance(each, Asked) for each in villain.heard))
    return asking, next(each.number for each in villain.heard if isinstance(each, Asked))


async def test_pieces_beyond_the_window_cost_the_inquiry() -> None:
    world = World("ab", "ab")
    villain = world.villain("b")
    async with world.running():
        asking, number = await asked_of(world, villain)
        for _ in range(100):
            villain.say(world["a"], Piece(number, ask_messages.encode([])))
        error = await asking
        assert error.why is Why.SENSELESS and "more than it was asked for" in str(error)
        await until(lambda: Dropped(number) in villain.heard)


@pytest.mark.parametrize("items", [[], [Said("b", 1, bytes(15_000))]])
async def test_an_answer_without_end_ends(items: list[Said]) -> None:
    world = World("ab", "ab")
    villain = world.villain("b")
    async with world.running():
        asking, number = await asked_of(world, villain, most_bytes=100_000)
        piece = Piece(number, ask_messages.encode(items))
        sent = 0
        while not asking.done():
            villain.say(world["a"], piece)
            sent += 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert (await asking).why is Why.SENSELESS
        assert sent < 5000


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", ask_messages.encode([1]), ask_messages.encode([["b", "x"]]), b"\x91" * 9000],
)
async def test_items_that_are_none_cost_the_inquiry(body: bytes) -> None:
    world = World("ab", "ab")
    villain = world.villain("b")
    async with world.running():
        asking, number = await asked_of(world, villain)
        villain.say(world["a"], Piece(number, body, is_last=True))
        error = await asking
        assert error.why is Why.SENSELESS and "its answer cannot be read" in str(error)


async def test_an_answer_counts_only_from_the_host_that_was_asked() -> None:
    world = World("abc", "ab ac")
    asked, other = world.villain("b"), world.villain("c")
    async with world.running():
        asking, number = await asked_of(world, asked, wait_s=0.5)
        other.say(world["a"], Piece(number, ask_messages.encode([Said("c", 1)]), is_last=True))
        other.say(world["a"], Failed(number, "failed", "no"))
        assert (await asking).why is Why.LATE


async def test_what_a_host_gives_as_its_reason_is_printable_text() -> None:
    world = World("ab", "ab")
    villain = world.villain("b")
    async with world.running():
        asking, number = await asked_of(world, villain)
        villain.say(world["a"], Failed(number, "a-newer-word", "\x1b[2J\n"))
        error = await asking
        assert error.why is Why.FAILED and str(error).isprintable()


async def test_senseless_messages_are_passed_over_and_logged_once(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World("abc", "ab ac")
    villain = world.villain("b")
    async with world.running():
        for data in (
            b"",
            b"\xc1",
            b"\x93" * 9000,
            bytes(MOST_MESSAGE_BYTES + 1),
            *map(bytes, range(50)),
        ):
            villain.say(world["a"], data)
        for name in ("Upper", "", "a" * 100, "a--b"):
            villain.say(world["a"], ask_messages.encode([1, 1, name, 1.0, 1, BODY]))
        for wait_s in (0.0, -1.0, float("nan"), float("inf"), 1e300):
            villain.say(world["a"], ask_messages.encode([1, 1, "count", wait_s, 1, BODY]))
        villain.say(world["a"], ask_messages.encode([9, "of a newer weft"]))
        assert villain.heard == []
        assert (await world["c"].ask.ask(id_of("a"), COUNT, Count(1))).items == [Said("a", 0)]
    assert capsys.readouterr().out.count("without sense") <= 1


async def test_a_request_that_cannot_be_read_is_refused() -> None:
    world = World("ab", "ab")
    villain = world.villain("b")
    async with world.running():
        for number, body in enumerate((b"", b"\xc1", ask_messages.encode(["x"])), 1):
            villain.say(world["a"], Asked(number, "count", 1.0, 1000, body))
        await until(lambda: len(villain.heard) == 3)
        assert {each.why for each in villain.heard if isinstance(each, Failed)} == {Why.SENSELESS}


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(InvalidError):
        ask_messages.decode(data)


@given(
    st.sampled_from(
        [Asked(1, "count", 1.0, 1, b""), Piece(1, b""), Taken(1), Failed(1, "", ""), Dropped(1)]
    )
)
def test_messages_are_read_back(message: ask_messages.Message) -> None:
    assert ask_messages.decode(ask_messages.encode(message)) == message


def test_a_message_of_a_newer_weft_with_more_in_it_is_read() -> None:
    assert ask_messages.decode(ask_messages.encode([3, 7, "more"])) == Taken(7)


async def test_in_a_large_cluster_all_ask_all_at_once_and_all_are_answered() -> None:
    """A host has links to a few others alone, and most inquiries go by way of one or two more."""
    names = {id_of(f"{number:02x}"): f"{number:02x}" for number in range(40)}
    pairs = [(names[one], names[other]) for one in names for other in wanted(one, names)]
    world = World(names.values(), pairs)
    async with world.running():
        hops = {route.hops for peer in world.peers.values() for route in peer._reached().values()}
        assert max(hops) > 1
        hanging = [
            asyncio.ensure_future(reason(world, name, "13", HANG, wait_s=8.0))
            for name in world.peers
            if name != "13"
        ]
        await asyncio.sleep(SOON_S)
        everybody = [replies(world, name, LONG_S / 2) for name in world.peers]
        for found in await asyncio.gather(*everybody):
            assert len(found) == 39
            assert [str(reply.error) for reply in found if reply.error] == []
        assert not any(each.done() for each in hanging)
        await asyncio.gather(*hanging)


async def test_relays_in_a_circle_do_not_wait_for_each_other_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for slots in ("AT_ONCE", "OF_LINK", "OF_ORIGIN"):
        monkeypatch.setattr(relaying, slots, 1)
    names = "0123456"
    world = World(names, " ".join(f"{names[n]}{names[(n + 1) % 7]}" for n in range(7)))
    async with world.running():
        asked = Count(numbers=40, size_bytes=1000)

        async def ask(one: str, other: str) -> bool:
            answer = await world[one].ask.ask(id_of(other), COUNT, asked, wait_s=LONG_S / 2)
            return answer.is_whole

        # Each asks the two that are farthest, three links away, more often than slots allow.
        far = [(n, names[(int(n) + step) % 7]) for n in names for step in (3, 4)]
        assert all(await asyncio.gather(*(ask(*pair) for pair in far for _ in range(5))))


def test_requests_and_answers_hold_addresses() -> None:
    asked = FlowsAsked(addresses=(ip_address("10.1.0.1"), ip_address("fd00::1")))
    assert decode_body(encode_body(asked), FlowsAsked) == asked


@pytest.mark.parametrize("text", ["10.1.0.999", "fe80::1%eth0", "", "10.1.0.1/24"])
def test_what_is_no_address_is_refused(text: str) -> None:
    body = msgspec.msgpack.encode([[], [text]])
    with pytest.raises(InvalidError):
        decode_body(body, FlowsAsked)
