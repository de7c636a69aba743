"""``weft trace`` and ``weft why FROM TO``: what they ask, what they tell, and what they refuse."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd
from weft.cluster.inquiry import Answer, UnansweredError, Why
from weft.model.ids import HostId
from weft.model.records import Host, Port
from weft.observers.traces.seen import Asked, End, Move, Moved, Stage
from weft.store.interface import Put

HERE, FAR = HostId("a" * 16), HostId("f" * 16)
TO_FAR = Moved(End.WIRE, (Stage("tunnel", "VXLAN"),), host_id=FAR, frame=b"frame")


@pytest.fixture
def place(weftd: Weftd, weft: Weft) -> Weft:
    """Ports of this host on two networks, and another host."""
    for arguments in (
        "network create foo --subnet 10.9.0.0/24 --subnet fd00:9::/64",
        "network create bar --subnet 10.8.0.0/24",
        "attach web foo --name web --ip 10.9.0.2",
        "attach web bar --name db --ip 10.8.0.5",
        "port add foo --name idle --ip 10.9.0.7",
        "expose foo",
    ):
        ran = weft(*arguments.split())
        assert ran.code == 0, ran
    weftd.run(lambda: weftd.store.write([Put(Host(id=FAR, name="h2"))]))
    return weft


def ports(weftd: Weftd) -> dict[str, Port]:
    return {name: port for port in weftd.store.list(Port) for name in port.names}


def delivered(weftd: Weftd, name: str) -> Moved:
    id = ports(weftd)[name].id
    return Moved(End.DELIVERED, (Stage("port", "delivered", "port", id),), port_id=id)


def test_the_packet_is_the_one_that_was_asked_for(weftd: Weftd, place: Weft) -> None:
    weftd.traces.moved = [delivered(weftd, "db"), delivered(weftd, "web")]
    ran = place("trace", "web.foo", "db", "--udp", "53", "--source-port", "9")
    assert ran.code == 0, ran
    (asked,) = weftd.traces.asked
    first, answer = asked.moves
    assert (first.move, first.port_id) == (Move.SENT, ports(weftd)["web"].id)
    assert first.packet is not None
    assert (first.packet.protocol, first.packet.source_port, first.packet.destination_port) == (
        17,
        9,
        53,
    )
    assert answer.move is Move.ANSWERED
    assert ran.out.endswith("the packet gets there, and an answer gets back\n")
    assert ran.out.count("host h1") == 2 and "the answer, host h1" in ran.out


def test_one_way_is_without_its_answer(weftd: Weftd, place: Weft) -> None:
    weftd.traces.moved = [delivered(weftd, "db")]
    ran = place("trace", "web.foo", "db", "--one-way")
    assert (ran.code, len(weftd.traces.asked[0].moves)) == (0, 1)
    assert ran.out.endswith("the packet gets there\n")


@pytest.mark.parametrize(
    ("words", "move"),
    [("203.0.113.9 web.foo --tcp 80", Move.ENTERED), ("web.foo 8.8.8.8", Move.SENT)],
)
def test_outside_is_an_address(weftd: Weftd, place: Weft, words: str, move: Move) -> None:
    weftd.traces.moved = [Moved(End.HOST, ())]
    assert place("trace", *words.split()).code == 0
    assert weftd.traces.asked[0].moves[0].move is move


def test_another_host_is_asked_for_its_part(weftd: Weftd, place: Weft) -> None:
    db = ports(weftd)["db"]
    weftd.run(lambda: weftd.store.write([Put(replace(db, host_id=FAR))]))
    weftd.traces.moved = [TO_FAR]
    weftd.others.answers[FAR] = Answer([delivered(weftd, "db")], is_whole=True)
    ran = place("trace", "web.foo", "db", "--json")
    told = json.loads(ran.out)
    assert ran.code == 0
    assert [(leg["host"], leg["end"]) for leg in told["legs"]] == [
        ("h1", "wire"),
        ("h2", "delivered"),
    ]
    host, asked = weftd.others.asked[-1]
    assert host == FAR and isinstance(asked, Asked)
    assert asked.moves[0].frame == b"frame"


def test_a_host_that_does_not_know_traces_ends_it_there(weftd: Weftd, place: Weft) -> None:
    weftd.traces.moved = [TO_FAR]
    weftd.others.answers[FAR] = UnansweredError(Why.UNKNOWN, "it does not know the inquiry")
    ran = place("trace", "web.foo", "db")
    assert ran.code == 1
    assert "host h1\n  tunnel" in ran.out
    assert "what becomes of the packet on host h2 is not known: ask host " in ran.out
    assert "upgrade weft there" in " ".join(ran.out.split())


def test_to_another_port_with_the_address_is_said(weftd: Weftd, place: Weft) -> None:
    weftd.traces.moved = [delivered(weftd, "web")]
    ran = place("trace", "web.foo", "db")
    assert ran.code == 1
    assert "the packet goes to web on foo, a next hop, which must send it on" in ran.out


def test_why_asks_rules_and_programs(weftd: Weftd, place: Weft) -> None:
    weftd.traces.moved = [Moved(End.DROPPED, (), reason="unknown_mac", fix="do something")]
    ran = place("why", "web.foo", "10.9.0.7", "--tcp", "80")
    lines = ran.out.splitlines()
    assert ran.code == 1
    assert lines[0].endswith("tcp 80: not reached")
    assert lines[1] == "  by the programs: the packet is dropped on host h1 (unknown mac)"
    assert any(line.startswith("  by the rules: egress of web: allowed") for line in lines)
    assert lines[-2:] == [
        "  it is not for the rules; weft trace shows each stage",
        "  -> do something",
    ]
    told = json.loads(place("why", "web.foo", "10.9.0.7", "--json").out)
    assert (told["policy"]["verdict"], told["trace"]["verdict"]) == ("allowed", "dropped")


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        ("trace web.foo nosuch", 1, "port nosuch: not found"),
        ("trace web.foo 239.1.1.1", 1, "say a unicast address"),
        ("trace web.foo 127.0.0.1", 1, "say a unicast address"),
        ("trace web.foo 10.9.0.2", 1, "are one port; say two"),
        ("trace 10.9.0.99 web.foo", 1, "no port has this address"),
        ("trace 10.7.0.1 10.7.0.2", 1, "one end must be a port"),
        ("trace web.foo db --ipv6", 1, "have no IPv6 address in common"),
        ("trace web.foo db --tcp 80 --udp 80", 2, "a flow has one protocol"),
        ("trace web.foo", 2, "Missing argument 'TO'"),
        ("why web.foo --tcp 80", 2, "--tcp: is about a flow; say TO as well"),
        ("why web.foo --ipv6", 2, "say TO as well"),
    ],
)
def test_what_does_not_fit_is_said(
    weftd: Weftd, place: Weft, arguments: str, code: int, why: str
) -> None:
    ran = place(*arguments.split())
    assert (ran.code, ran.out) == (code, ""), ran
    assert why in ran.err
    assert not weftd.traces.asked
