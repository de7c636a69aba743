"""Whatever reads records goes on over those of ill will: names, addresses, ways, the API."""

from __future__ import annotations

import asyncio
import random
import shutil
import struct
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.property.hostile import HOSTS, bodies
from tests.property.test_hostile_records import decoded
from tests.surroundings import AtOnce, NothingRuns, WholeSpace
from tests.unit.api.test_openapi import Described, exchange
from tests.unit.conftest import Weftd
from weft.config import Settings
from weft.control.context import Context
from weft.control.upkeep.healing import Healer
from weft.control.upkeep.shared_space import SharedSpace
from weft.dns import wire
from weft.dns.zone import Scope, Zone
from weft.model import codec
from weft.model.addresses import IPAddress, ip_address, ip_network
from weft.model.ids import HostId, NetworkId, SubnetId, Vni, derived_id
from weft.model.records import (
    AddressBlocks,
    Ballot,
    Block,
    BlockRequest,
    Host,
    Lease,
    LeaseAck,
    LeaseDecision,
    LeaseMember,
    LeaseReturn,
    LeaseVote,
    Name,
    Neighbour,
    Neighbours,
    Network,
    Port,
    Record,
    Subnet,
)
from weft.observers.paths.targets import destination, targets
from weft.store.interface import Change, Put
from weft.store.memory import MemoryStore
from weft.topology.routes import data_routes, routes

ME = HostId(HOSTS[0])
several = st.lists(bodies, max_size=40)
at_leisure = settings(deadline=None, suppress_health_check=list(HealthCheck))


def foreign(found: Sequence[tuple[str, bytes]]) -> list[Record]:
    """What others may write: not this host's own record."""
    return [
        record for record in decoded(found) if not (isinstance(record, Host) and record.id == ME)
    ]


OWN = Host(id=ME, name="h1", underlay=(ip_address("192.0.2.1"), ip_address("2001:db8::1")))


def questions(store: MemoryStore) -> list[bytes]:
    """Names that records make, and reverse names of their addresses."""
    asked: list[bytes] = []
    names: set[str] = {"web.", "weft.internal."}
    addresses: set[IPAddress] = set()
    for network in store.list(Network):
        for port in store.list(Port):
            names.update(f"{name}." for name in port.names)
            names.update(f"{name}.{network.name}.weft.internal." for name in port.names)
            addresses.update(port.addresses)
        for record in store.list(Name):
            names.update((f"{record.name}.", f"{record.name}.{network.name}.weft.internal."))
            addresses.update(record.addresses)
    names.update(f"{address.reverse_pointer}." for address in addresses)
    for name in sorted(names):
        labels = [label.encode() for label in name.rstrip(".").split(".")]
        if all(0 < len(label) < 64 for label in labels) and len(name) < 250:
            packed = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
            for kind in (1, 28, 33, 12, 255):
                head, tail = struct.pack("!6H", 7, 256, 1, 0, 0, 0), struct.pack("!2H", kind, 1)
                asked.append(head + packed + tail)
    return asked


def ask(zone: Zone, scope: Scope, data: bytes) -> None:
    query = wire.parse(data)
    if query is not None:
        answer = zone.answer(scope, query.name, query.type)
        if answer is not None:
            wire.encode(query, answer, 65535, random.Random(1).sample)


@given(several, several)
@at_leisure
def test_names_are_answered(first: list[tuple[str, bytes]], later: list[tuple[str, bytes]]) -> None:
    store = MemoryStore([OWN, *foreign(first)])
    zone = Zone(store, "weft.internal", ME, "local")
    zone.changed(store.apply(map(Put, foreign(later))))
    scopes = [zone.scope_of_network(network.id) for network in store.list(Network)]
    for data in questions(store):
        for scope in (*scopes[:2], zone.scope_of_host()):
            ask(zone, scope, data)


@given(several)
@at_leisure
def test_ways_are_found(found: list[tuple[str, bytes]]) -> None:
    store = MemoryStore([OWN, *foreign(found)])
    for is_data in (False, True):
        store.ask(data_routes if is_data else routes, ME)
    for target in targets(ME, store):
        for address in target.addresses:
            destination(ME, target, address, store)


@given(several, st.integers(0, 2**32))
@at_leisure
def test_addresses_are_shared_out_and_records_healed(
    found: list[tuple[str, bytes]], seed: int
) -> None:
    async def check() -> None:
        store = CheckedStore([OWN, *foreign(found)])
        clock = [1000.0]
        context = Context(
            store=store,
            settler=AtOnce(),
            settings=Settings(),
            host_id=ME,
            wall_s=lambda: 1e9 + clock[0],
            random_bytes=random.Random(seed).randbytes,
            host_routes=tuple,
            targets=NothingRuns(),
            space=WholeSpace,
        )
        space = SharedSpace(context, lambda: clock[0])
        healer = Healer(context, lambda: clock[0])
        for _ in range(4):
            await space._step()
            await healer.heal()
            clock[0] += 60.0
            for subnet in store.list(Subnet):
                space.may_use(subnet)
        assert space.fence is not None

    with capture_logs() as logs:
        asyncio.run(check())
    assert not [each for each in logs if "not written" in each["event"]]


@pytest.mark.parametrize("huge", [2**56, 2**61, 2**62 - 1])
def test_numbers_at_the_end_stop_no_statement_about_others(huge: int) -> None:
    """A member claims all addresses, and the last word in every decision."""

    async def check() -> None:
        store = CheckedStore([OWN, *villains(huge)])
        clock = [1000.0]
        context = Context(
            store=store,
            settler=AtOnce(),
            settings=Settings(),
            host_id=ME,
            wall_s=lambda: 1e9 + clock[0],
            random_bytes=random.Random(1).randbytes,
            host_routes=tuple,
            targets=NothingRuns(),
            space=WholeSpace,
        )
        space = SharedSpace(context, lambda: clock[0])
        own = subnet_of(1)
        await store.write([Put(own), *space.created(own)])
        for _ in range(20):
            await space._step()
            clock[0] += 20.0
        assert store.get(Lease, ME) is not None
        assert space.may_use(own)

    asyncio.run(check())


def subnet_of(number: int) -> Subnet:
    return Subnet(
        id=SubnetId(f"s{number}"),
        cidr=ip_network(f"10.0.{number}.0/24"),
        network_id=NetworkId("n0"),
    )


def villains(huge: int) -> list[Record]:
    """What they say; they are linked, and one of them has gone."""
    gone, there = HostId(HOSTS[1]), HostId(HOSTS[2])
    subnet = subnet_of(0)
    members = tuple(
        LeaseMember(host_id=host, generation=huge if host == gone else 0)
        for host in sorted((ME, gone, there))
    )
    ballot = Ballot(number=huge, host_id=gone, generation=huge)
    block = Block(first=subnet.cidr[0], last=subnet.cidr[-1], epoch=huge, owner=gone, since=huge)
    votes = [
        LeaseVote(
            id=derived_id("vote", subject, gone),
            host_id=gone,
            subject=subject,
            generation=huge,
            term=huge,
            members=members,
            floor=huge,
            promised=ballot,
            accepted=ballot,
            decision=LeaseDecision(members=members, revision=huge, heir=gone),
            is_released=True,
        )
        for subject in (ME, gone)
    ]
    links = [
        Neighbours(
            id=host, host_id=host, neighbours=(Neighbour(host_id=other, address=OWN.underlay[0]),)
        )
        for host, other in ((ME, there), (there, ME))
    ]
    return [
        *(Host(id=host, name=host, underlay=(OWN.underlay[0] + 1,)) for host in (gone, there)),
        Network(id=NetworkId("n0"), name="foo", vni=Vni(5000)),
        subnet,
        *links,
        AddressBlocks(id=derived_id("b", gone), subnet_id=subnet.id, host_id=gone, blocks=(block,)),
        BlockRequest(
            id="q", subnet_id=subnet.id, host_id=gone, owner=ME, count=huge, is_urgent=True
        ),
        Lease(
            id=gone,
            host_id=gone,
            generation=huge,
            term=huge,
            members=members,
            revision=huge,
            digest="x",
            floor=huge,
            acks=(LeaseAck(host_id=ME, term=huge, revision=huge, generation=huge),),
        ),
        *votes,
        LeaseReturn(id=gone, host_id=gone, generation=huge),
    ]


class CheckedStore(MemoryStore):
    """Takes what others can read, as the real ones do."""

    async def write(self, changes: Iterable[Change]) -> None:
        changes = list(changes)
        for change in changes:
            if isinstance(change, Put):
                codec.decode(change.record.KIND, codec.encode(change.record))
        await super().write(changes)


PAGES = "status hosts ports problems ipam networks names conflicts counters encryption multicast"


@given(several)
@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
def test_the_api_lists_and_explains(found: list[tuple[str, bytes]]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="api-"))
    daemon = Weftd(folder)
    me = daemon.control.host.id
    daemon.store.apply(Put(record) for record in foreign(found) if record.id != me)
    daemon.start()
    try:
        ask_api = Described(daemon)
        for page in PAGES.split():
            ask_api("GET", f"/v1/{page}")
        for host in daemon.store.list(Host):
            ask_api("GET", f"/v1/why/{host.id}")
        status, _ = exchange(daemon, "GET", "/metrics")
        assert status == 200
    finally:
        daemon.stop()
        shutil.rmtree(folder)
