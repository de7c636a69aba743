"""From a command to weftd: the settings say where its socket is."""

from __future__ import annotations

from weft import config
from weft.api.client import TIMEOUT_S, Client


def connect(timeout_s: float = TIMEOUT_S) -> Client:
    """A client of this host's weftd. Nothing is sent yet."""
    return Client(config.load().api_socket, timeout_s)
