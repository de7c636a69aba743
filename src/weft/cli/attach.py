"""``weft attach`` and ``weft detach``: plug running things into networks."""

from __future__ import annotations

import click
from msgspec import UNSET

from weft.api.schema import PortInfo
from weft.cli import types
from weft.cli.output import json_option, print_json, progress
from weft.cli.plug_options import plug_options
from weft.cli.port import show
from weft.cli.session import connect
from weft.control.specs import AttachSpec
from weft.model.addresses import IPAddress
from weft.model.ids import MacAddress
from weft.model.records import AllowedAddress


@click.command()
@click.argument("target")
@click.argument("network", type=types.NETWORK)
@plug_options
@json_option
def attach(
    target: str,
    network: str,
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
    as_json: bool,
) -> None:
    """Plug TARGET into NETWORK while it runs.

    TARGET is a container's name or id, a process id, or the path of a network namespace. The
    same target and network again changes nothing.

    \b
    Examples:
      weft attach web foo
      weft attach 4711 foo --ip 192.168.1.9 --name box
      weft attach /run/netns/box foo --ifname net1 --no-default-route
      weft attach router foo --allow-address 10.9.0.0/16
      weft attach web foo --group web --label app=shop
    """
    spec = AttachSpec(
        target=target,
        network=network,
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
    )
    with progress(f"attaching {target} to {network}"):
        made = connect().send(PortInfo, "POST", "attachments", body=spec)
    show(made, as_json)


@click.command()
@click.argument("target")
@click.argument("network", type=types.NETWORK)
@json_option
def detach(target: str, network: str, as_json: bool) -> None:
    """Unplug TARGET from NETWORK.

    \b
    Examples:
      weft detach web foo
      weft detach /run/netns/box foo
    """
    with progress(f"detaching {target} from {network}"):
        connect().delete("attachments", query={"target": target, "network": network})
    if as_json:
        print_json({"removed": [target]})
    else:
        click.echo(f"{target}: detached from {network}")
