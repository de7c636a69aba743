"""``weft forget``: remove a host that is gone for good."""

from __future__ import annotations

import click

from weft.api.schema import HostInfo
from weft.cli.output import json_option, print_json
from weft.cli.session import connect
from weft.cli.types import HOST


@click.command()
@click.argument("host", type=HOST)
@click.option("--force", is_flag=True, help="Even though its weftd is alive.")
@json_option
def forget(host: str, force: bool, as_json: bool) -> None:
    """Remove a host that is gone for good: its ports, names and addresses go back.

    Its identity is refused from then on. If it returns, it says so itself; weft leave there, and
    it may join again as a new host. One that is alive leaves by itself: run weft leave there.

    \b
    Examples:
      weft forget h3
      weft forget 2393ed0803701270 --force
    """
    query = {"force": "true"} if force else None
    answer = connect().send(HostInfo, "DELETE", "hosts", host, query=query)
    if as_json:
        print_json({"removed": [answer.name], "host": answer})
        return
    click.echo(f"host {answer.name} ({answer.id}) is removed; it will be refused if it returns.")
