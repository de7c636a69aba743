"""The store of one of several hosts, as everything above it sees it: in the mesh and in etcd."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from tests.mesh.stores import EtcdCluster, MeshCluster, NewCluster, StoreCluster
from weft.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from weft.model import codec
from weft.model.addresses import ip_address
from weft.model.choices import ReservationReason
from weft.model.ids import BindingId, HostId, NetworkId, ReservationId, SubnetId, Vni
from weft.model.records import Binding, Host, Network, Reservation
from weft.store.draft import Draft
from weft.store.entry import MAX_BODY_BYTES
from weft.store.interface import Changed, Delete, Put
from weft.store.shown import carry_unchanged

A, B, C = "a" * 16, "b" * 16, "c" * 16
NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))


@pytest.fixture(params=["mesh", "etcd"])
async def new_cluster(request: pytest.FixtureRequest) -> AsyncIterator[NewCluster]:
    """Makes hosts whose records are in the mesh, or in a real etcd: ``await new_cluster(A)``."""
    made: list[StoreCluster] = []

    async def make(*hosts: str) -> StoreCluster:
        if request.param == "mesh":
            cluster: StoreCluster = MeshCluster(*hosts)
        else:
            cluster = EtcdCluster(request.getfixturevalue("etcd").url, *hosts)
        made.append(cluster)
        await cluster.begin()
        return cluster

    yield make
    for cluster in made:
        await cluster.end()


def host(name: str) -> Host:
    return Host(id=HostId(name), name=name)


def binding(host: str | None) -> Binding:
    return Binding(
        id=BindingId("b1"),
        system="docker",
        foreign_kind="network",
        foreign_id="f1",
        host_id=HostId(host) if host is not None else None,
        record_kind="network",
        record_id="n1",
    )


def reservation(owner: str, second: float | None = None) -> Reservation:
    return Reservation(
        id=ReservationId("r1"),
        subnet_id=SubnetId("s1"),
        host_id=HostId(owner),
        address=ip_address("192.0.2.1"),
        reason=ReservationReason.REST,
        expires_s=second,
    )


async def test_records_appear_on_all_hosts_and_listeners_are_told(new_cluster: NewCluster) -> None:
    mesh = await new_cluster(A, B, C)
    a, _, c = mesh.members
    await a.store.write([Put(NETWORK), Put(host(A))])
    await mesh.settle()
    assert c.store.get(Network, "n1") == NETWORK
    assert tuple(c.store.by(Network, "name", "foo")) == (NETWORK,)
    assert sorted(c.heard, key=lambda each: each.key[1]) == [
        Changed(None, host(A)),
        Changed(None, NETWORK),
    ]
    renamed = msgspec.structs.replace(NETWORK, name="bar")
    await c.store.write([Put(renamed), Delete(Network, "none")])
    await mesh.settle()
    assert a.heard[-1] == Changed(NETWORK, renamed)
    await a.store.write([Delete(Network, "n1")])
    await mesh.settle()
    assert c.heard[-1] == Changed(renamed, None)
    assert tuple(c.store.list(Network)) == ()


async def test_what_another_host_owns_is_not_written(new_cluster: NewCluster) -> None:
    mesh = await new_cluster(A, B)
    a, b = mesh.members
    await a.store.write([Put(host(A)), Put(reservation(A))])
    await mesh.settle()
    with pytest.raises(ConflictError, match=f"belongs to host {A}; change it there"):
        await b.store.write([Put(NETWORK), Put(reservation(A))])
    with pytest.raises(ConflictError, match=f"host {A}: belongs to host {A}"):
        await b.store.write([Delete(Host, A)])
    assert b.store.get(Network, "n1") is None


async def test_a_record_may_become_a_hosts_own_and_nobodys_again(new_cluster: NewCluster) -> None:
    mesh = await new_cluster(A, B)
    a, b = mesh.members
    await a.store.write([Put(binding(None))])
    await mesh.settle()
    await b.store.write([Put(binding(B))])
    await mesh.settle()
    await a.inject(Draft("binding", "b1", codec.encode(binding(None)), False))
    await mesh.settle()  # what anybody may write hides nothing that a host owns
    for member in mesh.members:
        assert member.store.get(Binding, "b1") == binding(B)
    with pytest.raises(ConflictError, match=f"belongs to host {B}"):
        await a.store.write([Delete(Binding, "b1")])
    await b.store.write([Put(binding(None))])
    await mesh.settle()
    assert a.store.get(Binding, "b1") == binding(None)
    await b.store.write([Put(binding(B))])
    await mesh.settle()
    await a.inject(Draft("binding", "b1", codec.encode(binding(None)), False))
    await mesh.settle()
    await b.store.write([Delete(Binding, "b1")])
    await mesh.settle()
    for member in mesh.members:
        assert member.store.get(Binding, "b1") is None  # the shared one does not come back
        assert not member.store.quarantined


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        (Draft("reservation", "r1", codec.encode(reservation(B)), True), f"belongs to host {B}"),
        (Draft("host", B, codec.encode(host(B)), True), f"belongs to host {B}"),
        (Draft("host", B, codec.encode(host(B)), False), "belonged to nobody"),
        (Draft("binding", "b1", codec.encode(binding(B)), False), "belonged to nobody"),
        (Draft("binding", "b1", codec.encode(binding(None)), True), "belongs to nobody"),
        (Draft("network", "n1", codec.encode(NETWORK), True), "belongs to nobody"),
        (Draft("network", "n1", b'{"id":"n1","name":7}', False), "name"),
        (Draft("network", "n1", b"\xff", False), "network record"),
        (Draft("network", "n2", codec.encode(NETWORK), False), "its id inside is n1"),
        (Draft("reservation", "r1", b"[", True), "reservation record"),
    ],
)
async def test_what_cannot_be_used_is_set_aside_named_and_passed_on(
    new_cluster: NewCluster, draft: Draft, reason: str
) -> None:
    mesh = await new_cluster(A, B, C)
    a, b, c = mesh.members
    await b.store.write([Put(reservation(B)), Put(host(B))])
    await mesh.settle()
    before = list(c.store.list(Reservation)), list(c.store.list(Host))
    await a.inject(draft)
    await mesh.settle()
    (found,) = c.store.quarantined.values()
    assert (found.kind, found.id, found.host) == (draft.kind, draft.id, a.as_writer(draft))
    assert reason in found.reason
    assert found.fix.startswith(f"on host {A}: weft mend " if draft.is_owned else "weft mend ")
    assert (list(c.store.list(Reservation)), list(c.store.list(Host))) == before
    assert not list(c.store.list(Network))
    assert c.holds == a.holds
    await a.inject(draft._replace(body=None))
    await mesh.settle()
    assert not c.store.quarantined
    assert (list(c.store.list(Reservation)), list(c.store.list(Host))) == before


async def test_of_two_hosts_that_own_one_id_the_later_is_shown(new_cluster: NewCluster) -> None:
    mesh = await new_cluster(A, B)
    a, b = mesh.members
    await a.store.write([Put(reservation(A))])
    await b.store.write([Put(reservation(B))])
    await mesh.settle()
    shown = {str(member.store.get(Reservation, "r1")) for member in mesh.members}
    assert len(shown) == 1
    last = next(iter(a.store.list(Reservation))).host_id
    owner = {A: a, B: b}[last]
    await owner.store.write([Delete(Reservation, "r1")])
    await mesh.settle()
    for member in mesh.members:
        found = member.store.get(Reservation, "r1")
        assert found is not None
        assert found.host_id != last


async def test_kinds_and_fields_of_a_newer_weft_are_kept_and_passed_on(
    new_cluster: NewCluster,
) -> None:
    mesh = await new_cluster("new", "old", "new2")
    new, old, new2 = mesh.members
    body = codec.encode(NETWORK)[:-1] + b',"colour":{"of":["future"]}}'
    await new.inject(Draft("network", "n1", body, False))
    await new.inject(Draft("hologram", "h1", b"\x00 not even JSON", False))
    await mesh.settle()
    assert old.store.get(Network, "n1") == NETWORK
    assert not old.store.quarantined
    await old.store.write([Put(msgspec.structs.replace(NETWORK, name="bar"))])
    await mesh.settle()
    for member in (new, new2):
        fields = msgspec.json.decode(member.holds["network", "n1", ""])
        assert fields["colour"] == {"of": ["future"]}
        assert fields["name"] == "bar"
        assert member.holds["hologram", "h1", ""] == b"\x00 not even JSON"


async def test_a_full_disk_refuses_writes_and_loses_nothing(new_cluster: NewCluster) -> None:
    mesh = await new_cluster(A, B)
    a, b = mesh.members
    a.journal.is_full = True
    with pytest.raises(UnavailableError, match="disk is full"):
        await a.store.write([Put(host(A))])
    assert a.store.get(Host, A) is None
    await b.store.write([Put(host(B))])
    await mesh.settle()
    await a.store.save()
    assert a.store.unsaved is not None
    assert a.store.get(Host, B) == host(B)
    a.journal.is_full = False
    await a.store.save()
    assert a.store.unsaved is None
    await a.store.write([Put(host(A))])
    await mesh.settle()
    assert b.store.get(Host, A) == host(A)
    kept = {entry.id for entry in a.journal.load(True).entries}
    assert kept == {A, B}


async def test_a_body_that_no_message_holds_is_refused(new_cluster: NewCluster) -> None:
    (a,) = (await new_cluster(A)).members
    with pytest.raises(InvalidError, match="bytes, at most"):
        await a.store.write([Put(msgspec.structs.replace(NETWORK, name="x" * MAX_BODY_BYTES))])


@pytest.mark.parametrize("old", [b"[]", b"\xff", b'{"id":"n1"}'])
def test_unknown_fields_of_what_is_no_object_are_none(old: bytes) -> None:
    carry: Callable[[bytes], bytes] = lambda body: carry_unchanged(NETWORK, old, body)  # noqa: E731
    assert carry(b'{"id":"n1"}') == b'{"id":"n1"}'


async def test_a_record_that_cannot_be_used_is_removed_everywhere_by_one_word(
    new_cluster: NewCluster,
) -> None:
    mesh = await new_cluster(A, B)
    a, b = mesh.members
    await mesh.settle()
    await b.inject(Draft("network", "bad", b'{"id":1}', False))
    await b.inject(Draft("reservation", "r1", b"{}", False))
    await b.inject(Draft("reservation", "r2", b"{}", True))
    await mesh.settle()
    assert len(a.store.quarantined) == 3
    with pytest.raises(NotFoundError, match="not among those"):
        await a.store.mend("network", "n1")
    with pytest.raises(ConflictError, match=f"belongs to host {B}"):
        await a.store.mend("reservation", "r2")
    await a.store.mend("network", "bad")
    await a.store.mend("reservation", "r1")
    await b.store.mend("reservation", "r2")
    await mesh.settle()
    for member in mesh.members:
        assert not member.store.quarantined
        assert member.holds == a.holds
