"""Takes connections that knock: TLS, the greeting, and a word to the administrator about hosts that
were refused."""

from __future__ import annotations

import asyncio
import socket

from weft.cluster.certificates import host_id_of
from weft.cluster.connection import LINGER_S, Connection, Silence
from weft.cluster.door import Guest
from weft.cluster.handshake import Refused
from weft.cluster.reception import Reception
from weft.cluster.server_name import ServerNames
from weft.cluster.tls_errors import STRANGER_FIX, explain
from weft.cluster.tls_session import TlsSession
from weft.errors import UnavailableError, WeftError


class Doorman:
    """Its methods are what `door.Door` calls."""

    def __init__(self, names: ServerNames, reception: Reception) -> None:
        self._names = names
        self._reception = reception

    async def knock(self, came: socket.socket, guest: Guest) -> None:
        """A connection that came; runs in a task of its own, until it is a link or closed."""
        tls = TlsSession(self._names.context, None)
        connection = self._reception.connection(tls)
        self._names.expect(tls.ssl_object, guest.named)
        try:
            await self._serve(came, connection, guest)
        except asyncio.CancelledError:
            connection.abort(UnavailableError("others came"))
            raise
        finally:
            self._names.forget(tls.ssl_object)

    async def _serve(self, came: socket.socket, connection: Connection, guest: Guest) -> None:
        try:
            await self._link(came, connection, guest)
            return
        except Refused as refused:
            self._reception.note(guest.address, refused, None, is_outgoing=False)
        except (OSError, WeftError) as error:
            fault = self._names.arrival(connection.tls.ssl_object).fault or explain(error)
            if fault.needs_hands and not self._is_late(error, guest.address):
                self._reception.problems.add(guest.address, fault.reason, fault.fix)
        await connection.wait_gone(LINGER_S)

    def crowd(self, address: str) -> None:
        """One had to make room for others."""
        self._reception.problems.add(
            address, "too many of its connections wait at once", STRANGER_FIX
        )

    def _is_late(self, error: Exception, address: str) -> bool:
        """Whether a host that is linked has given up another connection, as when both dial."""
        return isinstance(error, Silence) and self._reception.links.is_linked_at(address)

    async def _link(self, came: socket.socket, connection: Connection, guest: Guest) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: connection, came)
        await connection.established(self._reception.pace.tls_s)
        guest.proved(host_id_of(connection.tls.peer_certificate))
        came_by = self._names.arrival(connection.tls.ssl_object).secret_id
        await self._reception.link(connection, None, came_by)
