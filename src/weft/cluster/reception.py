"""What dialing and accepting share: connections, the greeting, and telling of hosts that were
refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakSet

from weft.cluster.connection import Connection
from weft.cluster.greeting import Because, Hello
from weft.cluster.handshake import QUIET, Judge, Refused, greet
from weft.cluster.interface import Endpoint
from weft.cluster.link import Pace
from weft.cluster.link_table import CLOSED_FIX, LinkTable
from weft.cluster.problems import Problems
from weft.cluster.tls_session import TlsSession
from weft.errors import UnavailableError
from weft.model.ids import HostId


class Reception:
    """Makes links of connections."""

    def __init__(
        self,
        judge: Judge,
        links: LinkTable,
        problems: Problems,
        hello: Callable[[], Hello],
        pace: Pace,
        now_s: Callable[[], float],
    ) -> None:
        """hello: what this host says of itself now."""
        self.links = links
        self.problems = problems
        self.pace = pace
        self._judge = judge
        self._hello = hello
        self._now_s = now_s
        self._connections: WeakSet[Connection] = WeakSet()

    def connection(self, tls: TlsSession) -> Connection:
        """One that ends with the others, at the latest."""
        made = Connection(tls, self._now_s)
        self._connections.add(made)
        return made

    async def link(
        self, connection: Connection, endpoint: Endpoint | None, tls_secret_id: str
    ) -> Hello:
        """Make it a link; endpoint: where it was dialed. Raises what `greet` does."""
        hello = await greet(connection, self._hello(), self._judge, self.pace.greeting_s)
        self.links.take(connection, hello, endpoint, tls_secret_id)
        return hello

    def note(
        self, address: str, refused: Refused, host_id: HostId | None, *, is_outgoing: bool
    ) -> None:
        """Remember a refusal, by either end, unless nothing is wrong.

        host_id: the host to which the link was to lead, if that was known before.
        """
        if refused.because in QUIET:
            return
        is_clone = refused.because == Because.CLONE
        self.problems.add(
            address,
            refused.reason or f"refused: {refused.because}",
            refused.fix or CLOSED_FIX,
            host_id=refused.host_id if is_clone else host_id or refused.host_id,
            is_outgoing=is_outgoing,
            is_clone=is_clone,
            is_removal=refused.because == Because.REMOVED and not refused.is_ours,
        )

    async def end(self) -> None:
        """End all connections, links and others."""
        for connection in tuple(self._connections):
            connection.abort(UnavailableError("weftd stops"))
        await asyncio.sleep(0)
