"""An etcd that the hosts of a cluster run themselves: the first three that join are its members.

The first host begins it. Who comes later finds it at the hosts that it joins, and becomes a member
if there are fewer than three: at first one that only learns, so that a majority is never in doubt;
etcd has one learner at a time, so two hosts cannot both become the third. A member that was removed
from the cluster (`weft leave`, `weft forget`) is removed from etcd, and some other host takes its
place. Every host looks at the members, and does what is its own to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from weft.cluster.endpoints import is_address, parse_endpoints
from weft.cluster.interface import Endpoint
from weft.cluster.secret import Secrets
from weft.config import Settings
from weft.errors import InvalidError, UnavailableError, WeftError
from weft.etcd import member_tls
from weft.etcd.client import EtcdClient
from weft.etcd.member_process import MemberProcess
from weft.etcd.member_tls import MemberTls
from weft.etcd.wire import Member, MembersAnswer, NoAnswer
from weft.model.addresses import IPAddress
from weft.model.ids import HostId
from weft.model.records import ForgottenHost, Host
from weft.store.interface import Changed, Store
from weft.store.sqlite_journal import SqliteJournal

log = structlog.get_logger()

SIZE = 3
"""Members: one may fail."""
LOOK_S = 2.0
"""Between two looks at members and process."""
FRESH_S = 60.0
"""Between two looks at certificates and addresses."""
_URLS = "etcd-urls"


class Managed:
    """This host's part in it. A long-lived part, after `begin`."""

    def __init__(
        self,
        *,
        settings: Settings,
        host_id: HostId,
        secrets: Secrets,
        journal: SqliteJournal,
        addresses: Callable[[], Sequence[IPAddress]],
        join: str,
        wall_s: Callable[[], float],
    ) -> None:
        """addresses: of this host for others, the one to use first. join: as it was written."""
        self.members: Sequence[Member] = ()
        """As etcd said last."""
        self.problem = ""
        """Why this host's part is not as it should be; empty: it is."""
        folder = Path(settings.state_dir) / "etcd"
        self._data = folder / "data"
        self._tls = MemberTls(folder / "tls", host_id, secrets, wall_s)
        self._process = MemberProcess(Path(settings.state_dir) / "log" / "etcd.log")
        self.client = EtcdClient((), self._tls.context)
        self._host_id = host_id
        self._secrets = secrets
        self._journal = journal
        self._addresses = addresses
        self._join = join
        self._port = settings.etcd_port
        self._mesh_port = settings.mesh_port
        self._store: Store | None = None
        self._remembered: tuple[str, ...] = ()
        self._due = asyncio.Event()
        self._fresh_until_s = 0.0

    @property
    def is_leaving(self) -> bool:
        """Whether this host was removed from the cluster, and is a member of etcd still."""
        store = self._store
        is_removed = store is not None and store.get(ForgottenHost, self._host_id) is not None
        return is_removed and self._data.exists()

    def describe(self) -> list[str]:
        """The members, for people."""
        return [f"member {self._name_of(one)}: {self._state_of(one)}" for one in self.members]

    async def begin(self) -> None:
        """Before all else: certificates, and this host's member if it is one, or the first host.

        UnavailableError: it is the first host, and cannot run etcd. A host that has been here
        before goes on, and tries again.
        """
        known = await self._journal.read_fact(_URLS)
        self._remembered = tuple((known or "").split())
        is_new = not self._remembered and not self._data.exists()
        try:
            await self._refresh()
            if is_new and not self._join:
                await self._start([f"{self._host_id}={self._peer_url}"], "new")
            await self._go_on()
        except WeftError as error:
            if is_new:
                raise
            self.problem = str(error)
        own = (self._client_url,) if self._process.is_running else ()
        self.client.use((*own, *self._remembered, *await self._join_urls()))

    def follow(self, store: Store) -> None:
        """Look at once when a host is removed."""
        self._store = store
        store.watch(self._hear)
        self._secrets.changed.append(self._look_at_certificates)

    async def run(self) -> None:
        """Until cancelled; then the process is ended."""
        try:
            while True:
                self._due.clear()
                try:
                    await self._look()
                    self.problem = ""
                except WeftError as error:
                    if str(error) != self.problem:
                        log.warning("etcd is not as it should be", reason=str(error))
                    self.problem = str(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._due.wait()
        finally:
            await asyncio.shield(self.close())

    async def close(self) -> None:
        """End the process."""
        await self._process.stop()

    # A look.

    async def _look(self) -> None:
        if asyncio.get_running_loop().time() >= self._fresh_until_s:
            await self._renew()
        try:
            self.members = await self._list()
        except WeftError:
            await self._go_on()
            raise
        if self._mine(self.members) is not None or self._process.is_running:
            await self._go_on()
        await self._remember()
        await self._remove_the_removed()
        await self._take_part()

    async def _renew(self) -> None:
        """Look at the certificates; who takes them from files begins anew with others."""
        # Before, for a secret may change meanwhile, and that asks for another look.
        self._fresh_until_s = asyncio.get_running_loop().time() + FRESH_S
        try:
            if await self._refresh():
                await self.client.close()
                await self._process.stop()
        except WeftError:
            self._fresh_until_s = 0.0
            raise

    async def _go_on(self) -> None:
        """Start this host's member, if it is one and has ended."""
        if self._data.exists() and not self._process.is_running:
            await self._start([], "existing")

    async def _list(self) -> Sequence[Member]:
        answer = await self.client.call("/v3/cluster/member/list", {}, MembersAnswer)
        return sorted(answer.members, key=lambda member: member.id)

    async def _remember(self) -> None:
        voters = [one for one in self.members if one.client_urls and not one.is_learner]
        urls = sorted({url for one in voters for url in one.client_urls})
        urls.sort(key=lambda url: url != self._client_url)
        if not urls:
            return
        self.client.use(urls)
        if tuple(urls) != self._remembered:
            await self._journal.write_fact(_URLS, " ".join(urls))
            self._remembered = tuple(urls)

    async def _remove_the_removed(self) -> None:
        for member in self.members:
            removed = self._store is not None and self._store.get(ForgottenHost, member.name)
            if removed and len(self.members) > 1:
                log.info("member of etcd removed", host=member.name)
                await self._remove(member)
                self._due.set()

    async def _take_part(self) -> None:
        mine, runs = self._mine(self.members), self._process.is_running
        if mine is None and self._data.exists() and not runs:
            log.info("is no member of etcd any more")
            await asyncio.to_thread(shutil.rmtree, self._data)
        elif mine is not None and not self._data.exists() and not runs:
            log.warning("this host's part of etcd is lost, begins another")
            await self._remove(mine)
        elif mine is not None and mine.is_learner:
            await self._promote(mine)
        elif mine is None and self._is_wanted and not runs:
            await self._volunteer()

    @property
    def _is_wanted(self) -> bool:
        is_busy = any(one.is_learner or not one.name for one in self.members)
        store = self._store
        is_removed = store is not None and store.get(ForgottenHost, self._host_id) is not None
        return len(self.members) < SIZE and not is_busy and not is_removed

    async def _volunteer(self) -> None:
        self._process.program()
        request = {"peerURLs": [self._peer_url], "isLearner": True}
        try:
            answer = await self.client.call("/v3/cluster/member/add", request, MembersAnswer)
        except WeftError as error:
            log.info("is not taken as a member of etcd yet", reason=str(error))
            return
        if len(answer.members) > SIZE:
            await self._remove(answer.member)
            return
        log.info("becomes a member of etcd", members=len(answer.members))
        named = [
            f"{self._host_id if one.id == answer.member.id else one.name}={url}"
            for one in answer.members
            for url in one.peer_urls
        ]
        await self._start(named, "existing")
        self._due.set()

    async def _promote(self, member: Member) -> None:
        request = {"ID": str(member.id)}
        try:
            await self.client.call("/v3/cluster/member/promote", request, NoAnswer)
        except (InvalidError, UnavailableError) as error:
            if "in sync with leader" not in str(error):
                raise
            return
        self._due.set()

    async def _remove(self, member: Member) -> None:
        with contextlib.suppress(InvalidError):  # another host was faster
            request = {"ID": str(member.id)}
            await self.client.call("/v3/cluster/member/remove", request, NoAnswer)

    # This host.

    async def _refresh(self) -> bool:
        found = await asyncio.to_thread(self._addresses)
        if not found:
            raise UnavailableError("etcd: this host has no address for other hosts")
        self._own = [str(address) for address in found]
        return await self._tls.refresh(self._own)

    async def _start(self, initial: Sequence[str], state: str) -> None:
        """initial: of the members when this one begins; of no use to one that has its data."""
        self._data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = {
            "name": self._host_id,
            "data-dir": str(self._data),
            "listen-client-urls": self._client_url,
            "advertise-client-urls": self._client_url,
            "listen-peer-urls": self._peer_url,
            "initial-advertise-peer-urls": self._peer_url,
            "initial-cluster": ",".join(initial) or f"{self._host_id}={self._peer_url}",
            "initial-cluster-state": state,
            "initial-cluster-token": "weft",
            "cert-file": self._tls.path(member_tls.MEMBER),
            "key-file": self._tls.path(member_tls.MEMBER_KEY),
            "trusted-ca-file": self._tls.path(member_tls.AUTHORITY),
            "peer-cert-file": self._tls.path(member_tls.MEMBER),
            "peer-key-file": self._tls.path(member_tls.MEMBER_KEY),
            "peer-trusted-ca-file": self._tls.path(member_tls.AUTHORITY),
            "auto-compaction-mode": "periodic",
            "auto-compaction-retention": "1h",
            "logger": "zap",
            "log-level": "warn",
        }
        flags = [f"--{name}={value}" for name, value in words.items()]
        await self._process.start([*flags, "--client-cert-auth", "--peer-client-cert-auth"])

    @property
    def _client_url(self) -> str:
        return f"https://{Endpoint(self._own[0], self._port)}"

    @property
    def _peer_url(self) -> str:
        return f"https://{Endpoint(self._own[0], self._port + 1)}"

    async def _join_urls(self) -> list[str]:
        """Where hosts that are to be joined may have a member. Its certificate names addresses."""
        loop, found = asyncio.get_running_loop(), []
        for host, _ in parse_endpoints(self._join, self._mesh_port):
            names = [host]
            if not is_address(host):
                with contextlib.suppress(OSError):
                    infos = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                    names = [str(info[4][0]) for info in infos]
            found += [f"https://{Endpoint(name, self._port)}" for name in names]
        return found

    def _mine(self, members: Sequence[Member]) -> Member | None:
        for one in members:
            if one.name == self._host_id or self._peer_url in one.peer_urls:
                return one
        return None

    def _hear(self, changed: Sequence[Changed]) -> None:
        if any(change.key[0] is ForgottenHost for change in changed):
            self._due.set()

    def _look_at_certificates(self) -> None:
        self._fresh_until_s = 0.0
        self._due.set()

    def _name_of(self, member: Member) -> str:
        host = self._store.get(Host, member.name) if self._store is not None else None
        return host.name if host is not None else member.name or ", ".join(member.peer_urls)

    def _state_of(self, member: Member) -> str:
        where = ", ".join(member.client_urls) or "has not started"
        if member.name == self._host_id and not self._process.is_running:
            return f"does not run, see {self._process.log}"
        return f"{where}, learns" if member.is_learner else where
