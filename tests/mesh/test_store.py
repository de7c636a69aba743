"""The store of a mesh member, as everything above it sees it."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from weft.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from weft.mesh.entry import Key
from weft.mesh.fake_transport import FakeNetwork
from weft.mesh.journal import MemoryJournal
from weft.mesh.ledger import Batch
from weft.mesh.links import Links
from weft.mesh.replica import Draft, Replica
from weft.mesh.session import Pace
from weft.mesh.store import MeshStore, carry_unknown
from weft.mesh.wire import MAX_BODY_BYTES
from weft.model import codec
from weft.model.addresses import ip_address
from weft.model.ids import HostId, NetworkId, ReservationId, SubnetId, Vni
from weft.model.records import Host, Network, Reservation
from weft.store.interface import Changed, Delete, Put

NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))


class DiskThatFills(MemoryJournal):
    is_full = False

    async def append(self, batch: Batch) -> None:
        if self.is_full:
            raise UnavailableError("database: disk is full; nothing was changed")
        await super().append(batch)


class Member:
    """One host of the mesh."""

    def __init__(self, network: FakeNetwork, host: str) -> None:
        self.host = host
        self.journal = DiskThatFills()
        self.replica = Replica(host, lambda: 1000.0 + network.now_s, random.Random(host).randbytes)
        self.store = MeshStore(self.replica, self.journal)
        pace = Pace(coalesce_s=0.0)
        self.links = Links(
            self.replica, network.transport(host), network.clock_s, self.store.merged, pace
        )
        self.store.on_write(self.pass_on)
        self.heard: list[Changed] = []
        self.store.watch(self.heard.extend)
        network.start(host, self.links)

    def pass_on(self) -> None:
        self.links.pass_on()
        self.links.poll()

    def inject(self, draft: Draft) -> None:
        """Write what MeshStore would refuse, as a faulty or newer weft does."""
        self.store.merged(self.replica.write([draft]))
        self.pass_on()


class Mesh:
    def __init__(self, *hosts: str) -> None:
        self.network = FakeNetwork(1)
        self.members = [Member(self.network, host) for host in hosts]
        for n, member in enumerate(self.members[1:]):
            self.network.connect(self.members[n].host, member.host)

    def settle(self) -> None:
        for _ in range(10):
            self.network.run_until(self.network.now_s + 0.1)
            for member in self.members:
                member.links.poll()


def host(name: str) -> Host:
    return Host(id=HostId(name), name=name)


def reservation(owner: str, second: float | None = None) -> Reservation:
    return Reservation(
        id=ReservationId("r1"),
        subnet_id=SubnetId("s1"),
        host_id=HostId(owner),
        address=ip_address("192.0.2.1"),
        reason="rest",
        expires_s=second,
    )


async def test_records_appear_on_all_hosts_and_listeners_are_told() -> None:
    mesh = Mesh("a", "b", "c")
    a, _, c = mesh.members
    await a.store.write([Put(NETWORK), Put(host("a"))])
    mesh.settle()
    assert c.store.get(Network, "n1") == NETWORK
    assert tuple(c.store.by(Network, "name", "foo")) == (NETWORK,)
    assert c.heard == [Changed(None, NETWORK), Changed(None, host("a"))]
    renamed = msgspec.structs.replace(NETWORK, name="bar")
    await c.store.write([Put(renamed), Delete(Network, "none")])
    mesh.settle()
    assert a.heard[-1] == Changed(NETWORK, renamed)
    await a.store.write([Delete(Network, "n1")])
    mesh.settle()
    assert c.heard[-1] == Changed(renamed, None)
    assert tuple(c.store.list(Network)) == ()


async def test_what_another_host_owns_is_not_written() -> None:
    mesh = Mesh("a", "b")
    a, b = mesh.members
    await a.store.write([Put(host("a")), Put(reservation("a"))])
    mesh.settle()
    with pytest.raises(ConflictError, match="belongs to host a; change it there"):
        await b.store.write([Put(NETWORK), Put(reservation("a"))])
    with pytest.raises(ConflictError, match="host a: belongs to host a"):
        await b.store.write([Delete(Host, "a")])
    assert b.store.get(Network, "n1") is None


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        (Draft("reservation", "r1", codec.encode(reservation("b")), True), "belongs to host b"),
        (Draft("host", "b", codec.encode(host("b")), True), "belongs to host b"),
        (Draft("host", "b", codec.encode(host("b")), False), "belonged to nobody"),
        (Draft("network", "n1", b'{"id":"n1","name":7}', False), "name"),
        (Draft("network", "n1", b"\xff", False), "network record"),
        (Draft("network", "n2", codec.encode(NETWORK), False), "its id inside is n1"),
        (Draft("reservation", "r1", b"[", True), "reservation record"),
    ],
)
async def test_what_cannot_be_used_is_set_aside_named_and_passed_on(
    draft: Draft, reason: str
) -> None:
    mesh = Mesh("a", "b", "c")
    a, b, c = mesh.members
    await b.store.write([Put(reservation("b")), Put(host("b"))])
    mesh.settle()
    before = list(c.store.list(Reservation)), list(c.store.list(Host))
    a.inject(draft)
    mesh.settle()
    (found,) = c.store.quarantined.values()
    assert (found.kind, found.id, found.host) == (draft.kind, draft.id, "a")
    assert reason in found.reason
    assert found.fix.startswith("on host a: weft mend " if draft.is_owned else "weft mend ")
    assert (list(c.store.list(Reservation)), list(c.store.list(Host))) == before
    assert not list(c.store.list(Network))
    assert c.replica.digest == a.replica.digest
    a.inject(draft._replace(body=None))
    mesh.settle()
    assert not c.store.quarantined
    assert (list(c.store.list(Reservation)), list(c.store.list(Host))) == before


async def test_of_two_hosts_that_own_one_id_the_later_is_shown() -> None:
    mesh = Mesh("a", "b")
    a, b = mesh.members
    await a.store.write([Put(reservation("a"))])
    await b.store.write([Put(reservation("b"))])
    mesh.settle()
    shown = {str(member.store.get(Reservation, "r1")) for member in mesh.members}
    assert len(shown) == 1
    last = next(iter(a.store.list(Reservation))).host_id
    owner = {"a": a, "b": b}[last]
    await owner.store.write([Delete(Reservation, "r1")])
    mesh.settle()
    for member in mesh.members:
        found = member.store.get(Reservation, "r1")
        assert found is not None
        assert found.host_id != last


async def test_kinds_and_fields_of_a_newer_weft_are_kept_and_passed_on() -> None:
    mesh = Mesh("new", "old", "new2")
    new, old, new2 = mesh.members
    body = codec.encode(NETWORK)[:-1] + b',"colour":{"of":["future"]}}'
    new.inject(Draft("network", "n1", body, False))
    new.inject(Draft("hologram", "h1", b"\x00 not even JSON", False))
    mesh.settle()
    assert old.store.get(Network, "n1") == NETWORK
    assert not old.store.quarantined
    await old.store.write([Put(msgspec.structs.replace(NETWORK, name="bar"))])
    mesh.settle()
    for member in (new, new2):
        entry = member.replica.get(Key("network", "n1", ""))
        assert entry is not None
        assert entry.body is not None
        fields = msgspec.json.decode(entry.body)
        assert fields["colour"] == {"of": ["future"]}
        assert fields["name"] == "bar"
        hologram = member.replica.get(Key("hologram", "h1", ""))
        assert hologram is not None
        assert hologram.body == b"\x00 not even JSON"


async def test_a_full_disk_refuses_writes_and_loses_nothing() -> None:
    mesh = Mesh("a", "b")
    a, b = mesh.members
    a.journal.is_full = True
    with pytest.raises(UnavailableError, match="disk is full"):
        await a.store.write([Put(NETWORK)])
    assert a.store.get(Network, "n1") is None
    await b.store.write([Put(host("b"))])
    mesh.settle()
    await a.store.save()
    assert a.store.unsaved is not None
    assert a.store.get(Host, "b") == host("b")
    a.journal.is_full = False
    await a.store.save()
    assert a.store.unsaved is None
    await a.store.write([Put(NETWORK)])
    mesh.settle()
    assert b.store.get(Network, "n1") == NETWORK
    kept = {entry.id for entry in a.journal.load(True).entries}
    assert kept == {"b", "n1"}


async def test_a_body_that_no_message_holds_is_refused() -> None:
    (a,) = Mesh("a").members
    with pytest.raises(InvalidError, match="bytes, at most"):
        await a.store.write([Put(msgspec.structs.replace(NETWORK, name="x" * MAX_BODY_BYTES))])


@pytest.mark.parametrize("old", [b"[]", b"\xff", b'{"id":"n1"}'])
def test_unknown_fields_of_what_is_no_object_are_none(old: bytes) -> None:
    carry: Callable[[bytes], bytes] = lambda body: carry_unknown(Network, old, body)  # noqa: E731
    assert carry(b'{"id":"n1"}') == b'{"id":"n1"}'


async def test_a_record_that_cannot_be_used_is_removed_everywhere_by_one_word() -> None:
    mesh = Mesh("a", "b")
    a, b = mesh.members
    mesh.settle()
    b.inject(Draft("network", "bad", b'{"id":1}', False))
    b.inject(Draft("reservation", "r1", b"{}", False))
    b.inject(Draft("reservation", "r2", b"{}", True))
    mesh.settle()
    assert len(a.store.quarantined) == 3
    with pytest.raises(NotFoundError, match="not among those"):
        await a.store.mend("network", "n1")
    with pytest.raises(ConflictError, match="belongs to host b"):
        await a.store.mend("reservation", "r2")
    await a.store.mend("network", "bad")
    await a.store.mend("reservation", "r1")
    await b.store.mend("reservation", "r2")
    mesh.settle()
    for member in mesh.members:
        assert not member.store.quarantined
        assert member.replica.digest == a.replica.digest
