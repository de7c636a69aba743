"""Hosts on underlays that a test lays as it needs them, each with an engine on the same records.

No weftd: the records are in memory and written to all hosts alike, so a test says what a host knows
and when. What forwards is the kernel's, in one network namespace a host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from tests.system.workload import PATIENCE
from weft.config import Settings
from weft.engine.ebpf.compile import functions
from weft.engine.ebpf.sink import Sink
from weft.engine.engine import Engine
from weft.kernel import netns
from weft.kernel.bpf.layouts import DropReason, Tunnel
from weft.kernel.bpf.maps import BpfMap
from weft.kernel.probe_wire import ProbeWire
from weft.kernel.underlay_events import UnderlayEvents
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import (
    HostId,
    MacAddress,
    NetworkId,
    PortId,
    SubnetId,
    Vni,
)
from weft.model.records import (
    Device,
    Host,
    Neighbour,
    Neighbours,
    Network,
    Owner,
    Port,
    Record,
    Subnet,
)
from weft.paths.interface import PathState
from weft.paths.prober import Prober
from weft.store.interface import Change, Delete, Put
from weft.store.memory import MemoryStore

_numbers = count(1)

FOO = Network(id=NetworkId("f" * 16), name="foo", vni=Vni(77))
SUBNETS = tuple(
    Subnet(
        id=SubnetId(f"{number:016x}"),
        cidr=ip_network(cidr),
        network_id=FOO.id,
        gateway=ip_network(cidr)[1],
    )
    for number, cidr in enumerate(("10.5.0.0/24", "10.6.0.0/24", "fd05::/64"))
)


def sh(namespace: str, command: str, timeout_s: float = 20) -> str:
    """What a shell command prints in a namespace, which must succeed."""
    words = ["nsenter", f"--net=/run/netns/{namespace}", "sh", "-c", command]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=timeout_s * PATIENCE, check=False
    )
    assert done.returncode == 0, f"{namespace}$ {command}: {done.stdout}{done.stderr}"
    return done.stdout


def until(claim: Callable[[], bool], what: str, timeout_s: float = 10) -> None:
    """Wait until it holds."""
    deadline_s = time.monotonic() + timeout_s * PATIENCE
    while not claim():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


class Workload:
    """A network namespace with a port."""

    def __init__(self, name: str, port: Port) -> None:
        self.name = name
        self.port = port

    def address(self, version: int) -> str:
        """Of the family, on the first subnet."""
        return next(str(each) for each in self.port.addresses if each.version == version)

    def run(self, command: str, timeout_s: float = 20) -> str:
        """What a command prints here."""
        return sh(self.name, command, timeout_s)

    def pings(self, other: Workload, version: int = 4, size: int = 56, *, times: int = 1) -> bool:
        """Whether all answers come, in packets that must not be cut."""
        command = f"ping -n -M do -s {size} -c {times} -i 0.1 -W {PATIENCE:g}"
        words = ["nsenter", f"--net=/run/netns/{self.name}", *shlex.split(command)]
        done = subprocess.run([*words, other.address(version)], capture_output=True, check=False)
        return done.returncode == 0

    def reaches(self, other: Workload, version: int = 4, size: int = 56) -> None:
        """Both become reachable from one another."""
        until(
            lambda: self.pings(other, version, size) and other.pings(self, version, size),
            f"{self.name} does not reach {other.name} by IPv{version}",
        )

    def transfers(self, other: Workload, version: int = 4, megabytes: int = 8) -> None:
        """As much over TCP, whole."""
        address = other.address(version)
        server = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{other.name}", "python3", "-c", _RECEIVE, address],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None and server.stdout.readline() == "ready\n"
            script = shlex.quote(_SEND)
            self.run(f"python3 -c {script} {address} {megabytes}", timeout_s=30)
            assert select.select([server.stdout], [], [], 30 * PATIENCE)[0], "the end is missing"
            assert server.stdout.readline() == f"{megabytes << 20}\n"
        finally:
            server.kill()
            server.communicate()


_RECEIVE = """
import socket, sys
server = socket.create_server((sys.argv[1], 7), family=2 if "." in sys.argv[1] else 10)
print("ready", flush=True)
connection, _ = server.accept()
total = 0
while data := connection.recv(1 << 20):
    total += len(data)
print(total, flush=True)
"""
_SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 7), timeout=20) as out:
    for _ in range(int(sys.argv[2])):
        out.sendall(bytes(1 << 20))
"""


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
        """Start the engine, and wait until it is ready."""
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
        with BpfMap.open(Path(self.settings.bpffs_dir) / "maps" / "tunnels_v1") as tunnels:
            raw = tunnels.lookup(other.tag.to_bytes(4, "little"))
        return raw is not None and bool(Tunnel.decode(raw).destination_tag)

    def drops(self, reason: DropReason) -> int:
        """Packets that this host's programs dropped, on all devices."""
        with BpfMap.open(Path(self.settings.bpffs_dir) / "maps" / "counters_v1") as counters:
            return sum(numbers[4 + reason] for numbers in counters.read_summed().values())

    def purge(self) -> None:
        """Take all away."""
        with netns.entered(f"/run/netns/{self.name}"):
            self.sink.purge()

    def told(self, record: Record) -> None:
        """Learn of a record soon."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self.store.write([Put(record)]), self._loop)

    async def _probe(self, publish: Callable[[OverlayHost], None]) -> None:
        wire = ProbeWire(Path(self.settings.bpffs_dir), self.settings.overlay_port)
        self.prober = Prober(host_id=self.id, store=self.store, wire=wire, random_bytes=os.urandom)
        self.prober.on_change = lambda: publish(self)
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


class Overlay:
    """All that a test lays out; it goes with the test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._namespaces: list[str] = []
        self.hosts: list[OverlayHost] = []
        self.shared: dict[tuple[type[Record], str], Record] = {}
        self._links: set[frozenset[HostId]] = set()
        self._switches: dict[str, str] = {}
        for record in (FOO, *SUBNETS):
            self.shared[type(record), record.id] = record

    def namespace(self, what: str) -> str:
        """A new one, with its loopback up."""
        name = f"ovl-{os.getpid()}-{next(_numbers)}-{what}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        self._namespaces.append(name)
        sh(name, "ip link set lo up")
        return name

    def switch(self) -> str:
        """A namespace with a bridge ``sw`` to plug into."""
        name = self.namespace("switch")
        sh(name, "ip link add sw type bridge mcast_snooping 0; ip link set sw mtu 9000 up")
        return name

    def switch_of(self, host: OverlayHost) -> str:
        """Into which its ``up0`` is plugged."""
        return self._switches[host.name]

    def host(self, switch: str, *addresses: str, mtu_bytes: int = 1500) -> OverlayHost:
        """A host with these addresses on ``up0``; not started."""
        number = len(self.hosts) + 1
        host = OverlayHost(self.namespace(f"h{number}"), number, self._directory / f"h{number}")
        host.addresses = list(addresses)
        host.mtu_bytes = mtu_bytes
        self.plug(host.name, switch, "up0", *addresses, mtu_bytes=mtu_bytes)
        self._switches[host.name] = switch
        self.hosts.append(host)
        return host

    def plug(
        self, name: str, switch: str, ifname: str, *addresses: str, mtu_bytes: int = 1500
    ) -> str:
        """A cable from a namespace to a switch; gives the switch's end."""
        port = f"p{next(_numbers)}"
        sh(switch, f"ip link add {port} mtu {mtu_bytes} type veth peer {ifname} netns {name}")
        sh(switch, f"ip link set {port} master sw up")
        for address in addresses:
            sh(name, f"ip addr add {address} dev {ifname} {'nodad' if ':' in address else ''}")
        sh(name, f"ip link set {ifname} mtu {mtu_bytes} up")
        return port

    def probe(self, *links: tuple[OverlayHost, OverlayHost]) -> None:
        """Have all hosts probe, and publish what they find and these links of the mesh."""
        self._links = {frozenset((one.id, other.id)) for one, other in links}
        for host in self.hosts:
            host.publish = self._publish
            self._publish(host)

    def _publish(self, host: OverlayHost) -> None:
        states = dict(host.prober.states()) if host.prober is not None else {}
        found = []
        for other in sorted(self.hosts, key=lambda other: other.id):
            state, has_link = states.get(other.id), {host.id, other.id} in self._links
            if state is not None or has_link:
                found.append(
                    Neighbour(
                        host_id=other.id,
                        address=state.address if state else other.record.underlay[0],
                        path_mtu_bytes=state.mtu_bytes if state else 0,
                        is_path_broken=state is not None and state.is_broken,
                        has_link=has_link,
                    )
                )
        record = Neighbours(id=host.id, host_id=host.id, neighbours=tuple(found))
        self.shared[Neighbours, host.id] = record
        for each in self.hosts:
            each.told(record)

    def start(self) -> None:
        """All hosts know each other, and their engines run."""
        for host in self.hosts:
            self.shared[Host, host.id] = host.record
        for host in self.hosts:
            host.write(*(Put(record) for record in self.shared.values()))
            host.start()

    def write(self, *records: Record) -> None:
        """All hosts know these from now on."""
        for record in records:
            self.shared[type(record), record.id] = record
        for host in self.hosts:
            host.write(*(Put(record) for record in records))

    def delete(self, *records: Record) -> None:
        """And these no more."""
        for record in records:
            del self.shared[type(record), record.id]
        for host in self.hosts:
            host.write(*(Delete(type(record), record.id) for record in records))

    def workload(self, host: OverlayHost, number: int, **fields: object) -> Workload:
        """A workload on FOO at 10.5.0.NUMBER, known to all."""
        name = self.namespace(f"w{number}")
        workload = Workload(name, port_on(host, name, number, **fields))
        self.write(workload.port)
        return workload

    def close(self) -> None:
        """Stop and remove everything."""
        with contextlib.ExitStack() as stack:
            for name in self._namespaces:
                stack.callback(subprocess.run, ["ip", "netns", "del", name], check=True)
            for host in self.hosts:
                stack.callback(host.purge)
                stack.callback(host.stop)


def port_on(host: OverlayHost, name: str, number: int, **fields: object) -> Port:
    """The port of a namespace on a host."""
    path = f"/run/netns/{name}"
    values: dict[str, object] = {
        "id": PortId(f"{number:016x}"),
        "network_id": FOO.id,
        "host_id": host.id,
        "mac": MacAddress(f"02:00:00:00:05:{number:02x}"),
        "slot": number,
        "addresses": (ip_address(f"10.5.0.{number}"), ip_address(f"fd05::{number:x}")),
        "owner": Owner(frontend="cli"),
        "device": Device(
            ifname=f"weft{number:011x}",
            peer_ifname="eth0",
            netns=path,
            netns_inode=netns.inode(path),
        ),
    }
    return Port(**(values | fields))  # type: ignore[arg-type]


@contextlib.contextmanager
def made(directory: Path) -> Iterator[Overlay]:
    """An overlay for one test."""
    overlay = Overlay(directory)
    try:
        yield overlay
    finally:
        overlay.close()
