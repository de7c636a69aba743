"""A client of answers that go on, line by line."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE_S = 20.0


class Reader:
    """Takes line after line."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response

    def line(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._response.readline())
        return found

    def end(self) -> bytes:
        """Whatever comes until it ends."""
        return self._response.read()


@contextmanager
def lines_of(api_socket: Path, path: str) -> Iterator[Reader]:
    """Of a weftd."""
    connection = http.client.HTTPConnection("weftd", timeout=PATIENCE_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(PATIENCE_S)
        connection.sock.connect(str(api_socket))
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        assert response.getheader("Content-Type") == "application/jsonl"
        yield Reader(response)
    finally:
        connection.close()
