"""A prober, the records that it sees, and a network of the test's own making."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping

from weft.bench.skipping import Skipping
from weft.kernel.bpf.layouts import ProbeMessage
from weft.kernel.probe_wire import Answer
from weft.kernel.tunnel_traffic import Used
from weft.model.addresses import IPAddress, ip_address
from weft.model.ids import HostId, MacAddress, NetworkId, PortId, host_tag
from weft.model.records import ForgottenHost, Host, Neighbours, Owner, Port
from weft.observers.paths.prober import Prober
from weft.store.memory import MemoryStore

ME, OTHER, THIRD = (HostId(letter * 16) for letter in "abc")
_VXLAN_BYTES = 8


def host(id: HostId, *addresses: str, mtu_bytes: int = 1500) -> Host:
    underlay = tuple(ip_address(address) for address in addresses)
    return Host(id=id, name=id[0], underlay=underlay, mtu_bytes=mtu_bytes)


def port(number: int, on: HostId, network: str = "foo") -> Port:
    return Port(
        id=PortId(f"{number}"),
        network_id=NetworkId(network),
        host_id=on,
        mac=MacAddress("02:00:00:00:00:01"),
        slot=0,
        owner=Owner(frontend="cli"),
    )


def skipping(main: Coroutine[None, None, None]) -> None:
    """Run a test in no time."""
    with asyncio.Runner(loop_factory=Skipping) as runner:
        runner.run(main)


def now_ns() -> int:
    return int(asyncio.get_running_loop().time() * 1e9)


class FakeWire:
    """Answers for addresses that `answering` names."""

    def __init__(self, *answering: str) -> None:
        self.answering: set[IPAddress] = {ip_address(address) for address in answering}
        self.mtu_bytes = 1500
        self.asked: list[tuple[IPAddress, int]] = []
        self._answers: dict[tuple[int, int], Answer] = {}
        self.tags: dict[IPAddress, int] = {}
        self.looks = 0
        self.moments: Counter[float] = Counter()
        """How many probes left at which time."""

    def source(self, destination: IPAddress) -> IPAddress | None:
        return None

    def send(self, source: IPAddress, destination: IPAddress, payload: bytes) -> bool:
        assert source.version == destination.version
        size = len(payload) + (28 if destination.version == 4 else 48)
        self.asked.append((destination, size))
        self.moments[asyncio.get_running_loop().time()] += 1
        message = ProbeMessage.decode(payload[_VXLAN_BYTES : _VXLAN_BYTES + 36])
        slot = int.from_bytes(message.slot_be, "big")
        assert int.from_bytes(message.tag_be, "big") == host_tag(ME)
        if destination in self.answering and size <= self.mtu_bytes:
            key = (self.tags[destination], slot)
            self._answers[key] = Answer(message.nonce, now_ns())
        return True

    def answers(self, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Answer]:
        asked = list(keys)
        self.looks += len(asked)
        return {key: self._answers[key] for key in asked if key in self._answers}

    def close(self) -> None:
        pass


class FakeTraffic:
    """What the programs note, as a test says."""

    def __init__(self) -> None:
        self._used: dict[int, Used] = {}

    def carry(self, to: HostId, relay: str | None = None) -> None:
        """A packet leaves for a host."""
        mark = int(asyncio.get_running_loop().time()) + 1
        self._used[host_tag(to)] = Used(mark, ip_address(relay) if relay else None)

    def rewrite(self, to: HostId) -> None:
        """weftd writes the entry of a tunnel anew."""
        self._used[host_tag(to)] = Used(0)

    def used(self) -> Mapping[int, Used]:
        return dict(self._used)


class World:
    """A prober and the records that it sees."""

    def __init__(
        self,
        wire: FakeWire,
        *records: Host | Port | Neighbours | ForgottenHost,
        traffic: FakeTraffic | None = None,
    ) -> None:
        self.wire = wire
        self.store = MemoryStore(records)
        for known in self.store.list(Host):
            wire.tags.update(dict.fromkeys(known.underlay, host_tag(known.id)))
        self.prober = Prober(
            host_id=ME,
            store=self.store,
            wire=wire,
            random_bytes=random.Random(1).randbytes,
            traffic=traffic,
            monotonic_ns=now_ns,
        )
        self.told = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.prober.on_change.append(self._count)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.prober.run())
            yield
            task.cancel()

    def is_known(self, host: HostId, *, is_broken: bool) -> bool:
        """Whether the prober has found out that much about a host."""
        state = self.prober.states().get(host)
        return state is not None and state.is_broken == is_broken

    async def until(self, claim: Callable[[], bool], within_s: float = 20) -> None:
        async with asyncio.timeout(within_s):
            while not claim():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def _count(self) -> None:
        self.told += 1
