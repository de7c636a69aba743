"""Hosts that take part in encryption: an overlay whose hosts also write their own records.

What a host writes of itself reaches the others as fast as their threads run, as the mesh does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from ipaddress import ip_interface
from pathlib import Path

import msgspec

from tests.system.overlay import Overlay
from tests.system.overlay_host import OverlayHost
from tests.system.overlay_workload import Workload, sh, until
from tests.system.pings import Pings
from tests.system.workload import PATIENCE
from weft.control.notices import Notices
from weft.engine.ebpf.compile import functions
from weft.engine.engine import Engine
from weft.kernel.underlay_events import UnderlayEvents
from weft.kernel.wireguard import device, process
from weft.model.addresses import IPAddress, ip_network
from weft.model.choices import EncryptionStage
from weft.model.ids import new_id
from weft.model.records import Cluster, Host, HostKeys, Neighbour, Neighbours, Record
from weft.observers.host.encryption import Encryption
from weft.store.interface import Changed, Put
from weft.topology.encryption import cluster_settings

KIND = device.kind_here() if os.geteuid() == 0 else "none"
"""Whose WireGuard this machine has."""
MARKER = b"weft-plaintext-marker"


class EncryptedHost(OverlayHost):
    """A host that has keys, and steps of its own."""

    peers: Sequence[OverlayHost] = ()
    encryption: Encryption

    @property
    def stage(self) -> EncryptionStage:
        """Where it is, its kernel included."""
        end = self.store.get(HostKeys, self.id)
        if end is None or end.stage != end.in_force:
            return EncryptionStage.OFF if end is None else EncryptionStage.SENDS
        return end.in_force

    @property
    def follows(self) -> str:
        """The settings that are in force."""
        end = self.store.get(HostKeys, self.id)
        return end.follows if end is not None else ""

    @property
    def pid(self) -> int | None:
        """Of its wireguard-go."""
        return process.device("weftwg", Path(self.settings.run_dir)).pid()

    @property
    def public_key(self) -> str:
        """That others encrypt to."""
        end = self.store.get(HostKeys, self.id)
        assert end is not None
        return end.public_key

    def rotate(self) -> str:
        """Take new keys."""
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(self.encryption.rotate(), self._loop)
        return future.result(20 * PATIENCE)

    def heard(self, record: Record) -> None:
        """Another host has written this of itself."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self.store.write([Put(record)]), self._loop)
        else:
            self.store.apply([Put(record)])

    def _tell(self, changes: Sequence[Changed]) -> None:
        for change in changes:
            if isinstance(change.new, Host | HostKeys) and change.new.id == self.id:
                for peer in self.peers:
                    assert isinstance(peer, EncryptedHost)
                    peer.heard(change.new)

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        rows = functions(self.id, is_device=self.settings.encapsulation == "device")
        self._engine = engine = Engine(
            self.store, rows, self.sink, reconcile_s=self.settings.reconcile_s
        )
        self.encryption = Encryption(
            self.store,
            self.settings,
            self.id,
            engine,
            random_bytes=os.urandom,
            notices=Notices(),
        )
        end_watch = self.store.watch(self._tell)
        events = UnderlayEvents(self.sink.interest, engine.follow_soon)
        await self.encryption.prepare()
        async with asyncio.TaskGroup() as tasks:
            parts = (engine.run(), events.run(), self.encryption.run())
            running = [tasks.create_task(part) for part in parts]
            await engine.ready.wait()
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            await self._stop.wait()
            for task in running:
                task.cancel()
        end_watch()


class EncryptedOverlay(Overlay):
    """Hosts of this kind, and the cluster's settings."""

    def make(self, switch: str, *addresses: str) -> EncryptedHost:
        """A host; not started."""
        host = self.host(switch, *addresses)
        number = len(self.hosts)
        own = EncryptedHost(host.name, number, self._directory / f"h{number}")
        own.addresses, own.mtu_bytes = host.addresses, host.mtu_bytes
        Path(own.settings.state_dir).mkdir(parents=True, exist_ok=True)
        self.hosts[-1] = own
        return own

    @property
    def members(self) -> list[EncryptedHost]:
        """All hosts."""
        return [host for host in self.hosts if isinstance(host, EncryptedHost)]

    def start(self) -> None:
        """All know each other, and take part."""
        for host in self.members:
            host.peers = [other for other in self.members if other is not host]
        super().start()

    def write(self, *records: Record) -> None:
        """See `Overlay.write`; a host's own record is its own to write."""
        super().write(*(record for record in records if not isinstance(record, Host | HostKeys)))

    def beside(self, *pairs: tuple[OverlayHost, OverlayHost], broken: bool = False) -> None:
        """These reach each other; all other pairs do not."""
        for host in self.hosts:
            found = [two if one is host else one for one, two in pairs if host in (one, two)]
            neighbours = [
                Neighbour(
                    host_id=other.id,
                    address=_near(host, other),
                    is_path_broken=broken and other not in found,
                )
                for other in self.hosts
                if other is not host and (broken or other in found)
            ]
            ordered = tuple(sorted(neighbours, key=lambda each: each.host_id))
            self.write(Neighbours(id=host.id, host_id=host.id, neighbours=ordered))

    def all_beside(self) -> None:
        """Every host reaches every other."""
        hosts = self.hosts
        self.beside(*((a, b) for i, a in enumerate(hosts) for b in hosts[i + 1 :]))

    def ask(self, is_encrypted: bool, *plain: str) -> None:
        """Have it on or off, and wait until all are there."""
        now = cluster_settings(self.hosts[0].store)
        exceptions = tuple(map(ip_network, plain))
        wanted = msgspec.structs.replace(
            now,
            is_encrypted=is_encrypted,
            plain_underlays=exceptions,
            former_plain_underlays=now.plain_underlays,
            encryption_id=new_id(os.urandom),
        )
        self.write(wanted)
        self.await_settled(wanted)

    def await_settled(self, wanted: Cluster) -> None:
        """Wait until all hosts are where they should be."""
        target = EncryptionStage.REFUSES if wanted.is_encrypted else EncryptionStage.OFF
        until(
            lambda: all(
                host.stage == target and host.follows == wanted.encryption_id
                for host in self.members
            ),
            f"not all hosts are at {target.name}",
            30,  # a first handshake that is lost is tried again every 5 s or more
        )


@contextlib.contextmanager
def captured(switch: str, pcap: Path) -> Iterator[None]:
    """All that passes a switch meanwhile, in a file."""
    command = ["nsenter", f"--net=/run/netns/{switch}", "tcpdump", "-i", "any", "-U", "-w", "-"]
    command.append("--immediate-mode")
    with (
        pcap.open("wb") as file,
        subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, text=True) as tcpdump,
    ):
        assert tcpdump.stderr is not None
        while "listening on" not in tcpdump.stderr.readline():
            assert tcpdump.poll() is None
        try:
            yield
        finally:
            tcpdump.terminate()
            tcpdump.communicate(timeout=20 * PATIENCE)


def _near(host: OverlayHost, other: OverlayHost) -> IPAddress:
    """Where a host reaches another: on the link that they share, if they do."""
    links = [ip_interface(each).network for each in host.addresses]
    found = other.record.underlay
    return next((each for each in found if any(each in link for link in links)), found[0])


def say(sender: Workload, receiver: Workload) -> None:
    """Send the marker, which arrives: by UDP to a port where nobody listens, and in a ping."""
    pattern = MARKER[:16].hex()
    sender.run(f"ping -n -c 3 -i 0.1 -s 200 -p {pattern} {receiver.address(4)}")
    sender.run(f"ping -n -c 3 -i 0.1 -s 200 -p {pattern} {receiver.address(6)}")


class Traffic:
    """Pings and a TCP connection that talk all the while; what they lost is told at the end."""

    def __init__(self, one: Workload, two: Workload) -> None:
        inside = ["nsenter", f"--net=/run/netns/{one.name}"]
        self._server = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{two.name}", "python3", "-c", _ECHO, two.address(4)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._server.stdout is not None and self._server.stdout.readline() == "ready\n"
        self._client = subprocess.Popen(
            [*inside, "python3", "-c", _TALK, two.address(4)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._client.stdout is not None and self._client.stdout.readline() == "talking\n"

        def start(*words: str, stdin: int) -> subprocess.Popen[str]:
            command = [*inside, *words]
            return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True)

        self._pings = Pings(start, [two.address(6)])

    def end(self) -> tuple[int, int]:
        """(pings lost, bytes that came back over TCP). A connection that broke fails the test."""
        (pings,) = self._pings.end().values()
        told = self._client.communicate("stop\n", timeout=20 * PATIENCE)[0]
        assert self._client.returncode == 0, told
        self._server.wait(20 * PATIENCE)
        return pings.sent - pings.answered, int(told.split()[-1])

    def kill(self) -> None:
        """End it, whatever state it is in."""
        self._pings.kill()
        for part in (self._client, self._server):
            part.kill()
            part.wait()
            for stream in (part.stdin, part.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()


_ECHO = """
import socket, sys
server = socket.create_server((sys.argv[1], 7))
print("ready", flush=True)
connection, _ = server.accept()
while data := connection.recv(1 << 16):
    connection.sendall(data)
"""
_TALK = """
import os, select, socket, sys, time
out = socket.create_connection((sys.argv[1], 7), timeout=30)
print("talking", flush=True)
total = 0
while not select.select([sys.stdin], [], [], 0.002)[0]:
    piece = os.urandom(4000)
    out.sendall(piece)
    back = b""
    while len(back) < len(piece):
        more = out.recv(len(piece) - len(back))
        assert more, "the connection ended"
        back += more
    assert back == piece
    total += len(back)
print(total)
"""


@contextlib.contextmanager
def talking(one: Workload, two: Workload) -> Iterator[Traffic]:
    """Traffic while something happens."""
    traffic = Traffic(one, two)
    try:
        yield traffic
    finally:
        traffic.kill()


def mac_of(namespace: str, ifname: str) -> str:
    """Of a device."""
    (link,) = json.loads(sh(namespace, f"ip -j link show {ifname}"))
    return str(link["address"])


@contextlib.contextmanager
def made(directory: Path) -> Iterator[EncryptedOverlay]:
    """An overlay for one test."""
    overlay = EncryptedOverlay(directory)
    try:
        yield overlay
    finally:
        overlay.close()
