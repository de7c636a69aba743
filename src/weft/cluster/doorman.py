"""Takes who knocks: TLS, the greeting, and a word to the administrator about who was refused."""

from __future__ import annotations

import asyncio
import socket

from weft.cluster.connection import Silence
from weft.cluster.handshake import Refused
from weft.cluster.reception import Reception
from weft.cluster.server_name import ServerNames
from weft.cluster.tls_errors import STRANGER_FIX, explain
from weft.cluster.tls_session import TlsSession
from weft.errors import WeftError


class Doorman:
    """Its methods are what `door.Door` calls."""

    def __init__(self, names: ServerNames, reception: Reception) -> None:
        self._names = names
        self._reception = reception

    async def knock(self, came: socket.socket, address: str) -> None:
        """A connection from an address; runs in a task of its own."""
        tls = TlsSession(self._names.context, None)
        try:
            await self._link(came, tls)
        except Refused as refused:
            self._reception.note(address, refused, None, is_outgoing=False)
        except (OSError, WeftError) as error:
            fault = self._names.arrival(tls.ssl_object).fault or explain(error)
            if fault.needs_hands and not self._is_late(error, address):
                self._reception.problems.add(address, fault.reason, fault.fix)

    def crowd(self, address: str) -> None:
        """One was turned away unheard."""
        self._reception.problems.add(
            address, "too many of its connections wait at once", STRANGER_FIX
        )

    def _is_late(self, error: Exception, address: str) -> bool:
        """Whether a host that is linked has given up another connection, as when both dial."""
        return isinstance(error, Silence) and self._reception.links.is_linked_at(address)

    async def _link(self, came: socket.socket, tls: TlsSession) -> None:
        _, connection = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: self._reception.connection(tls), came
        )
        await connection.established(self._reception.pace.tls_s)
        await self._reception.link(connection, None, self._names.arrival(tls.ssl_object).secret_id)
