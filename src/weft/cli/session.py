"""From a command to weftd: the settings say where its socket is."""

from __future__ import annotations

from pathlib import Path

import click

from weft import config
from weft.api.client import TIMEOUT_S, Client


def connect(timeout_s: float = TIMEOUT_S, path: Path | None = None) -> Client:
    """A client of this host's weftd, for the command that runs. Nothing is sent yet.

    Unless the command prints JSON, all text of answers is fit to be printed. path: of the socket,
    where the settings are known already.
    """
    context = click.get_current_context(silent=True)
    is_json = context is not None and bool(context.params.get("as_json"))
    return Client(path or config.load().api_socket, timeout_s, is_for_people=not is_json)
