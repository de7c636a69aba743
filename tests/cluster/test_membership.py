"""A member: whom it links to, what it remembers, what it does about the removed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.fake_links import FakeHostLinks, link
from tests.cluster.hosts import until
from weft.cluster import membership
from weft.cluster.endpoints import parse_endpoints
from weft.cluster.interface import Endpoint, Problem
from weft.cluster.membership import Membership
from weft.cluster.opening import refusals
from weft.cluster.remembered import Remembered
from weft.cluster.secret import Secrets
from weft.mesh.exchange import Exchange
from weft.mesh.opening import Opened, open_mesh
from weft.mesh.replica import Replica
from weft.model import codec
from weft.model.addresses import ip_address
from weft.model.ids import HostId
from weft.model.records import ForgottenHost, Host, Neighbour, Neighbours
from weft.store.beginning import Places
from weft.store.draft import Draft
from weft.store.interface import Put

B, C = HostId("b" * 16), HostId("c" * 16)


class Member:
    """This host; the others are what a test says that they are."""

    def __init__(self, folder: Path, mesh: Opened, join: str) -> None:
        self.mesh = mesh
        self._replicas: dict[str, Replica] = {}
        self.links = FakeHostLinks()
        self.secrets = Secrets.open(folder) or Secrets.found(folder, os.urandom, time.time())
        self.remembered = Remembered(folder)
        self.membership = Membership(
            host_id=mesh.host_id,
            store=mesh.store,
            links=self.links,
            exchange=Exchange(mesh.replica, mesh.store, self.links, time.monotonic),
            secrets=self.secrets,
            remembered=self.remembered,
            join=parse_endpoints(join, 6783),
            monotonic_s=time.monotonic,
            wall_s=time.time,
        )

    def hear(self, *records: Host | Neighbours) -> None:
        """Records that their hosts have written."""
        for record in records:
            draft = Draft(record.KIND, record.id, codec.encode(record), True)
            new = Replica(record.id, time.time, os.urandom)
            other = self._replicas.setdefault(record.id, new)
            other.write([draft])
            delta = other.missing_for(self.mesh.replica.digest)
            assert delta is not None
            differences = self.mesh.replica.merge(delta)
            assert differences is not None
            self.mesh.store.merged(differences)

    def dialed(self) -> set[str]:
        return {str(each) for target in self.links.targets for each in target.endpoints}


@contextlib.asynccontextmanager
async def member(folder: Path, join: str = "") -> AsyncIterator[Member]:
    (folder / "run").mkdir(exist_ok=True)
    places = Places(folder / "weft.db", folder / "host-id", folder / "run/start")
    mesh = await open_mesh(places, time.time, random.Random(1).randbytes)
    made = Member(folder, mesh, join)
    task = asyncio.ensure_future(made.membership.run())
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await mesh.store.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "COALESCE_S", 0.001)
    monkeypatch.setattr(membership, "CLOSE_S", 0.01)
    monkeypatch.setattr(membership, "RETIRE_S", 0.05)


def host(id: str, *addresses: str, **fields: object) -> Host:
    return Host(id=HostId(id), name=id[:2], underlay=tuple(map(ip_address, addresses)), **fields)  # type: ignore[arg-type]


async def test_all_known_hosts_are_linked_and_those_to_join_while_nobody_has_their_address(
    tmp_path: Path,
) -> None:
    async with member(tmp_path, "192.0.2.2,h9.example:7000") as me:
        await until(lambda: me.dialed() == {"192.0.2.2:6783", "h9.example:7000"})
        assert all(target.host_id is None for target in me.links.targets)
        me.hear(host(B, "192.0.2.2", "2001:db8::2"), host(C, "192.0.2.3", mesh_port=7783))
        expected = {"192.0.2.2:6783", "[2001:db8::2]:6783", "192.0.2.3:7783", "h9.example:7000"}
        await until(lambda: me.dialed() == expected)
        assert {target.host_id for target in me.links.targets} == {None, B, C}


async def test_a_host_does_not_dial_itself(tmp_path: Path) -> None:
    async with member(tmp_path, "192.0.2.1,192.0.2.2") as me:
        await until(lambda: len(me.dialed()) == 2)
        own = host(me.mesh.host_id, "192.0.2.1")
        await me.mesh.store.write([Put(own)])
        await until(lambda: me.dialed() == {"192.0.2.2:6783"})


async def test_whom_it_met_is_known_after_the_database_is_lost(tmp_path: Path) -> None:
    async with member(tmp_path) as me:
        me.hear(host(B, "192.0.2.2"))
        await until(lambda: B in me.remembered.known.hosts)
    (tmp_path / "weft.db").write_bytes(b"no database at all" * 500)
    async with member(tmp_path) as me:
        await until(lambda: me.dialed() == {"192.0.2.2:6783"})
        assert me.links.targets[0].host_id == B
        waiting = asyncio.ensure_future(me.membership.find_lost_records())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        me.membership.exchange.caught_up.set()
        await waiting


async def test_a_list_of_hosts_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path)
    remembered.update(join="192.0.2.2")
    file = tmp_path / "cluster/hosts.json"
    assert file.stat().st_mode & 0o077 == 0
    assert Remembered(tmp_path).known.join == "192.0.2.2"
    file.write_bytes(b"{")
    assert Remembered(tmp_path).known.join == ""


async def test_a_removed_host_is_refused_by_name_and_its_link_closed(tmp_path: Path) -> None:
    async with member(tmp_path) as me:
        me.hear(host(B, "192.0.2.2"))
        me.links.put(link(B, "192.0.2.2"))
        await until(lambda: len(me.links.targets) == 1)
        await me.mesh.store.write([Put(ForgottenHost(id=B, name="h2", at_s=0.0))])
        await until(lambda: B in me.links.closed)
        await until(lambda: not me.links.targets)
        refusal = refusals(me.mesh.store)
        assert "host h2" in str(refusal(B))
        assert "weft leave" in str(refusal(B))
        assert refusal(C) is None
        await until(lambda: B not in me.remembered.known.hosts)


async def test_a_host_knows_that_it_was_removed_from_the_others_refusal(tmp_path: Path) -> None:
    async with member(tmp_path) as me:
        assert not me.membership.is_removed
        me.links.fail(
            Problem(
                address="192.0.2.2:6783",
                host_id=B,
                reason="host h1 was removed",
                fix="",
                at_s=0.0,
                is_outgoing=True,
                is_removal=True,
            )
        )
        assert me.membership.is_removed


async def test_the_former_secret_goes_once_all_hosts_have_confirmed_the_new_one(
    tmp_path: Path,
) -> None:
    async with member(tmp_path) as me:
        me.hear(host(B, "192.0.2.2", secret_id=me.secrets.current_id))
        me.membership.rotate()
        present = me.secrets.current_id
        own = host(me.mesh.host_id, "192.0.2.1", secret_id=present)
        await me.mesh.store.write([Put(own)])
        await asyncio.sleep(0.1)
        assert me.membership.rotation.is_rotating
        me.hear(host(B, "192.0.2.2", secret_id=present))
        await until(lambda: not me.membership.rotation.is_rotating)


async def test_since_when_a_host_is_as_it_is(tmp_path: Path) -> None:
    async with member(tmp_path) as me:
        me.hear(host(B, "192.0.2.2"))
        await until(lambda: B in me.membership.since_s)
        began_s = me.membership.since_s[B]
        me.links.put(link(B, "192.0.2.2"))
        await until(lambda: me.membership.since_s[B] > began_s)
        linked_s = me.membership.since_s[B]
        own = Neighbour(host_id=me.mesh.host_id, address=ip_address("192.0.2.1"))
        me.hear(Neighbours(id=B, host_id=B, neighbours=(own,)))
        await me.mesh.store.write([Put(host(me.mesh.host_id, "192.0.2.1"))])
        await until(lambda: B in me.membership.reached)
        assert me.membership.since_s[B] == linked_s
        assert Endpoint("192.0.2.2", 6783) in me.links.targets[0].endpoints
