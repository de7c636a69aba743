"""``weft port``: ports with every field explicit, one by one or all."""

from __future__ import annotations

import click
from msgspec import UNSET

from weft.api.schema import PortDetail, PortInfo, PortList, PortRequest, PublishRequest
from weft.cli import types
from weft.cli.output import json_option, print_json, progress
from weft.cli.plug_options import plug_options
from weft.cli.ports_table import print_port, print_ports
from weft.cli.removal import remove_each
from weft.cli.session import connect
from weft.model.addresses import IPAddress
from weft.model.ids import MacAddress
from weft.model.records import AllowedAddress


@click.group()
def port() -> None:
    """Add, list, change and remove ports."""


@port.command()
@click.argument("network", type=types.NETWORK)
@click.option("--netns", help="Plug into the network namespace at this path.")
@click.option("--pid", type=click.IntRange(1), help="Plug into the namespace of this process.")
@click.option("--container", help="Plug into this container, by name or id.")
@plug_options
@click.option(
    "--publish",
    "published",
    multiple=True,
    type=types.PUBLISHED,
    help="Lead a port of the host to it; repeatable.",
)
@click.option("--static", is_flag=True, help="On no host, until weft attach plugs in its name.")
@json_option
def add(
    network: str,
    netns: str | None,
    pid: int | None,
    container: str | None,
    addresses: tuple[IPAddress, ...],
    mac: MacAddress | None,
    names: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    groups: tuple[str, ...],
    ifname: str | None,
    allowed: tuple[AllowedAddress, ...],
    no_spoof_check: bool,
    admits_host: bool,
    no_default_route: bool,
    published: tuple[PublishRequest, ...],
    static: bool,
    as_json: bool,
) -> None:
    """Make a port on NETWORK. Without --netns, --pid or --container it only holds its addresses.

    \b
    Examples:
      weft port add foo --netns /run/netns/box --ip 192.168.1.9 --name box
      weft port add foo --pid 4711 --ifname net1 --no-default-route
      weft port add foo --container web --publish 8080:80
      weft port add foo --ip 192.168.1.7 --mac 02:00:00:00:00:07
      weft port add foo --static --name db --ip 192.168.1.8 --group db
    """
    request = PortRequest(
        network=network,
        target=_target(netns, pid, container),
        addresses=addresses or UNSET,
        mac=mac,
        names=names,
        labels=labels,
        groups=groups,
        ifname=ifname,
        allowed=allowed,
        is_spoof_checked=not no_spoof_check,
        admits_host=admits_host,
        is_default_route=not no_default_route,
        published=published,
        is_static=static,
    )
    if request.target is None and (ifname or no_default_route):
        raise click.UsageError("--ifname and --no-default-route need --netns, --pid or --container")
    with progress(f"adding a port to {network}"):
        made = connect().send(PortInfo, "POST", "ports", body=request)
    show(made, as_json)


@port.command("ls")
@click.argument("network", required=False, type=types.NETWORK)
@click.option("--group", type=types.SECURITY_GROUP, help="Members of this security group alone.")
@json_option
def list_(network: str | None, group: str | None, as_json: bool) -> None:
    """List the ports of all hosts, or of one NETWORK.

    \b
    Examples:
      weft port ls
      weft port ls foo --json
      weft port ls --group web
    """
    answer = connect().get(PortList, "ports", query={"network": network, "group": group})
    if as_json:
        print_json(answer)
    else:
        print_ports(answer.ports)


@port.command()
@click.argument("name", metavar="PORT", type=types.PORT)
@json_option
def inspect(name: str, as_json: bool) -> None:
    """Show a port, with what its own host has counted, dropped and could not put in force.

    \b
    Examples:
      weft port inspect web.foo
      weft port inspect 5f2a8c01 --json
    """
    with progress(f"asking the host of {name}"):
        found = connect().get(PortDetail, "ports", name, "detail")
    if as_json:
        print_json(found)
    else:
        print_port(found)


@port.command("set")
@click.argument("name", metavar="PORT", type=types.PORT)
@click.option(
    "--group",
    "groups",
    multiple=True,
    type=types.OrNone(types.SECURITY_GROUP),
    help="Security group, in place of all that it names; repeatable, or none.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    type=types.OrNone(types.LABEL),
    help="KEY=VALUE, in place of all that it has; repeatable, or none.",
)
@click.option(
    "--admit-host/--no-admit-host",
    "admits_host",
    default=None,
    help="Let its host in from its own place there, whatever rules say.",
)
@json_option
def set_(
    name: str,
    groups: tuple[object, ...],
    labels: tuple[object, ...],
    admits_host: bool | None,
    as_json: bool,
) -> None:
    """Give a port of this host other security groups or labels, or let the host in.

    \b
    Examples:
      weft port set web.foo --group web --group admin
      weft port set web.foo --label app=shop --label zone=a
      weft port set web.foo --group none
      weft port set web.foo --admit-host
    """
    given = {"groups": groups, "labels": labels}
    body: dict[str, object] = {
        field: () if types.NONE in said else said for field, said in given.items() if said
    }
    if admits_host is not None:
        body["admits_host"] = admits_host
    if not body:
        raise click.UsageError("say what shall be another way: --group, --label, --admit-host")
    changed = connect().send(PortInfo, "PATCH", "ports", name, body=body)
    if as_json:
        print_json(changed)
        return
    facts = [*(f"group {each}" for each in changed.groups), *map("=".join, changed.labels.items())]
    facts += ["admits its host"] if changed.admits_host else []
    name = changed.names[0] if changed.names else changed.id
    click.echo(f"port {name} on {changed.network}: {', '.join(facts) or 'no group, no label'}")


@port.command()
@click.argument("ports", metavar="PORT...", nargs=-1, required=True, type=types.PORT)
@json_option
def rm(ports: tuple[str, ...], as_json: bool) -> None:
    """Remove ports, by name or id. The first that fails does not stop the rest.

    \b
    Examples:
      weft port rm box
      weft port rm 5f2a8c017d3e9b64
    """
    remove_each("port", ports, as_json)


def show(made: PortInfo, as_json: bool) -> None:
    """A port that was just made."""
    if as_json:
        print_json(made)
        return
    device = f" as {made.device.peer_ifname}" if made.device else ""
    names = f", named {', '.join(made.names)}" if made.names else ""
    addresses = ", ".join(made.addresses) or "no address"
    click.echo(f"port {made.id} on {made.network}: {addresses}{device}{names}")


def _target(netns: str | None, pid: int | None, container: str | None) -> str | None:
    given = [value for value in (netns, pid and str(pid), container) if value]
    if len(given) > 1:
        raise click.UsageError("say only one of --netns, --pid and --container")
    if netns is not None and not netns.startswith("/"):
        raise click.UsageError(f"--netns {netns}: say an absolute path, as /run/netns/{netns}")
    return given[0] if given else None
