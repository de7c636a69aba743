"""``weft expose`` and ``weft hide``: the host's own place on a network."""

from __future__ import annotations

import click

from weft.api.schema import ExposeRequest, PortInfo
from weft.cli import types
from weft.cli.output import json_option, print_json, progress
from weft.cli.session import connect
from weft.model.addresses import IPAddress


@click.command()
@click.argument("network", type=types.NETWORK)
@click.option("--ip", "addresses", multiple=True, type=types.ADDRESS, help="Address; repeatable.")
@json_option
def expose(network: str, addresses: tuple[IPAddress, ...], as_json: bool) -> None:
    """Give the host itself a place on NETWORK, so that it can reach what is there.

    \b
    Examples:
      weft expose foo
      weft expose foo --ip 192.168.1.100
    """
    request = ExposeRequest(addresses=addresses)
    with progress(f"exposing {network}"):
        made = connect().send(PortInfo, "PUT", "networks", network, "host", body=request)
    if as_json:
        print_json(made)
    else:
        click.echo(f"network {made.network}: this host is {', '.join(made.addresses)}")


@click.command()
@click.argument("network", type=types.NETWORK)
@json_option
def hide(network: str, as_json: bool) -> None:
    """Take the host's place on NETWORK away.

    \b
    Examples:
      weft hide foo
    """
    with progress(f"hiding {network}"):
        connect().delete("networks", network, "host")
    if as_json:
        print_json({"removed": [network]})
    else:
        click.echo(f"network {network}: this host has no place on it any more")
