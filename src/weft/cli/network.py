"""``weft network``: what its description does not say (`api.resources.network`)."""

from __future__ import annotations

import click

from weft.api.resources.network import (
    ADVERTISING_TEXTS,
    MULTICAST_TEXTS,
    NETWORK,
    flags,
    full_name,
    is_dns_free,
)
from weft.api.schema import NetworkDetail, NetworkInfo, SubnetInfo
from weft.cli import types
from weft.cli.nouns import group
from weft.cli.output import json_option, print_facts, print_json, print_table
from weft.cli.ports_table import print_ports
from weft.cli.session import connect
from weft.cli.subnet_options import range_text, subnet_options
from weft.control.specs import NetworkChanges
from weft.model.choices import Allocator

network = group(NETWORK, more=subnet_options)


@network.command()
@click.argument("name", metavar="NETWORK", type=types.NETWORK)
@click.argument("new_name", metavar="NEW-NAME")
@json_option
def rename(name: str, new_name: str, as_json: bool) -> None:
    """Give a network another name. Of several that are called alike, name one by its id.

    What a container engine calls it changes where Weft made it there, once nothing is on it.

    \b
    Examples:
      weft network rename foo bar
      weft network rename 5f2a8c017d3e9b64 bar
    """
    body = NetworkChanges(name=new_name)
    renamed = connect().send(NetworkInfo, "PATCH", "networks", name, body=body)
    if as_json:
        print_json(renamed)
        return
    click.echo(f"network {renamed.id}: is called {full_name(renamed)}")


@network.command()
@click.argument("name", metavar="NETWORK", type=types.NETWORK)
@json_option
def inspect(name: str, as_json: bool) -> None:
    """Show a network with its subnets, ports and names.

    \b
    Examples:
      weft network inspect foo
      weft network inspect foo --json
    """
    found = connect().get(NetworkDetail, "networks", name)
    if as_json:
        print_json(found)
        return
    click.echo(f"network {full_name(found)}")
    print_facts(
        [
            ("id", found.id),
            ("VNI", str(found.vni)),
            ("MTU", _mtu_text(found)),
            ("flags", flags(found) or "-"),
            ("multicast", MULTICAST_TEXTS[found.multicast]),
            ("needs a rule", _denied_text(found)),
            *((f"label {key}", value) for key, value in found.labels.items()),
            *(("subnet", _subnet_text(subnet)) for subnet in found.subnets),
        ]
    )
    if found.ports:
        click.echo()
        print_ports(found.ports)
    added = [one for one in found.names if one.source == "added"]
    if added:
        click.echo()
        print_table(
            ["NAME", "ANSWERS"],
            [[one.name, "\n".join((*one.addresses, *one.services))] for one in added],
        )


def _denied_text(one: NetworkInfo) -> str:
    """What gets nowhere unless a rule allows it, and what needs none all the same."""
    if not one.effective_denied:
        return "nothing"
    dns = ", but for queries to Weft's DNS" if is_dns_free(one) else ""
    return " and ".join(one.effective_denied) + dns


def _mtu_text(one: NetworkInfo) -> str:
    origin = "" if one.mtu_bytes else " (the underlay's, less the encapsulation)"
    return f"{one.effective_mtu_bytes}{origin}"


def _subnet_text(subnet: SubnetInfo) -> str:
    lines = [f"{subnet.cidr}  gateway {subnet.gateway or 'none'}"]
    if subnet.cut_off_by is not None:
        lines.append(f"no way out: the addresses are {subnet.cut_off_by}'s outside")
    if subnet.ranges:
        lines.append(f"gives {', '.join(map(range_text, subnet.ranges))}")
    if subnet.excludes:
        lines.append(f"keeps {', '.join(map(range_text, subnet.excludes))}")
    if ":" in subnet.cidr:
        lines.append(f"router advertisements {ADVERTISING_TEXTS[subnet.router_advertisements]}")
    if subnet.allocator is Allocator.DOCKER:
        lines.append("Docker hands out the addresses")
    return "\n".join(lines)
