"""``weft version``."""

from __future__ import annotations

import platform

import click

import weft
from weft.cli.output import json_option, print_json


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Show the version.

    \b
    Examples:
      weft version
      weft version --json
    """
    if as_json:
        print_json(
            {
                "version": weft.__version__,
                "python": platform.python_version(),
                "kernel": platform.release(),
            }
        )
    else:
        click.echo(f"weft {weft.__version__}")
