"""``weft network``: make, list, inspect and remove networks."""

from __future__ import annotations

from functools import partial

import click

from weft.api.schema import (
    NetworkChanges,
    NetworkDetail,
    NetworkInfo,
    NetworkList,
    SubnetInfo,
)
from weft.cli import types
from weft.cli.output import json_option, print_facts, print_json, print_table, progress
from weft.cli.ports_table import print_ports
from weft.cli.removal import remove_each
from weft.cli.session import connect
from weft.cli.subnet_options import range_text, subnet_options
from weft.control.specs import MulticastWord, NetworkSpec, SubnetSpec
from weft.model.choices import Allocator

_MULTICAST_TEXTS = {
    "snoop": "goes to the members of a group",
    "flood": "goes to every port",
}


@click.group()
def network() -> None:
    """Make, list, inspect, change and remove networks."""


multicast_option = partial(
    click.option,
    "--multicast",
    type=click.Choice(["snoop", "flood"]),
    help="To whom multicast goes: those who joined the group, or all [snoop].",
)


@network.command()
@click.argument("name")
@subnet_options
@click.option("--ipv6", is_flag=True, help="Add an IPv6 subnet when no --subnet is one.")
@click.option("--internal", is_flag=True, help="No way to the outside of the host.")
@click.option("--mtu", type=click.IntRange(576, 65535), help="MTU [the underlay's, less 50].")
@multicast_option(default="snoop")
@click.option("--force", is_flag=True, help="Accept an overlap with a route of the host.")
@click.option("--label", "labels", multiple=True, type=types.LABEL, help="KEY=VALUE; repeatable.")
@json_option
def create(
    name: str,
    subnets: tuple[SubnetSpec, ...],
    ipv6: bool,
    internal: bool,
    mtu: int | None,
    multicast: MulticastWord,
    force: bool,
    labels: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Make a network. Without --subnet its addresses come from the address pool.

    \b
    Examples:
      weft network create foo
      weft network create foo --subnet 192.168.1.0/24 --gateway 192.168.1.254
      weft network create foo --subnet 10.1.0.0/16 --range 10.1.4.0/24 \\
        --exclude 10.1.4.1-10.1.4.9
      weft network create dual --subnet 10.2.0.0/24 --subnet fd00:2::/64
      weft network create back --internal --ipv6
    """
    spec = NetworkSpec(
        name=name,
        subnets=subnets,
        is_ipv6=ipv6,
        is_internal=internal,
        mtu_bytes=mtu,
        is_forced=force,
        labels=labels,
        multicast=multicast,
    )
    with progress(f"making network {name}"):
        made = connect().send(NetworkInfo, "POST", "networks", body=spec)
    if as_json:
        print_json(made)
    else:
        click.echo(f"network {made.name}: {', '.join(one.cidr for one in made.subnets)}")


@network.command("ls")
@json_option
def list_(as_json: bool) -> None:
    """List networks.

    \b
    Examples:
      weft network ls
      weft network ls --json
    """
    answer = connect().get(NetworkList, "networks")
    if as_json:
        print_json(answer)
        return
    print_table(
        ["NETWORK", "SUBNETS", "GATEWAYS", "PORTS", "FLAGS"],
        [
            [
                _full_name(one),
                "\n".join(subnet.cidr for subnet in one.subnets),
                "\n".join(subnet.gateway or "-" for subnet in one.subnets),
                str(one.total_port_count),
                _flags(one),
            ]
            for one in answer.networks
        ],
        right=["PORTS"],
    )


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
    click.echo(f"network {renamed.id}: is called {_full_name(renamed)}")


@network.command("set")
@click.argument("name", metavar="NETWORK", type=types.NETWORK)
@multicast_option(required=True)
@json_option
def set_(name: str, multicast: MulticastWord, as_json: bool) -> None:
    """Change how a network forwards, on all hosts.

    With snoop, multicast goes to the ports that have joined the group, by IGMP or MLD, or were
    made members (weft multicast add). With flood, every port gets all of it.

    \b
    Examples:
      weft network set foo --multicast flood
      weft network set foo --multicast snoop
    """
    body = NetworkChanges(multicast=multicast)
    changed = connect().send(NetworkInfo, "PATCH", "networks", name, body=body)
    if as_json:
        print_json(changed)
        return
    click.echo(f"network {_full_name(changed)}: multicast {_MULTICAST_TEXTS[changed.multicast]}")


@network.command()
@click.argument("names", metavar="NETWORK...", nargs=-1, required=True, type=types.NETWORK)
@json_option
def rm(names: tuple[str, ...], as_json: bool) -> None:
    """Remove networks that no port uses, on all hosts. The first that fails does not stop the rest.

    \b
    Examples:
      weft network rm foo
      weft network rm foo bar
    """
    remove_each("network", names, as_json)


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
    click.echo(f"network {_full_name(found)}")
    print_facts(
        [
            ("id", found.id),
            ("VNI", str(found.vni)),
            ("MTU", _mtu_text(found)),
            ("flags", _flags(found) or "-"),
            ("multicast", _MULTICAST_TEXTS[found.multicast]),
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


def _full_name(one: NetworkInfo) -> str:
    return one.name if one.tenant == "default" else f"{one.tenant}/{one.name}"


def _flags(one: NetworkInfo) -> str:
    flags = [("internal", one.is_internal), ("exposed", one.is_exposed)]
    return ", ".join(name for name, is_set in flags if is_set)


def _mtu_text(one: NetworkInfo) -> str:
    origin = "" if one.mtu_bytes else " (the underlay's, less the encapsulation)"
    return f"{one.effective_mtu_bytes}{origin}"


def _subnet_text(subnet: SubnetInfo) -> str:
    lines = [f"{subnet.cidr}  gateway {subnet.gateway or 'none'}"]
    if subnet.ranges:
        lines.append(f"gives {', '.join(map(range_text, subnet.ranges))}")
    if subnet.excludes:
        lines.append(f"keeps {', '.join(map(range_text, subnet.excludes))}")
    if subnet.allocator is Allocator.DOCKER:
        lines.append("Docker hands out the addresses")
    return "\n".join(lines)
