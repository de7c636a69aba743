"""Takes who knocks: TLS, the greeting, and a word to the administrator about who was refused."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from weft.cluster.connection import Connection, Silence
from weft.cluster.greeting import Because, Hello
from weft.cluster.handshake import QUIET, Judge, Refused, greet
from weft.cluster.link import Pace
from weft.cluster.link_table import CLOSED_FIX, LinkTable
from weft.cluster.problems import Problems
from weft.cluster.server_name import ServerNames
from weft.cluster.tls_errors import STRANGER_FIX, explain
from weft.cluster.tls_session import TlsSession
from weft.errors import WeftError


class Doorman:
    """Its methods are what `door.Door` calls."""

    def __init__(
        self,
        names: ServerNames,
        judge: Judge,
        links: LinkTable,
        problems: Problems,
        hello: Callable[[], Hello],
        pace: Pace,
        connection: Callable[[TlsSession], Connection],
    ) -> None:
        self._names = names
        self._judge = judge
        self._links = links
        self._problems = problems
        self._hello = hello
        self._pace = pace
        self._connection = connection

    async def knock(self, came: socket.socket, address: str) -> None:
        """A connection from an address; runs in a task of its own."""
        tls = TlsSession(self._names.context, None)
        try:
            await self._link(came, tls)
        except Refused as refused:
            self._refused(address, refused)
        except (OSError, WeftError) as error:
            fault = self._names.arrival(tls.ssl_object).fault or explain(error)
            if fault.needs_hands and not self._is_late(error, address):
                self._problems.add(address, fault.reason, fault.fix)

    def _is_late(self, error: Exception, address: str) -> bool:
        """Whether a host that is linked has given up another connection, as when both dial."""
        return isinstance(error, Silence) and self._links.is_linked_at(address)

    def crowd(self, address: str) -> None:
        """One was turned away unheard."""
        self._problems.add(address, "too many of its connections wait at once", STRANGER_FIX)

    async def _link(self, came: socket.socket, tls: TlsSession) -> None:
        _, connection = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: self._connection(tls), came
        )
        await connection.established(self._pace.tls_s)
        hello = await greet(connection, self._hello(), self._judge, self._pace.greeting_s)
        self._links.take(connection, hello, None, self._names.arrival(tls.ssl_object).secret_id)

    def _refused(self, address: str, refused: Refused) -> None:
        if refused.because in QUIET:
            return
        self._problems.add(
            address,
            refused.reason or f"refused: {refused.because}",
            refused.fix or CLOSED_FIX,
            host_id=refused.host_id,
            is_clone=refused.because == Because.CLONE,
            is_removal=refused.because == Because.REMOVED and not refused.is_ours,
        )
