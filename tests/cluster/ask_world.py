"""Hosts that ask each other, in memory: what is sent arrives at the next turn of the loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping

import msgspec

from weft.cluster import ask_messages
from weft.cluster.ask import Ask
from weft.cluster.ask_messages import Message
from weft.cluster.inquiry import Inquiry, Terms
from weft.errors import NotFoundError
from weft.model.addresses import ip_address
from weft.model.ids import HostId
from weft.model.records import Host, Neighbour, Neighbours
from weft.store.memory import MemoryStore
from weft.topology.routes import Route, routes


class Count(msgspec.Struct, frozen=True, array_like=True):
    """To say so many numbers."""

    numbers: int = 3
    size_bytes: int = 0
    """Of each, beside the number."""
    delay_s: float = 0.0
    """Before the first."""


class Said(msgspec.Struct, frozen=True, array_like=True):
    host: str
    number: int
    filling: bytes = b""


COUNT = Inquiry("count", Count, Said)
HANG = Inquiry("hang", Count, Said)
REFUSE = Inquiry("refuse", Count, Said)
BREAK = Inquiry("break", Count, Said)
STRANGE = Inquiry("strange", Count, Said)
"""No host knows it."""


def id_of(name: str) -> HostId:
    return HostId((name * 16)[:16])


class Peer:
    """One host that answers."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.id = id_of(name)
        self.world = world
        self.hanging = 0
        self._ways: Mapping[HostId, Route] = {}
        self.lies: Mapping[HostId, Route] = {}
        """Ways that it believes in beside those of the records."""
        self.ask = Ask(self.id, world.store, self._send, self._reached, lambda: world.linked(self))
        for inquiry, handler in (
            (COUNT, self._count),
            (HANG, self._hang),
            (REFUSE, self._refuse),
            (BREAK, self._break),
        ):
            self.ask.know(inquiry, handler)

    def _send(self, peer: str, data: bytes) -> None:
        self.world.carry(self.id, HostId(peer), data)

    def _reached(self) -> Mapping[HostId, Route]:
        if not self._ways:
            self._ways = self.world.store.ask(routes, self.id)
        return {**self._ways, **self.lies}

    async def _count(self, asked: Count, terms: Terms) -> AsyncGenerator[Said, None]:
        await asyncio.sleep(asked.delay_s)
        for number in range(asked.numbers):
            yield Said(self.name, number, bytes(asked.size_bytes))

    async def _hang(self, asked: Count, terms: Terms) -> AsyncGenerator[Said, None]:
        self.hanging += 1
        try:
            await asyncio.Event().wait()
            yield Said(self.name, 0)
        finally:
            self.hanging -= 1

    async def _refuse(self, asked: Count, terms: Terms) -> AsyncGenerator[Said, None]:
        yield Said(self.name, 0)
        raise NotFoundError("port web: is not here")

    async def _break(self, asked: Count, terms: Terms) -> AsyncGenerator[Said, None]:
        yield Said(self.name, 0)
        raise RuntimeError("a fault")


class Villain:
    """A linked host that says what it likes, and keeps what it hears."""

    def __init__(self, world: World, name: str) -> None:
        self.id = id_of(name)
        self.world = world
        self.heard: list[Message] = []

    def say(self, to: Peer, message: Message | bytes) -> None:
        data = message if isinstance(message, bytes) else ask_messages.encode(message)
        to.ask.receive(self.id, data)


class World:
    """All hosts and links. Names are hexadecimal digits, one or two, and `links` pairs of them."""

    def __init__(self, names: Iterable[str], links: str | Iterable[tuple[str, str]]) -> None:
        """links: ``ab bc``, where names are one digit."""
        names = list(names)
        self.villains: dict[HostId, Villain] = {}
        self.largest_bytes = 0
        self.carried = 0
        self._links: dict[HostId, set[HostId]] = defaultdict(set)
        pairs = [(each[0], each[1]) for each in links.split()] if isinstance(links, str) else links
        for one, other in pairs:
            self._links[id_of(one)].add(id_of(other))
            self._links[id_of(other)].add(id_of(one))
        hosts = [Host(id=id_of(name), name=name, version="0.0.9") for name in names]
        self.store = MemoryStore([*hosts, *map(self._neighbours, self._links)])
        self.peers = {name: Peer(self, name) for name in names}
        for peer in self.peers.values():
            for other in self._links[peer.id]:
                peer.ask.link_up(other)

    def __getitem__(self, name: str) -> Peer:
        return self.peers[name]

    def villain(self, name: str) -> Villain:
        """In the place of a host."""
        del self.peers[name]
        made = self.villains[id_of(name)] = Villain(self, name)
        return made

    def linked(self, peer: Peer) -> set[HostId]:
        return self._links[peer.id]

    def cut(self, one: str, other: str) -> None:
        """Both ends learn that the link is gone, the records do not."""
        for here, there in ((one, other), (other, one)):
            self._links[id_of(here)].discard(id_of(there))
            self.peers[here].ask.link_down(id_of(there))

    def carry(self, sender: HostId, receiver: HostId, data: bytes) -> None:
        """Deliver at the loop's next turn, if there is a link then."""
        self.largest_bytes = max(self.largest_bytes, len(data))
        asyncio.get_running_loop().call_soon(self._deliver, sender, receiver, data)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        """While all answer; afterwards nothing may be left of what was asked."""
        tasks = [asyncio.create_task(peer.ask.run()) for peer in self.peers.values()]
        await asyncio.sleep(0)
        try:
            yield self
            for _ in range(20):
                await asyncio.sleep(0)
            assert list(self._left()) == []
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _left(self) -> Iterator[str]:
        for peer in self.peers.values():
            ask = peer.ask
            if ask._asking._pending or any(ask._answering._under_way.values()) or peer.hanging:
                yield f"inquiries at {peer.name}"
            if ask._of_target._users or ask._of_link._users:
                yield f"slots at {peer.name}"

    def _deliver(self, sender: HostId, receiver: HostId, data: bytes) -> None:
        if receiver not in self._links[sender]:
            return
        self.carried += 1
        villain = self.villains.get(receiver)
        if villain is not None:
            villain.heard.append(ask_messages.decode(data))
            return
        next(peer for peer in self.peers.values() if peer.id == receiver).ask.receive(sender, data)

    def _neighbours(self, host: HostId) -> Neighbours:
        neighbours = tuple(
            Neighbour(host_id=other, address=ip_address("192.0.2.1"))
            for other in sorted(self._links[host])
        )
        return Neighbours(id=host, host_id=host, neighbours=neighbours)
