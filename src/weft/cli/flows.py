"""``weft flows``: who talks to whom, and who may not."""

from __future__ import annotations

import re
from collections.abc import Mapping

import click
import msgspec

from weft.api.schema import FlowLine, FlowList
from weft.cli import types
from weft.cli.output import json_option, print_json, progress, terminal_width
from weft.cli.session import connect
from weft.printable import printable_json

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class _Duration(types.ParamType):
    """``90``, ``30s``, ``5m``, ``1h``: seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        if not isinstance(value, str):
            return value
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", value)
        if found is None:
            self.fail(f"{value!r}: say a number and s, m, h or d, as 5m", param, ctx)
        return float(found[1]) * _UNITS[found[2] or "s"]


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on: connections as they begin and end.")
@click.option("--port", type=types.PORT, help="With this port at one end.")
@click.option("--network", type=types.NETWORK, help="On this network.")
@click.option("--host", type=types.HOST, help="As this host has seen them.")
@click.option("--all", "is_all", is_flag=True, help="As all hosts have seen them.")
@click.option("--verdict", type=click.Choice(["allowed", "denied"]), help="Only these.")
@click.option(
    "--since",
    type=_Duration(),
    help="Seen in the last 30s, 5m or 1h, also those that have ended.",
)
@json_option
def flows(
    follow: bool,
    port: str | None,
    network: str | None,
    host: str | None,
    is_all: bool,
    verdict: str | None,
    since: float | None,
    as_json: bool,
) -> None:
    """Show connections of ports that have rules, those that began last first.

    Of each connection: who began it, with whom, how it stands, what each of the two has sent, and
    the rule that decided; on one line, or on a narrow terminal on more. Connections of ports
    without rules are not remembered.

    \b
    Examples:
      weft flows
      weft flows --port web --since 5m
      weft flows --verdict denied --all
      weft flows --follow
      weft flows --follow --all --verdict denied
    """
    query = {"port": port, "network": network, "verdict": verdict}
    if follow:
        if since is not None:
            raise click.UsageError("--follow tells of what comes from now on; leave out --since")
        _follow({**query, "host": host, "all": "true" if is_all else None}, as_json)
        return
    with progress("asking the other hosts" if is_all or host else "reading connections"):
        answer = connect().get(
            FlowList,
            "flows",
            query={
                **query,
                "host": host,
                "all": "true" if is_all else None,
                "since_s": f"{since:g}" if since is not None else None,
            },
        )
    if as_json:
        print_json(answer)
        return
    from weft.cli.flows_table import print_flows

    print_flows(answer, has_hosts=is_all or host is not None)


def _follow(query: Mapping[str, str | None], as_json: bool) -> None:
    from weft.cli.flows_table import line_text

    for line in connect().lines(FlowLine, "flows", "watch", query=query):
        if as_json:
            click.echo(printable_json(msgspec.json.encode(line).decode()))
        else:
            click.echo(line_text(line, terminal_width()))
