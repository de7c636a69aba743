"""Who listens in a workload: gives back whatever comes, by TCP and by UDP."""

from __future__ import annotations

import socket
from typing import Protocol

from tests.conformance.place import Place

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Service(Protocol):
    """One that listens."""

    def serve(self) -> None:
        """Answer what has come so far."""

    def close(self) -> None:
        """Listen no more."""


class TcpService:
    """Listens at an address, and echoes."""

    def __init__(self, place: Place, address: str, port: int) -> None:
        self._listener = _bound(place, address, port, socket.SOCK_STREAM)
        self._listener.listen(64)
        self._connections: list[socket.socket] = []

    def serve(self) -> None:
        """See `Service.serve`."""
        try:
            while True:
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                self._connections.append(connection)
        except BlockingIOError:
            pass
        self._connections = [each for each in self._connections if _echoes(each)]

    def close(self) -> None:
        """See `Service.close`."""
        for each in (self._listener, *self._connections):
            each.close()


class UdpService:
    """The same for datagrams."""

    def __init__(self, place: Place, address: str, port: int) -> None:
        self._socket = _bound(place, address, port, socket.SOCK_DGRAM)

    def serve(self) -> None:
        """See `Service.serve`."""
        try:
            while True:
                data, sender = self._socket.recvfrom(65535)
                self._socket.sendto(data, sender)
        except OSError:
            return  # nothing is there, or an error about an earlier answer

    def close(self) -> None:
        """See `Service.close`."""
        self._socket.close()


def _echoes(connection: socket.socket) -> bool:
    """Give back what has come; False when the other end is gone."""
    try:
        data = connection.recv(65535)
        if data:
            connection.send(data)
            return True
    except BlockingIOError:
        return True
    except OSError:
        pass
    connection.close()
    return False


def _bound(place: Place, address: str, port: int, kind: int) -> socket.socket:
    made = place.socket(FAMILIES[6 if ":" in address else 4], kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    return made
