"""``weft multicast``: who is a member of which group."""

from __future__ import annotations

from collections.abc import Mapping

import click

from weft.api.schema import (
    MulticastGroupInfo,
    MulticastGroupList,
    MulticastGroupRequest,
    MulticastMember,
)
from weft.cli import types
from weft.cli.output import json_option, print_json, print_table
from weft.cli.session import connect
from weft.model.addresses import IPAddress


@click.group()
def multicast() -> None:
    """Add, list and remove members of multicast groups."""


@multicast.command()
@click.argument("network", type=types.NETWORK)
@click.argument("group", type=types.GROUP)
@click.argument("port", required=False, type=types.PORT)
@json_option
def add(network: str, group: IPAddress, port: str | None, as_json: bool) -> None:
    """Make PORT a member of GROUP, whatever it reports; without PORT, all ports of NETWORK.

    For workloads that report nothing. PORT is one of this host; all ports are those of all hosts.

    \b
    Examples:
      weft multicast add foo 239.1.1.1 web
      weft multicast add foo ff05::1:3
    """
    body = MulticastGroupRequest(address=group, port=port)
    made = connect().send(
        MulticastGroupInfo, "POST", "networks", network, "multicast-groups", body=body
    )
    if as_json:
        print_json(made)
    else:
        click.echo(f"group {made.address} on {made.network}: {port or 'all ports'} added")


@multicast.command()
@click.argument("network", type=types.NETWORK)
@click.argument("group", type=types.GROUP)
@click.argument("port", required=False, type=types.PORT)
@json_option
def rm(network: str, group: IPAddress, port: str | None, as_json: bool) -> None:
    """Undo what add did. What a port has joined by itself stays.

    \b
    Examples:
      weft multicast rm foo 239.1.1.1 web
      weft multicast rm foo ff05::1:3
    """
    connect().delete("networks", network, "multicast-groups", str(group), query={"port": port})
    if as_json:
        print_json({"removed": [str(group)]})
    else:
        click.echo(f"group {group} on {network}: {port or 'all ports'} removed")


@multicast.command("ls")
@click.argument("network", required=False, type=types.NETWORK)
@json_option
def list_(network: str | None, as_json: bool) -> None:
    """List the groups that have members, and these.

    \b
    Examples:
      weft multicast ls
      weft multicast ls foo --json
    """
    show_groups(network, as_json)


def show_groups(network: str | None, as_json: bool) -> None:
    """The same for `weft status multicast`."""
    answer = connect().get(MulticastGroupList, "multicast", query={"network": network})
    if as_json:
        print_json(answer)
        return
    rows = []
    for one in answer.multicast_groups:
        cells = [one.network, one.address]
        for host, names, how in _rows(one):
            rows.append([*cells, host, names, how])
            cells = ["", ""]
    print_table(["NETWORK", "GROUP", "HOST", "PORTS", "BY"], rows)
    if text := _statistics_text(answer.statistics):
        click.echo(text)


def _rows(one: MulticastGroupInfo) -> list[tuple[str, str, str]]:
    """Host, ports on it, and by what they are members."""
    rows = [("all", "all", "weft multicast add")] if one.is_static else []
    by_host: dict[tuple[str, str], list[str]] = {}
    for member in one.members:
        name = member.names[0] if member.names else member.port_id
        by_host.setdefault((member.host or "-", _how(member)), []).append(name)
    rows.extend((host, "\n".join(names), how) for (host, how), names in by_host.items())
    return rows


def _how(member: MulticastMember) -> str:
    hows = [("report", member.is_joined), ("weft multicast add", member.is_static)]
    return ", ".join(how for how, is_so in hows if is_so)


def _statistics_text(statistics: Mapping[str, int]) -> str:
    refused, malformed = statistics.get("refused", 0), statistics.get("malformed", 0)
    parts = []
    if refused:
        parts.append(f"{refused} joins refused, for a port or network had too many groups")
    if limited := statistics.get("limited", 0):
        parts.append(f"{limited} reports not read, for too many came")
    if malformed:
        parts.append(f"{malformed} reports not understood")
    return f"on this host: {'; '.join(parts)}" if parts else ""
