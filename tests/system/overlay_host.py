"""A host without weftd: a namespace, and an engine on records in memory."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.system.overlay_workload import sh
from tests.system.tunnels import tunnel_to
from tests.system.workload import PATIENCE
from weft.config import Settings
from weft.engine.ebpf.compile import functions
from weft.engine.ebpf.sink import Sink
from weft.engine.engine import Engine
from weft.kernel import netns
from weft.kernel.bpf.counters import DROPS
from weft.kernel.bpf.layouts import DropKey, DropReason
from weft.kernel.bpf.maps import BpfMap
from weft.kernel.probe_wire import ProbeWire
from weft.kernel.tunnel_traffic import TunnelTraffic
from weft.kernel.underlay_events import UnderlayEvents
from weft.model.addresses import ip_address
from weft.model.ids import HostId
from weft.model.records import Host, Record
from weft.observers.paths.interface import PathState
from weft.observers.paths.prober import Prober
from weft.store.interface import Change, Put
from weft.store.memory import MemoryStore


class OverlayHost:
    """A host: a namespace, and an engine in threads of it."""

    def __init__(self, name: str, number: int, directory: Path) -> None:
        self.name = name
        self.id = HostId(f"{number:08x}" + "0" * 8)
        self.tag = number
        self.settings = Settings(
            name=name,
            run_dir=str(directory / "run"),
            state_dir=str(directory / "state"),
            bpffs_dir=str(directory / "bpf"),
            underlay_device="up0",
            mtu_bytes=1400,
            reconcile_s=1.0,
        )
        self.addresses: list[str] = []
        self.mtu_bytes = 1500
        self.sink = Sink(self.settings, self.id)
        self.store = MemoryStore()
        self.problem: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._engine: Engine | None = None
        self.prober: Prober | None = None
        self.publish: Callable[[OverlayHost], None] | None = None
        """Takes what the prober has found out; None: there is no prober."""

    @property
    def record(self) -> Host:
        """As the host would write it."""
        return Host(
            id=self.id,
            name=self.name,
            underlay=tuple(ip_address(address.split("/")[0]) for address in self.addresses),
            mtu_bytes=self.mtu_bytes,
            network_mtu_bytes=self.mtu_bytes - 50,
        )

    def run(self, command: str) -> str:
        """What a command prints here."""
        return sh(self.name, command)

    def start(self) -> None:
        """Start the engine, and wait until it is ready; also anew, after `stop`."""
        self._ready.clear()
        self._running = self._thread.submit(self._live)
        assert self._ready.wait(20 * PATIENCE), self.problem
        if self.problem is not None:
            raise self.problem

    def stop(self) -> None:
        """As when weftd ends."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._running.result(20 * PATIENCE)

    def write(self, *changes: Change) -> None:
        """Have this host know; in force when it returns."""
        if self._loop is None:
            self.store.apply(changes)
            return
        asyncio.run_coroutine_threadsafe(self._write(changes), self._loop).result(20 * PATIENCE)

    def failures(self) -> Sequence[str]:
        """What the engine could not do."""
        assert self._engine is not None
        return [failure.reason for failure in self._engine.failures()]

    def path(self, other: OverlayHost) -> PathState | None:
        """What this host has found out of the path to another."""
        return self.prober.states().get(other.id) if self.prober is not None else None

    def is_relayed(self, other: OverlayHost) -> bool:
        """Whether what goes there takes a way round."""
        tunnel = tunnel_to(self.settings.bpffs_dir, other.tag)
        return tunnel is not None and bool(tunnel.destination_tag)

    def drops(self, reason: DropReason) -> int:
        """Packets that this host's programs dropped, on all devices."""
        with BpfMap.open(Path(self.settings.bpffs_dir) / "maps" / DROPS) as drops:
            counts = drops.read_summed().items()
        return sum(count for key, (count,) in counts if DropKey.decode(key).reason == reason)

    def purge(self) -> None:
        """Take all away."""
        with netns.entered(f"/run/netns/{self.name}"):
            self.sink.purge()

    def told(self, record: Record) -> None:
        """Learn of a record soon."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self.store.write([Put(record)]), self._loop)

    async def _probe(self, publish: Callable[[OverlayHost], None]) -> None:
        bpffs_dir = Path(self.settings.bpffs_dir)
        self.prober = Prober(
            host_id=self.id,
            store=self.store,
            wire=ProbeWire(bpffs_dir, self.settings.overlay_port),
            random_bytes=os.urandom,
            traffic=TunnelTraffic(bpffs_dir),
        )
        self.prober.on_change.append(lambda: publish(self))
        await self.prober.run()

    async def _write(self, changes: Sequence[Change]) -> None:
        assert self._engine is not None
        await self.store.write(changes)
        await self._engine.settle()

    def _live(self) -> None:
        with netns.entered(f"/run/netns/{self.name}"):
            try:
                asyncio.run(self._main())
            except BaseException as error:
                self.problem = error
                raise
            finally:
                self._loop = None
                self._ready.set()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        rows = functions(self.id, is_device=self.settings.encapsulation == "device")
        self._engine = engine = Engine(
            self.store, rows, self.sink, reconcile_s=self.settings.reconcile_s
        )
        events = UnderlayEvents(self.sink.interest, engine.follow_soon)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part) for part in (engine.run(), events.run())]
            await engine.ready.wait()
            if self.publish is not None:
                running.append(tasks.create_task(self._probe(self.publish)))
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            await self._stop.wait()
            for task in running:
                task.cancel()
