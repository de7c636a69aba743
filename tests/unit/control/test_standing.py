"""How hosts stand, in words and in numbers; and how one goes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.cluster.fake_links import link
from tests.surroundings import AtOnce, NothingRuns, WholeSpace
from tests.unit.conftest import FakeMembers
from weft.cluster.interface import Problem
from weft.cluster.standing import Standing
from weft.config import Settings
from weft.control import hosts as hosts_module
from weft.control.answers.explanation import Told, explain
from weft.control.context import Context
from weft.control.control import Control
from weft.errors import ConflictError, InUseError, InvalidError, NotFoundError, UnavailableError
from weft.model.addresses import ip_address
from weft.model.ids import HostId, MacAddress, NetworkId, PortId
from weft.model.records import (
    AddressBlocks,
    ForgottenHost,
    Host,
    Lease,
    LeaseMember,
    Neighbour,
    Neighbours,
    Owner,
    Port,
    Record,
)
from weft.store.health import Health
from weft.store.interface import Delete
from weft.store.memory import MemoryStore
from weft.store.shown import Quarantined
from weft.topology.routes import Route, routes

A, B, C = (HostId(letter * 16) for letter in "abc")


def host(id: HostId, number: int, **fields: object) -> Host:
    usual: dict[str, object] = {
        "name": f"h{number}",
        "underlay": (ip_address(f"192.0.2.{number}"),),
    }
    return Host(id=id, **(usual | fields))  # type: ignore[arg-type]


def neighbours(id: HostId, *others: tuple[HostId, bool], mtu_bytes: int = 0) -> Neighbours:
    """(host, whether the path is broken) each."""
    return Neighbours(
        id=id,
        host_id=id,
        neighbours=tuple(
            Neighbour(
                host_id=other,
                address=ip_address("192.0.2.99"),
                path_mtu_bytes=mtu_bytes,
                is_path_broken=is_broken,
            )
            for other, is_broken in others
        ),
    )


def problem(host_id: HostId | None, **fields: object) -> Problem:
    usual: dict[str, object] = {
        "address": "192.0.2.2:6783",
        "reason": "nothing listens there",
        "fix": "start it",
        "at_s": 1.0,
        "is_outgoing": True,
    }
    return Problem(host_id=host_id, **(usual | fields))  # type: ignore[arg-type]


class Desk:
    """Host A, and what it knows of B and C."""

    def __init__(self, *records: Record) -> None:
        self.store = MemoryStore([host(A, 1), host(B, 2), host(C, 3), *records])
        self.members = FakeMembers()
        self.wrong = Health()
        self.mended: list[tuple[str, str]] = []
        context = Context(
            store=self.store,
            settler=AtOnce(),
            settings=Settings(name="h1"),
            host_id=A,
            wall_s=lambda: 1000.0,
            random_bytes=random.Random(1).randbytes,
            host_routes=tuple,
            targets=NothingRuns(),
            space=WholeSpace,
        )
        self.control = Control(context, self.members, self)
        self.members.reached = dict(self.store.ask(routes, A))

    def health(self) -> Health:
        return self.wrong

    async def mend(self, kind: str, id: str) -> None:
        self.mended.append((kind, id))

    def of(self, id: HostId) -> Standing:
        return next(one for one in self.control.hosts.standings() if one.host.id == id)

    def why(self, id: HostId, port: Port | None = None) -> str:
        found = explain(self.store, self.of(id), port, self.members)
        return f"{found.is_reachable}: {'; '.join(found.sentences)}"

    def troubles(self) -> str:
        return "\n".join(f"{one.name}: {one.reason}" for one in self.control.hosts.troubles())


def test_a_linked_host_is_reached_directly() -> None:
    desk = Desk(
        neighbours(A, (B, False), mtu_bytes=9000), neighbours(B, (A, False), mtu_bytes=1500)
    )
    desk.members.links[B] = link(B, "192.0.2.2", rtt_s=0.002, clock_offset_s=-60.0, since_s=7.0)
    found = desk.of(B)
    assert (found.state, found.path, found.path_mtu_bytes) == ("connected", "direct", 1500)
    assert (found.since_s, found.rtt_s, found.reason) == (7.0, 0.002, "")
    assert found.way is not None
    assert found.way.value == "plain"
    assert desk.why(B).startswith("True: a link to it is up (192.0.2.2, dialed from here")
    assert "packets of up to 1500 bytes" in desk.why(B)
    assert "h2: its clock is 60 s behind this host's" in desk.troubles()


def test_a_host_without_a_link_is_indirect_and_its_traffic_relayed_where_the_path_is_broken() -> (
    None
):
    desk = Desk(
        neighbours(A, (B, False), (C, True)),
        neighbours(B, (A, False), (C, False)),
        neighbours(C, (B, False)),
    )
    desk.members.links[B] = link(B, "192.0.2.2")
    found = desk.of(C)
    assert (found.state, found.path) == ("indirect", "relayed")
    assert found.relay is not None
    assert found.relay.name == "h2"
    assert "news of it comes by way of h2" in desk.why(C)
    assert "h2 relays them" in desk.why(C)
    assert desk.why(C).startswith("True")


def test_a_path_that_is_broken_and_not_to_be_relayed_is_a_problem() -> None:
    desk = Desk(neighbours(A, (B, True)), neighbours(B, (A, False)))
    desk.members.links[B] = link(B, "192.0.2.2")
    found = desk.of(B)
    assert (found.state, found.path) == ("connected", "broken")
    assert "lost on the way" in found.reason
    assert "overlay_port" in found.fix
    assert desk.why(B).startswith("False")
    assert desk.why(B).count("no host can relay it") == 1
    assert desk.troubles().count("no host can relay it") == 1


def test_a_lost_host_says_why_and_what_to_do() -> None:
    desk = Desk()
    desk.members.since_s[B] = 500.0
    assert desk.of(B).state == "lost"
    assert desk.of(B).since_s == 500.0
    assert desk.of(B).fix.endswith("weft forget h2")
    desk.members.problems.append(problem(B))
    assert desk.of(B).reason == "192.0.2.2:6783: nothing listens there"
    assert desk.of(B).fix == "start it"
    assert desk.why(B).startswith("False: neither this host")
    assert "h2: 192.0.2.2:6783: nothing listens there" in desk.troubles()


def test_a_neighbour_whose_link_has_just_gone_is_lost() -> None:
    desk = Desk(neighbours(A, (B, False)), neighbours(B, (A, False)))
    assert desk.members.reached[B] == Route(B, B, ip_address("192.0.2.99"), 1, 0)
    assert desk.of(B).state == "lost"


def test_a_clone_is_shown_beside_the_link_to_the_first_one() -> None:
    desk = Desk()
    desk.members.links[B] = link(B, "192.0.2.2")
    desk.members.problems.append(
        problem(B, is_clone=True, reason="two live machines have the host id", fix="on the copy …")
    )
    assert desk.of(B).state == "connected"
    assert desk.of(B).reason.startswith("two live machines")
    assert "two live machines" in desk.troubles()
    desk.members.problems[:] = [problem(A, is_clone=True, reason="two live machines: it is here")]
    assert "h1: 192.0.2.2:6783: two live machines" in desk.troubles()


def test_attempts_that_belong_to_no_host_are_listed_apart() -> None:
    desk = Desk()
    unknown, own = problem(None), problem(A, is_clone=True)
    desk.members.problems[:] = [unknown, own, problem(B)]
    assert desk.control.hosts.unnamed() == [unknown, own]


def test_hosts_of_one_name_are_a_problem_and_need_their_ids() -> None:
    desk = Desk(host(HostId("d" * 16), 4, name="h2"))
    assert "h2: 2 hosts are called so" in desk.troubles()
    with pytest.raises(ConflictError, match="give one of the ids bbbb"):
        desk.control.hosts.find("h2")
    assert desk.control.hosts.find("bbbb").id == B
    with pytest.raises(NotFoundError, match="did you mean h1"):
        desk.control.hosts.find("h11")


def test_what_is_wrong_with_the_records_is_shown() -> None:
    desk = Desk()
    desk.wrong = Health(
        set_aside=Path("/var/lib/weft/weft.db.broken-1"),
        unsaved="database: disk is full",
        quarantined=(Quarantined("network", "n1", B, "name is missing"),),
        skew_s={C: 90000.0},
        has_twin=True,
    )
    text = desk.troubles()
    for part in ("set aside as /var", "disk is full", "name is missing", "90000 s ahead", "a copy"):
        assert part in text
    assert "weft mend network n1" in desk.control.hosts.troubles()[-3].fix


def test_why_names_the_port_and_its_network() -> None:
    port = Port(
        id=PortId("p1"),
        network_id=NetworkId("n1"),
        host_id=B,
        mac="02:00:00:00:00:01",  # type: ignore[arg-type]
        slot=0,
        addresses=(ip_address("10.1.0.2"),),
        names=("web",),
        owner=Owner(frontend="cli"),
    )
    desk = Desk(port)
    text = desk.why(B, port)
    assert "web has 10.1.0.2 on network n1, host h2" in text
    assert "its network was removed" in text


async def test_only_a_host_that_is_gone_is_forgotten() -> None:
    desk = Desk()
    desk.members.links[B] = link(B)
    with pytest.raises(InUseError, match="run weft leave there"):
        await desk.control.hosts.forget("h2")
    with pytest.raises(InvalidError, match="weft leave"):
        await desk.control.hosts.forget("h1")
    await desk.control.hosts.forget("h3")
    await desk.control.hosts.forget("h2", is_forced=True)
    names = {one.id: (one.name, one.at_s) for one in desk.store.list(ForgottenHost)}
    assert names == {B: ("h2", 1000.0), C: ("h3", 1000.0)}


def lease(id: HostId) -> Lease:
    members = (LeaseMember(host_id=id, generation=1),)
    return Lease(id=id, host_id=id, generation=1, term=1, members=members, revision=1, digest="")


async def test_a_host_that_leaves_gives_up_its_own_and_tells_the_others() -> None:
    blocks = AddressBlocks(id="k1", subnet_id="s1", host_id=A)  # type: ignore[arg-type]
    desk = Desk(
        Port(
            id=PortId("p1"),
            network_id=NetworkId("n1"),
            host_id=A,
            mac="02:00:00:00:00:01",  # type: ignore[arg-type]
            slot=0,
            owner=Owner(frontend="cli"),
        ),
        neighbours(A, (B, False)),
        blocks,
        lease(A),
    )
    with pytest.raises(UnavailableError, match="no other host of the cluster is linked"):
        await desk.control.hosts.leave()
    rotated = problem(B, reason="the token was rotated", fix="join again", at_s=2.0)
    desk.members.problems[:] = [rotated, problem(C)]
    with pytest.raises(UnavailableError, match=r"the token was rotated; join again, or weft leave"):
        await desk.control.hosts.leave()
    assert tuple(desk.store.list(Port))
    desk.members.links[B] = link(B)
    assert await desk.control.hosts.leave()
    assert not tuple(desk.store.list(Port))
    assert desk.store.get(Host, A) is None
    assert desk.store.get(Neighbours, A) is None
    assert desk.store.get(ForgottenHost, A) == ForgottenHost(id=A, name="h1", at_s=1000.0)
    # By these the others share out what was its own.
    assert desk.store.get(AddressBlocks, "k1") == blocks
    assert desk.store.get(Lease, A) == lease(A)


async def test_leaving_waits_for_a_word_from_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts_module, "PASS_ON_S", 0.05)
    desk = Desk()
    desk.members.links[B] = link(B)
    desk.members.has_passed_on = False
    with pytest.raises(UnavailableError, match="try again"):
        await desk.control.hosts.leave()
    assert not await desk.control.hosts.leave(is_forced=True)
    # A refusal by name is a word, too.
    desk.members.problems.append(problem(B, is_removal=True))
    assert not await desk.control.hosts.leave()


async def test_a_host_that_is_alone_leaves_without_asking_anybody() -> None:
    desk = Desk()
    desk.store.apply([Delete(Host, B), Delete(Host, C)])
    assert not await desk.control.hosts.leave()
    assert not tuple(desk.store.list(ForgottenHost))


def test_what_a_port_sends_from_foreign_addresses_is_told_with_the_fix() -> None:
    desk = Desk()
    drops = {"spoofed_address": 7, "spoofed_mac": 2, "too_big": 1}
    for frontend, fix in (("docker", "driver-opt=weft.allow-address="), ("cli", "weft attach")):
        port = Port(
            id=PortId("p" * 16),
            network_id=NetworkId("n" * 16),
            host_id=A,
            mac=MacAddress("02:00:00:00:00:01"),
            slot=0,
            owner=Owner(frontend=frontend),
        )
        found = explain(desk.store, desk.of(A), port, desk.members, Told(drops))
        told = "; ".join(found.sentences)
        assert "9 packets that it sent from addresses or MACs which are not its own" in told
        assert "1 too big" in told
        assert fix in found.fix
    assert explain(desk.store, desk.of(A), port, desk.members).fix == ""
