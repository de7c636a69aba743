"""``weft mend``: remove a record that cannot be used."""

from __future__ import annotations

import click

from weft.cli.output import json_option, print_json
from weft.cli.session import connect


@click.command()
@click.argument("kind")
@click.argument("id")
@json_option
def mend(kind: str, id: str, as_json: bool) -> None:
    """Remove a record that cannot be used, on all hosts: weft status problems names them.

    Such a record was written by a faulty weft, or by a newer one; it does no harm while it is
    there. What it stood for has to be made again.

    \b
    Examples:
      weft mend network 2393ed0803701270
    """
    connect().delete("records", kind, id)
    if as_json:
        print_json({"removed": [f"{kind} {id}"]})
        return
    click.echo(f"{kind} {id} is removed")
