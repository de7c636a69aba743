"""``weft leave``: take this host out of its cluster, and begin afresh."""

from __future__ import annotations

import click

from weft import config
from weft.api.schema import LeaveInfo
from weft.cli.down import stop
from weft.cli.output import json_option, print_json, progress
from weft.cli.session import connect
from weft.errors import UnavailableError
from weft.printable import printable_lines

LEAVE_S = 60.0


@click.command()
@click.option(
    "--force",
    is_flag=True,
    help="Even though no other host hears of it; then run weft forget on another host.",
)
@json_option
def leave(force: bool, as_json: bool) -> None:
    """Take this host out of its cluster.

    Its ports go, its addresses are handed over, the others are told; then weftd stops, and all
    that Weft made on this host is removed. The next weft up begins afresh.

    \b
    Examples:
      weft leave
      weft leave --force
    """
    settings = config.load()
    client = connect(LEAVE_S, settings.api_socket)
    query = {"force": "true"} if force else None
    try:
        with progress("leaving the cluster"):
            answer = client.send(LeaveInfo, "POST", "leave", query=query)
    except UnavailableError as error:
        if not force or settings.api_socket.exists():
            raise
        click.echo(f"weft: {printable_lines(str(error))}", err=True)
        answer = LeaveInfo(host=settings.name, is_confirmed=False)
    from weft.cli.purge import purge_host

    with progress("removing what Weft made"):
        stop(settings)
        removed = purge_host(settings)
    if as_json:
        print_json({"host": answer.host, "is_confirmed": answer.is_confirmed, "removed": removed})
        return
    click.echo(f"{answer.host} has left its cluster, and what Weft made on this host is removed.")
    if not answer.is_confirmed and force:
        click.echo(f"Nobody was told; on a host of the cluster: weft forget {answer.host}")
