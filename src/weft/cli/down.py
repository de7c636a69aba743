"""``weft down``: stop weftd; with ``--purge`` remove all that Weft made on this host."""

from __future__ import annotations

from pathlib import Path

import click

from weft import config
from weft.api.schema import Accepted
from weft.cli import daemon_process
from weft.cli.output import json_option, print_json, progress
from weft.cli.session import connect
from weft.config import Settings
from weft.errors import UnavailableError

SHUTDOWN_ANSWER_S = 10.0


@click.command()
@click.option(
    "--purge",
    is_flag=True,
    help="Remove networks, ports, addresses and names too, and all that is in the kernel.",
)
@json_option
def down(purge: bool, as_json: bool) -> None:
    """Stop weftd. Ports go on forwarding; the next weft up finds them.

    \b
    Examples:
      weft down
      weft down --purge
    """
    settings = config.load()
    with progress("stopping weftd"):
        pid = stop(settings)
    removed: list[str] = []
    others = _others(settings) if purge else []
    if purge:
        from weft.cli.purge import purge_host

        with progress("removing what Weft made"):
            removed = purge_host(settings)
    if as_json:
        state = "stopped" if pid is not None else "not-running"
        print_json({"state": state, "pid": pid, "is_purged": purge, "removed": removed})
        return
    _tell(pid, purge)
    if others:
        click.echo(
            f"The other hosts of its cluster ({', '.join(others[:5])}) were not told; on one"
        )
        click.echo(f"of them: weft forget {settings.name}. Next time, weft leave does all of it.")


def _others(settings: Settings) -> list[str]:
    """Names of the hosts that this one has met in its cluster."""
    from weft.cluster.remembered import Remembered

    known = Remembered(Path(settings.state_dir)).known.hosts
    return sorted(host.name for host in known.values())


def stop(settings: Settings) -> int | None:
    """End weftd by its API, else by its pid; the pid that ended, None when none ran."""
    try:
        client = connect(SHUTDOWN_ANSWER_S, settings.api_socket)
        pid = client.send(Accepted, "POST", "shutdown").pid
    except UnavailableError:
        found = daemon_process.find(settings)
        if found is not None:
            daemon_process.stop(found)
        return found
    daemon_process.wait_for_end(pid)
    return pid


def _tell(pid: int | None, purge: bool) -> None:
    click.echo(f"weftd (pid {pid}) stopped." if pid is not None else "weftd is not running.")
    if purge:
        click.echo("All that Weft made on this host is removed.")
    elif pid is not None:
        click.echo("Ports go on forwarding. Start it again with weft up; weft down --purge")
        click.echo("removes all that Weft made.")
