"""Dials one address: TCP, TLS with the newest secret that the other end takes, the greeting."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterable

from weft.cluster.certificates import Certificates, TlsContexts
from weft.cluster.connection import Connection
from weft.cluster.dialer import Outcome
from weft.cluster.greeting import Because, Hello
from weft.cluster.handshake import QUIET, Refused
from weft.cluster.interface import Endpoint, Target
from weft.cluster.link import Link
from weft.cluster.reception import Reception
from weft.cluster.secret import Secrets
from weft.cluster.server_name import server_name
from weft.cluster.tls_errors import Fault, explain
from weft.cluster.tls_session import TlsSession
from weft.errors import WeftError
from weft.model.ids import HostId


class Caller:
    """Dials addresses, and remembers which host was found at each."""

    def __init__(self, secrets: Secrets, certificates: Certificates, reception: Reception) -> None:
        self.ourselves: set[Endpoint] = set()
        """Where this process itself answered."""
        self._found: dict[Endpoint, HostId] = {}
        self._secrets = secrets
        self._certificates = certificates
        self._reception = reception
        self._links = reception.links
        self._problems = reception.problems
        self._pace = reception.pace
        reception.links.on_up.append(self._on_up)

    def hosts_of(self, target: Target) -> Iterable[HostId]:
        """The host that meets a target, as far as is known."""
        if target.host_id is not None:
            return (target.host_id,)
        return [self._found[each] for each in target.endpoints if each in self._found]

    def is_met(self, target: Target) -> bool:
        """Whether there is nothing to dial."""
        if any(host_id in self._links for host_id in self.hosts_of(target)):
            return True
        return all(each in self.ourselves for each in target.endpoints)

    async def dial(self, target: Target, endpoint: Endpoint) -> Outcome:
        """See `dialer.Dial`."""
        if endpoint in self.ourselves:
            return Outcome.REFUSED
        fault = Fault("this host is not ready yet", "it is tried again", False)
        for contexts in self._contexts():
            try:
                hello = await self._link(endpoint, contexts)
            except Refused as refused:
                return self._refused(target, endpoint, refused)
            except (OSError, WeftError, OverflowError, UnicodeError, ValueError) as error:
                # The last three: a record, or who was told whom to join, names no endpoint.
                fault = explain(error)
                if not fault.is_other_secret:
                    break
            else:
                self._met(target, endpoint, HostId(hello.host_id))
                return Outcome.LINKED
        return self._failed(target, endpoint, fault)

    def _contexts(self) -> list[TlsContexts]:
        secrets = (self._secrets.current, self._secrets.previous)
        found = [self._certificates.contexts(each.id) for each in secrets if each is not None]
        return [each for each in found if each is not None]

    async def _link(self, endpoint: Endpoint, contexts: TlsContexts) -> Hello:
        connection = await self._connect(endpoint, contexts)
        return await self._reception.link(connection, endpoint, contexts.secret_id)

    async def _connect(self, endpoint: Endpoint, contexts: TlsContexts) -> Connection:
        plain = await self._connect_plain(endpoint)
        name = server_name(contexts.secret_id, self._secrets.cluster_id)
        tls = TlsSession(contexts.client, name)
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: self._reception.connection(tls), sock=plain
        )
        await connection.established(self._pace.tls_s)
        return connection

    async def _connect_plain(self, endpoint: Endpoint) -> socket.socket:
        """The first of the addresses that answers; a name may have several."""
        failed: OSError | None = None
        for address in await _addresses(endpoint):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            with contextlib.ExitStack() as undo:
                plain = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
                plain.setblocking(False)
                try:
                    async with asyncio.timeout(self._pace.connect_s):
                        await asyncio.get_running_loop().sock_connect(plain, address)
                except OSError as error:
                    failed = error
                    continue
                undo.pop_all()
                return plain
        try:
            raise failed or OSError(f"{endpoint.host} has no address")
        finally:
            del failed  # its traceback leads to this frame: no cycle

    def _refused(self, target: Target, endpoint: Endpoint, refused: Refused) -> Outcome:
        if refused.because == Because.OURSELVES:
            self.ourselves.add(endpoint)
            self._problems.no_longer_wanted((str(endpoint),))
            return Outcome.REFUSED
        if refused.because == Because.DUPLICATE and refused.host_id is not None:
            self._met(target, endpoint, refused.host_id)
        self._reception.note(str(endpoint), refused, target.host_id, is_outgoing=True)
        return Outcome.FAILED if refused.because in QUIET else Outcome.REFUSED

    def _on_up(self, link: Link) -> None:
        if link.endpoint is not None:
            self._found[link.endpoint] = link.host_id

    def _failed(self, target: Target, endpoint: Endpoint, fault: Fault) -> Outcome:
        if not self.is_met(target):
            self._problems.add(
                str(endpoint), fault.reason, fault.fix, host_id=target.host_id, is_outgoing=True
            )
        return Outcome.REFUSED if fault.needs_hands else Outcome.FAILED

    def _met(self, target: Target, endpoint: Endpoint, host_id: HostId) -> None:
        """A target was met: the host that answered is known, and linked."""
        self._found[endpoint] = host_id
        self._problems.mended(host_id, [str(each) for each in target.endpoints])
        if target.host_id is not None and target.host_id != host_id:
            self._problems.add(
                str(endpoint),
                f"another host answers there: {host_id}",
                f"if host {target.host_id} is gone for good, `weft forget` it",
                host_id=target.host_id,
                is_outgoing=True,
            )


async def _addresses(endpoint: Endpoint) -> list[tuple[str, int]]:
    try:
        ipaddress.ip_address(endpoint.host)
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM
        )
        return [(str(address[0]), int(address[1])) for *_, address in found]
    return [(endpoint.host, endpoint.port)]
