"""A member with the cluster's token sends what it likes. It may change what all share; it may not
stop, split or silence the others: their links stay, and what they write reaches each other.

    A --- B --- V (the villain)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mesh.stores import MeshCluster, MeshMember
from tests.property.hostile import bodies
from weft.engine.compiler import Compiler
from weft.engine.ebpf.compile import functions
from weft.mesh import incarnations, wire
from weft.mesh.delta import Delta, Scope, Span
from weft.mesh.digest import Digest
from weft.mesh.ledger import MAX_ORIGINS
from weft.mesh.messages import Ack, DigestMessage, Hello, Message, Part, Summary
from weft.mesh.own_incarnation import MAX_REINCARNATIONS
from weft.mesh.replica import Replica
from weft.mesh.screen import Screen
from weft.mesh.store import MeshStore
from weft.model import codec
from weft.model.addresses import ip_address
from weft.model.choices import ReservationReason
from weft.model.ids import HostId, NetworkId, ReservationId, SubnetId, Vni
from weft.model.records import Host, Network, Reservation
from weft.store.entry import MAX_BODY_BYTES, Entry, Origin
from weft.store.interface import Changed, Put

A, B, V = "a" * 16, "b" * 16, "f" * 16
HUGE = 2**62 - 1
NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))
NOW = int(1000.0 * 1000) << 16


def reservation(owner: str, number: int = 1) -> Reservation:
    return Reservation(
        id=ReservationId(f"{owner[0]}{number}"),
        subnet_id=SubnetId("s1"),
        host_id=HostId(owner),
        address=ip_address("192.0.2.1"),
        reason=ReservationReason.REST,
    )


class World:
    """Two hosts that mean well, and one that does not."""

    def __init__(self) -> None:
        self.cluster = MeshCluster(A, B)
        self.network = self.cluster.network
        self.a, self.b = self.cluster.meshed
        self.said: list[bytes] = []
        self.transfer = 0
        self.network.start(V, self)
        self.network.connect(B, V)
        asyncio.run(self.begin())

    async def begin(self) -> None:
        await self.a.store.write([Put(NETWORK), Put(Host(id=HostId(A), name="a"))])
        await self.b.store.write([Put(reservation(B)), Put(Host(id=HostId(B), name="b"))])
        await self.a.store.write([Put(reservation(A))])
        self.pass_time(1)

    # The villain's side of `transport.Listener`: it keeps quiet.

    def link_up(self, peer: str) -> None:
        """Nothing to say."""

    def link_down(self, peer: str) -> None:
        """Nothing to do."""

    def receive(self, peer: str, data: bytes) -> None:
        self.said.append(data)

    # What it does.

    def say(self, message: Message) -> None:
        self.send(wire.encode(message))

    def send(self, data: bytes) -> None:
        self.network.connect(B, V)
        self.network.transport(V).send(B, data)
        self.pass_time(0.05)

    def give(
        self,
        entries: Sequence[Entry] = (),
        spans: dict[Origin, Span] | None = None,
        purged: dict[Origin, int] | None = None,
        scope: Scope = "increment",
    ) -> None:
        self.transfer += 1
        self.say(Part(self.transfer, 0, True, Delta(scope, entries, spans or {}, purged or {})))

    # What the others do.

    def pass_time(self, seconds: float) -> None:
        end_s = self.network.now_s + seconds
        while self.network.now_s < end_s:
            self.network.run_until(min(end_s, self.network.now_s + 0.1))
            for member in self.cluster.meshed:
                member.links.poll()

    def until(self, is_so: Callable[[], bool], within_s: float = 200.0) -> None:
        end_s = self.network.now_s + within_s
        while not is_so():
            assert self.network.now_s < end_s
            self.pass_time(1)

    async def write(self, member: MeshMember, number: int) -> None:
        renamed = msgspec.structs.replace(NETWORK, name=f"by-{member.host[0]}{number}")
        own = reservation(member.host, number)
        facts = Host(id=HostId(member.host), name=f"{member.host[0]}{number}")
        await member.store.write([Put(renamed), Put(own), Put(facts)])

    def check(self) -> None:
        """The others go on as if nothing had been."""
        self.pass_time(2)
        for number, (writer, reader) in enumerate(((self.a, self.b), (self.b, self.a)), 100):
            assert self.network.is_connected(A, B)
            asyncio.run(self.write(writer, number))
            own, facts = reservation(writer.host, number), f"{writer.host[0]}{number}"

            def is_there(reader: MeshMember = reader) -> bool:
                network = reader.store.get(Network, "n1")
                host = reader.store.get(Host, writer.host)  # noqa: B023
                return (
                    reader.store.get(Reservation, own.id) == own  # noqa: B023
                    and host is not None
                    and host.name == facts  # noqa: B023
                    and network is not None
                    and network.name == f"by-{facts}"  # noqa: B023
                )

            self.until(is_there)
        assert self.network.is_connected(A, B)
        for member in (self.a, self.b):
            assert member.store.get(Reservation, f"{member.host[0]}1") == reservation(member.host)
            self.start_again(member)

    def start_again(self, member: MeshMember) -> None:
        """What a weftd that starts now makes of what this one has."""
        asyncio.run(member.store.save())
        saved = member.journal.load(is_continued=True)
        replica = Replica(member.host, lambda: 1000.0 + self.network.now_s, bytes, saved)
        store = MeshStore(replica, member.journal)
        own = reservation(member.host)
        assert store.get(Reservation, own.id) == own
        assert not Compiler(functions(HostId(member.host)), store).faults


def entry(kind: str, id: str, body: bytes | None, **more: object) -> Entry:
    facts = {"clock": NOW, "origin": Origin(V, 5), "sequence": 1, "is_owned": False} | more
    return Entry(kind=kind, id=id, content=body, **facts)  # type: ignore[arg-type]


def network_entry(**more: object) -> Entry:
    return entry("network", "n1", codec.encode(NETWORK), **more)


def spans_of(entries: Iterable[Entry]) -> dict[Origin, Span]:
    return {each.origin: Span(0, each.sequence) for each in entries}


LATEST = Screen(1000.0)._latest
NUMBERS = [2**48, 2**56, LATEST - 1, LATEST, 2**60, 2**61, HUGE, 2**62, 2**63, 2**64 - 1]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("what", ["clock", "sequence", "incarnation of V", "of A", "of B"])
def test_a_huge_number_in_an_entry_costs_the_entry(what: str, number: int) -> None:
    world = World()
    more: dict[str, object] = {"clock": NOW + 1}
    if what in ("clock", "sequence"):
        more[what] = number
    else:
        more["origin"] = Origin({"A": A, "B": B, "V": V}[what[-1]], number)
    bad = network_entry(**more)
    world.give([bad], spans_of([bad]))
    world.check()


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("victim", [A, B])
def test_a_huge_mark_of_what_a_host_writes_now_silences_it_not(victim: str, number: int) -> None:
    world = World()
    member = world.a if victim == A else world.b
    origin = member.replica.origin
    assert origin is not None
    world.give((), {origin: Span(0, number)}, {origin: number})
    world.say(Hello(V, Digest({origin: number})))
    world.say(DigestMessage(Digest({origin: number, Origin(victim, number): number}), True))
    world.check()


@pytest.mark.parametrize("victim", [A, B])
def test_forged_writes_of_a_host_are_overtaken_by_its_own(victim: str) -> None:
    world = World()
    member = world.a if victim == A else world.b
    for turn in range(3):
        origin = member.replica.origin
        assert origin is not None
        forged = entry(
            "host",
            victim,
            codec.encode(Host(id=HostId(victim), name="forged")),
            origin=Origin(victim, origin.incarnation + turn % 2),
            sequence=2**40,
            is_owned=True,
        )
        gone = entry(
            "reservation",
            f"{victim[0]}1",
            None,
            origin=forged.origin,
            sequence=2**40 + 1,
            is_owned=True,
        )
        world.give([forged, gone], spans_of([gone]))
    world.check()


def test_a_host_in_whose_name_somebody_writes_without_end_keeps_what_it_owns() -> None:
    world = World()
    for _ in range(3 * MAX_REINCARNATIONS):
        origin = world.b.replica.origin
        assert origin is not None
        gone = entry(
            "reservation",
            "b1",
            None,
            origin=Origin(B, origin.incarnation + 2**30),
            is_owned=True,
        )
        world.give([gone], spans_of([gone]))
    assert world.b.replica.has_twin
    assert world.b.store.get(Reservation, "b1") == reservation(B)
    world.pass_time(700)
    world.say(Hello(V, Digest({Origin(B, LATEST // 2): 7})))
    world.check()


@pytest.mark.parametrize("scope", ["full", "repair", "increment"])
def test_who_says_that_there_is_nothing_takes_from_no_host_what_it_owns(scope: Scope) -> None:
    world = World()
    spans = {origin: Span(0, 2**40) for origin in world.b.replica.digest}
    world.give((), spans, dict.fromkeys(spans, 2**40), scope)
    assert world.b.store.get(Reservation, "b1") == reservation(B)
    assert world.b.store.get(Host, B) is not None
    world.check()


@pytest.mark.parametrize(
    "body",
    [
        b'{"before":%d}' % HUGE,
        b'{"before":%d}' % (2**80),
        b'{"before":-1}',
        b'{"before":5,"kept":[%d]}' % (2**80),
        b'{"before":5,"x":' + b"[" * 1000 + b"]" * 1000 + b"}",
        b"[" * 100_000,
        b"\xff",
        b"{}",
    ],
)
@pytest.mark.parametrize("victim", [A, B])
def test_nobody_is_silenced_by_a_forged_statement_of_what_counts(victim: str, body: bytes) -> None:
    world = World()
    member = world.a if victim == A else world.b
    assert member.replica.origin is not None
    for incarnation in (0, member.replica.origin.incarnation, LATEST - 2**30, HUGE):
        forged = entry(
            incarnations.KIND,
            victim,
            body,
            origin=Origin(victim, incarnation),
            sequence=2**40,
            is_owned=True,
        )
        world.give([forged], spans_of([forged]))
    world.check()


def test_a_forged_statement_that_is_well_formed_is_overtaken() -> None:
    world = World()
    assert world.a.replica.origin is not None
    incarnation = world.a.replica.origin.incarnation + 1000
    forged = entry(
        incarnations.KIND,
        A,
        b'{"before":%d}' % incarnation,
        origin=Origin(A, incarnation),
        is_owned=True,
    )
    world.give([forged], spans_of([forged]))
    world.check()


@pytest.mark.parametrize(
    "bad",
    [
        entry("", "", b"{}"),
        entry("network", "\x1b[2J", b"{}"),
        entry("network", "a\nb", b"{}"),
        entry("k" * 1000, "x", b"{}"),
        entry("network", "x" * 100_000, b"{}"),
        entry("network", "\u202e", b"{}"),
        entry("network", "x", b"{}", origin=Origin("", 1)),
        entry("network", "x", b"{}", origin=Origin("h" * 10_000, 1)),
        entry("network", "x", b"{}", origin=Origin("a\nb", 1)),
        entry("hologram", "x", b"\xff" * MAX_BODY_BYTES),
    ],
)
def test_names_and_sizes_that_make_no_sense_cost_the_entry(bad: Entry) -> None:
    world = World()
    world.give([bad], spans_of([bad]))
    world.check()
    assert all(str(each.id).isprintable() for each in world.a.store.quarantined.values())


def test_origins_without_number_leave_room_for_the_messages_of_others() -> None:
    world = World()
    for part in range(3):
        spans = {Origin(f"{part}-{n:06}", 1): Span(0, 1) for n in range(MAX_ORIGINS // 2)}
        world.give((), spans)
    assert len(world.b.replica.digest) <= MAX_ORIGINS + 8
    world.check()
    # A host that lost its memory begins another incarnation, and is heard all the same.
    former = world.a.replica.origin
    assert former is not None
    world.say(Hello(V, Digest({Origin(A, former.incarnation + 2**30): 1})))
    world.give((), {Origin(A, former.incarnation + 2**30): Span(0, 1)})
    world.check()
    assert world.a.replica.origin != former


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x01",
        b"\x01" + b"\x91" * 100_000,
        b"\x01" + b"\xdf\xff\xff\xff\xff",
        b"\x01" + b"\xc1" * 50,
        b"\x01" + msgspec.msgpack.encode([4, 2**64 - 1, -1, True, "full", [], [], [], []]),
        b"\x01" + msgspec.msgpack.encode([5, -(2**63), 2**64 - 1]),
        b"\x01" + msgspec.msgpack.encode([3, [["a", -1]], [-5], True, -1]),
        bytes(9 * 2**20),
    ],
)
def test_what_is_no_message_costs_the_villain_its_own_link_at_most(data: bytes) -> None:
    world = World()
    world.send(data)
    world.check()


def test_messages_out_of_all_order_do_no_harm() -> None:
    world = World()
    world.say(Ack(2**63, 2**63))
    world.say(Summary(0, 0))
    for piece in (7, 0, 2**63):
        world.say(Part(2**63, piece, piece != 7, Delta("full", (), {}, {})))
    world.say(DigestMessage(Digest(), True, 2**63))
    world.say(Hello(V, Digest(), is_answer=True))
    world.check()


@given(st.lists(bodies, min_size=1, max_size=20), st.booleans())
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
def test_records_of_any_content_are_shown_or_set_aside_and_stop_nobody(
    found: list[tuple[str, bytes]], is_owned: bool
) -> None:
    world = World()
    compilers = {
        member.host: Compiler(functions(HostId(member.host)), member.store)
        for member in (world.a, world.b)
    }
    for member in (world.a, world.b):
        member.store.watch(partial(_compile, compilers[member.host]))
    entries = [
        entry(kind, _id_in(body), body, sequence=n, is_owned=is_owned)
        for n, (kind, body) in enumerate(found, 1)
    ]
    world.give(entries, {Origin(V, 5): Span(0, len(entries))})
    world.check()
    for compiler in compilers.values():
        assert not compiler.faults


def _compile(compiler: Compiler, changed: Sequence[Changed]) -> None:
    compiler.update(changed)


def _id_in(body: bytes) -> str:
    id = msgspec.json.decode(body).get("id")
    # What is forged in the name of the others' own records is for other tests.
    return id if isinstance(id, str) and id.isprintable() and id not in ("n1", "") else "other"
