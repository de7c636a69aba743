"""Links to other hosts over TLS 1.3: implements `interface.HostLinks` and the mesh's `Transport`.

    dialer --> Caller   --+                                       +--> mesh (listener)
                          +--> TLS --> handshake --> LinkTable ---+
    door   --> Doorman  --+            (admission)                +--> rotation of the secret

This module puts the parts together and keeps time.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from weft.cluster import ask_messages
from weft.cluster.admission import Admission
from weft.cluster.caller import Caller
from weft.cluster.certificates import Certificates
from weft.cluster.dialer import Dialer
from weft.cluster.door import MAX_WAITING_OF_ONE, Door, is_own_address
from weft.cluster.doorman import Doorman
from weft.cluster.greeting import OLDEST_PROTOCOL, PROTOCOL, Because, Hello
from weft.cluster.handshake import decides
from weft.cluster.interface import Identity, LinkInfo, Problem, RefusalOf, Target
from weft.cluster.link import Link, Pace
from weft.cluster.link_table import LinkTable
from weft.cluster.problems import Problems
from weft.cluster.reception import Reception
from weft.cluster.rotation import SOON_S, Rotation
from weft.cluster.secret import Secrets
from weft.cluster.server_name import ServerNames
from weft.errors import UnavailableError
from weft.mesh.transport import Listener
from weft.model.ids import HostId

EVERYWHERE = ("0.0.0.0", "::")
TICK_S = 0.5
FORGET_S = 30.0
"""Between two looks for problems that are old."""
SHUTDOWN_S = 1.0

log = structlog.get_logger()


class TlsTransport:
    """All links of this host. See `interface.HostLinks`."""

    def __init__(
        self,
        identity: Identity,
        secrets: Secrets,
        *,
        port: int,
        refusal_of: RefusalOf,
        addresses: Sequence[str] = EVERYWHERE,
        pace: Pace = Pace(),  # noqa: B008
        now_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        randomness: random.Random,
        max_waiting_of_one: int = MAX_WAITING_OF_ONE,
    ) -> None:
        """port 0: any free one. refusal_of: see `RefusalOf`. randomness: spreads calls."""
        self.changed: list[Callable[[], None]] = []
        self._identity = identity
        self._secrets = secrets
        self._pace = pace
        self._now_s = now_s
        self._probes: set[asyncio.Task[bool]] = set()
        self._problems = Problems(wall_s, self._changed)
        self._table = table = LinkTable(self._problems, now_s, wall_s)
        certificates = Certificates(identity.host_id, secrets.folder, wall_s)
        self._rotation = Rotation(secrets, certificates, table, refusal_of, self._changed, wall_s)
        judge = Admission(identity, secrets, table, refusal_of, pace)
        self._reception = Reception(judge, table, self._problems, self._hello, pace, now_s)
        self._caller = Caller(secrets, certificates, self._reception)
        self._dialer = Dialer(
            self._caller.dial,
            self._caller.is_met,
            self._is_courteous,
            pace,
            randomness,
        )
        doorman = Doorman(ServerNames(secrets, certificates), self._reception)
        self._door = Door(
            addresses, port, doorman.knock, doorman.crowd, self._is_familiar, max_waiting_of_one
        )
        table.on_up.append(self._on_up)
        table.on_down.append(self._on_down)

    @property
    def listener(self) -> Listener | None:
        """See `HostLinks`."""
        return self._table.listener

    @listener.setter
    def listener(self, listener: Listener | None) -> None:
        self._table.listener = listener

    @property
    def asking(self) -> Listener | None:
        """See `HostLinks`."""
        return self._table.asking

    @asking.setter
    def asking(self, listener: Listener | None) -> None:
        self._table.asking = listener

    @property
    def port(self) -> int:
        """See `HostLinks`."""
        return self._door.port

    def want(self, targets: Sequence[Target]) -> None:
        """See `HostLinks`."""
        before = self._dialer.targets
        if not self._dialer.want(targets):
            return
        endpoints = {str(each) for target in targets for each in target.endpoints}
        gone = [
            str(each)
            for target in before
            for each in target.endpoints
            if str(each) not in endpoints
        ]
        self._problems.no_longer_wanted(gone)
        for link in self._table:
            self._say_wanted(link)

    def links(self) -> Mapping[HostId, LinkInfo]:
        """See `HostLinks`."""
        return {link.host_id: link.info() for link in self._table}

    def problems(self) -> Sequence[Problem]:
        """See `HostLinks`."""
        return self._problems.list()

    def send(self, peer: str, data: bytes) -> None:
        """See `HostLinks`."""
        link = self._table.get(peer)
        if link is not None:
            link.send(data)

    def send_ask(self, peer: str, data: bytes) -> None:
        """See `HostLinks`."""
        link = self._table.get(peer)
        if link is not None:
            link.send_ask(data)

    def close_link(self, host_id: HostId, reason: str) -> None:
        """See `HostLinks`."""
        link = self._table.get(host_id)
        if link is not None:
            link.end(Because.CLOSED, reason)

    def network_changed(self) -> None:
        """See `HostLinks`."""
        self._caller.ourselves.clear()
        self._dialer.hurry()
        for link in self._table:
            if not is_own_address(link.local_ip):
                link.abort("this host's address was changed")
                continue
            probe = asyncio.ensure_future(link.lives(self._pace.network_probe_s))
            self._probes.add(probe)
            probe.add_done_callback(self._probes.discard)

    async def run(self) -> None:
        """See `HostLinks`."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._rotation.run(), name="certificates")
                tasks.create_task(self._listen(), name="mesh port")
                tasks.create_task(self._dial(), name="dialer")
                tasks.create_task(self._keep_time(), name="links")
        finally:
            await self._leave()

    async def _listen(self) -> None:
        await self._rotation.ready.wait()
        async with asyncio.TaskGroup() as tasks:
            for listening in await self._open():
                tasks.create_task(self._serve(listening))

    async def _open(self) -> Sequence[socket.socket]:
        while True:
            try:
                opened = self._door.open()
            except UnavailableError as error:
                self._problems.add(
                    "this host",
                    f"no other host can reach it: {error}",
                    "end the process that has the port, or set another one (mesh_port)",
                )
                await asyncio.sleep(SOON_S)
                continue
            self._problems.mended(self._identity.host_id, ("this host",))
            return opened

    async def _serve(self, listening: socket.socket) -> None:
        with listening:
            await self._door.serve(listening)

    async def _dial(self) -> None:
        await self._rotation.ready.wait()
        await self._dialer.run()

    async def _keep_time(self) -> None:
        forget_at_s = self._now_s() + FORGET_S
        while True:
            await asyncio.sleep(TICK_S)
            for link in self._table:
                link.tick(self._pace)
                self._end_unwanted(link)
            if self._now_s() >= forget_at_s:
                forget_at_s = self._now_s() + FORGET_S
                self._problems.forget_old()

    async def _leave(self) -> None:
        links = list(self._table)
        for link in links:
            link.end(Because.LEAVING)
        for probe in self._probes:
            probe.cancel()
        if links:
            closing = [asyncio.ensure_future(link.wait_gone(SHUTDOWN_S)) for link in links]
            await asyncio.wait(closing)
        await self._reception.end()

    def _hello(self) -> Hello:
        """What this host says of itself now."""
        me, secrets = self._identity, self._secrets
        return Hello(
            protocol=PROTOCOL,
            oldest_protocol=OLDEST_PROTOCOL,
            host_id=me.host_id,
            name=me.name[:255],
            version=me.version[:255],
            cluster_id=secrets.cluster_id,
            is_cluster_certain=secrets.is_cluster_certain,
            instance=me.instance,
            boot_id=me.boot_id,
            secret_id=secrets.current_id,
            secret_serial=secrets.current.serial,
            ask_version=ask_messages.VERSION,
        )

    def _is_courteous(self, target: Target) -> bool:
        host_id = target.host_id
        return host_id is not None and decides(host_id, self._identity.host_id)

    def _is_familiar(self, address: str) -> bool:
        return any(address == each.host for one in self._dialer.targets for each in one.endpoints)

    def _on_up(self, link: Link) -> None:
        self._problems.mended(link.host_id, self._addresses_of(link.host_id))
        self._say_wanted(link)
        self._dialer.links_changed()
        self._changed()

    def _addresses_of(self, host_id: HostId) -> Sequence[str]:
        """Where it is dialed, and where it comes from: a host tries by each address that it has."""
        endpoints = [
            endpoint
            for target in self._dialer.targets
            if host_id in self._caller.hosts_of(target)
            for endpoint in target.endpoints
        ]
        return [text for each in endpoints for text in (str(each), each.host)]

    def _on_down(self, link: Link) -> None:
        self._dialer.links_changed()
        self._changed()

    def _changed(self) -> None:
        for hear in self.changed:
            hear()

    def _say_wanted(self, link: Link) -> None:
        is_wanted = any(
            link.host_id in self._caller.hosts_of(target) for target in self._dialer.targets
        )
        if is_wanted != link.is_wanted_here:
            link.say_wanted(is_wanted)

    def _end_unwanted(self, link: Link) -> None:
        if link.is_wanted_here or link.is_wanted_there:
            link.unwanted_since_s = None
        elif link.unwanted_since_s is None:
            link.unwanted_since_s = self._now_s()
        elif self._now_s() - link.unwanted_since_s > self._pace.unwanted_s and decides(
            self._identity.host_id, link.host_id
        ):
            link.end(Because.UNWANTED)
