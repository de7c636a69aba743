"""A member's messages over a real TLS link: whatever they are, the links of the others stay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator

import msgspec

from tests.cluster.hosts import Nursery, TestHost, until
from weft.mesh import wire
from weft.mesh.delta import Delta, Span
from weft.mesh.digest import Digest
from weft.mesh.exchange import Exchange
from weft.mesh.messages import DigestMessage, Hello, Message, Part
from weft.mesh.replica import Replica
from weft.mesh.store import MeshStore
from weft.model.ids import NetworkId, Vni
from weft.model.records import Network
from weft.store.entry import Entry, Origin
from weft.store.interface import Put
from weft.store.journal import MemoryJournal

HUGE = 2**62 - 1
NETWORK = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))


class Member:
    """A transport with records."""

    def __init__(self, host: TestHost) -> None:
        self.host = host
        replica = Replica(host.id, time.time, random.Random(host.id).randbytes)
        self.store = MeshStore(replica, MemoryJournal())
        self.exchange = Exchange(replica, self.store, host.transport, time.monotonic)
        host.transport.listener = self.exchange

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.host.transport.run())
            tasks.create_task(self.exchange.run())

    def name(self) -> str:
        found = self.store.get(Network, NETWORK.id)
        return "" if found is None else found.name


@contextlib.asynccontextmanager
async def three(cluster: Nursery) -> AsyncIterator[tuple[Member, Member, TestHost]]:
    """Two members and a villain, all linked."""
    a, b, villain = cluster.hosts(3)
    members = Member(a), Member(b)
    tasks = [asyncio.create_task(each.run()) for each in members]
    tasks.append(asyncio.create_task(villain.transport.run()))
    try:
        await until(lambda: all(host.transport.port for host in (a, b, villain)))
        a.want(b)
        villain.want(a, b)
        await until(lambda: len(a.linked()) == len(b.linked()) == len(villain.linked()) == 2)
        yield (*members, villain)
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def messages(villain: TestHost, victims: list[str]) -> list[bytes]:
    """Of which none is refused as a whole, and then some that are."""
    origin = Origin(villain.id, 7)
    body = b'{"id":"n1","name":"stolen","vni":4711,"x":' + b"[" * 1000 + b"]" * 1000 + b"}"
    entries = [
        Entry("network", "n1", clock, origin, n, body)
        for n, clock in enumerate((HUGE, 2**61, 2**63), 1)
    ]
    said: list[Message] = [
        Hello(villain.id, Digest({origin: HUGE})),
        Part(1, 0, True, Delta("increment", entries, {origin: Span(0, HUGE)}, {origin: HUGE})),
    ]
    for number, victim in enumerate(victims, 2):
        forged = Origin(victim, HUGE)
        entry = Entry("host", victim, HUGE, forged, HUGE, b"{}", True)
        delta = Delta("increment", [entry], {forged: Span(0, HUGE)}, {forged: HUGE})
        said.append(Part(number, 0, True, delta))
        said.append(DigestMessage(Digest({forged: HUGE}), True, HUGE))
    rubbish = [os.urandom(500), b"\x01" + b"\x91" * 9000, b"\x01" + msgspec.msgpack.encode([9])]
    return [*map(wire.encode, said), *rubbish]


async def test_the_others_stay_linked_and_hear_each_other(cluster: Nursery) -> None:
    async with three(cluster) as (a, b, villain):
        await a.store.write([Put(NETWORK)])
        await until(lambda: b.name() == "foo")
        since_s = a.host.transport.links()[b.host.id].since_s
        for data in messages(villain, [a.host.id, b.host.id]):
            for peer in (a.host.id, b.host.id):
                villain.transport.send(peer, data)
                # What is refused as a whole costs the villain its link, which comes again.
                await until(lambda: len(villain.linked()) == 2)
        for writer, reader, name in ((a, b, "by-a"), (b, a, "by-b")):
            await writer.store.write([Put(msgspec.structs.replace(NETWORK, name=name))])
            await until(lambda reader=reader, name=name: reader.name() == name)  # type: ignore[misc]
        assert a.host.transport.links()[b.host.id].since_s == since_s
