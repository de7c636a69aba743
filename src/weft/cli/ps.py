"""``weft ps``: what is attached where."""

from __future__ import annotations

import click

from weft.api.schema import PortList
from weft.cli import types
from weft.cli.output import json_option, print_json, print_table
from weft.cli.ports_table import holder, published, state
from weft.cli.session import connect


@click.command()
@click.argument("network", required=False, type=types.NETWORK)
@json_option
def ps(network: str | None, as_json: bool) -> None:
    """Show what is attached where, on all hosts or on one NETWORK.

    \b
    Examples:
      weft ps
      weft ps foo
      weft ps --json
    """
    answer = connect().get(PortList, "ports", query={"network": network})
    if as_json:
        print_json(answer)
        return
    print_table(
        ["WORKLOAD", "HOST", "NETWORK", "ADDRESSES", "NAMES", "PUBLISHED", "INTERFACE", "STATE"],
        [
            [
                holder(port),
                port.host or "-",
                port.network,
                "\n".join(port.addresses) or "-",
                "\n".join(port.names) or "-",
                published(port),
                port.device.peer_ifname if port.device and port.device.netns else "-",
                state(port),
            ]
            for port in answer.ports
        ],
    )
