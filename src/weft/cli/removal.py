"""Removing several things by one command."""

from __future__ import annotations

from collections.abc import Sequence

import click

from weft.cli.output import print_json, progress
from weft.cli.session import connect
from weft.errors import WeftError


def remove_each(kind: str, names: Sequence[str], as_json: bool) -> None:
    """Remove what is called so; the first that fails does not stop the rest.

    kind: ``network`` or ``port``. Raises an ExceptionGroup of what failed.
    """
    client = connect()
    removed, errors = [], []
    for name in names:
        try:
            with progress(f"removing {kind} {name}"):
                client.delete(f"{kind}s", name)
            removed.append(name)
        except WeftError as error:
            errors.append(error)
    if as_json:
        print_json({"removed": removed})
    else:
        for name in removed:
            click.echo(f"{kind} {name}: removed")
    if errors:
        raise ExceptionGroup(f"{kind}s not removed", errors)
