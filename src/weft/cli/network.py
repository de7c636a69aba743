"""``weft network``: make, list, inspect and remove networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import click
from msgspec import UNSET

from weft.api.schema import (
    NetworkChanges,
    NetworkDetail,
    NetworkInfo,
    NetworkList,
    RangeInfo,
    SubnetInfo,
)
from weft.cli import types
from weft.cli.output import json_option, print_facts, print_json, print_table, progress
from weft.cli.ports_table import print_ports
from weft.cli.removal import remove_each
from weft.cli.session import connect
from weft.control.specs import MulticastWord, NetworkSpec, SubnetSpec
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.choices import Allocator
from weft.model.records import AddressRange

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
@click.option(
    "--subnet", "subnets", multiple=True, type=types.SUBNET, help="Address prefix; repeatable."
)
@click.option("--ipv6", is_flag=True, help="Add an IPv6 subnet when no --subnet is one.")
@click.option(
    "--gateway",
    "gateways",
    multiple=True,
    type=types.GATEWAY,
    help="Gateway of the subnet that holds it [the subnet's first address].",
)
@click.option("--no-gateway", is_flag=True, help="No way out of the subnets, no router in them.")
@click.option(
    "--range",
    "ranges",
    multiple=True,
    type=types.RANGE,
    help="Give addresses only from FIRST-LAST or a prefix; repeatable.",
)
@click.option(
    "--exclude",
    "excludes",
    multiple=True,
    type=types.EXCLUDE,
    help="Never give ADDRESS, FIRST-LAST or a prefix unless asked by name; repeatable.",
)
@click.option("--internal", is_flag=True, help="No way to the outside of the host.")
@click.option("--mtu", type=click.IntRange(576, 65535), help="MTU [the underlay's, less 50].")
@multicast_option(default="snoop")
@click.option("--force", is_flag=True, help="Accept an overlap with a route of the host.")
@click.option("--label", "labels", multiple=True, type=types.LABEL, help="KEY=VALUE; repeatable.")
@json_option
def create(
    name: str,
    subnets: tuple[IPNetwork, ...],
    ipv6: bool,
    gateways: tuple[IPAddress, ...],
    no_gateway: bool,
    ranges: tuple[AddressRange, ...],
    excludes: tuple[AddressRange, ...],
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
        subnets=subnet_specs(subnets, gateways, no_gateway, ranges, excludes),
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


@dataclass
class _Wanted:
    """Options gathered for one subnet."""

    cidr: IPNetwork | None
    gateway: IPAddress | None = None
    ranges: list[AddressRange] = field(default_factory=list)
    excludes: list[AddressRange] = field(default_factory=list)


def subnet_specs(
    cidrs: Sequence[IPNetwork],
    gateways: Sequence[IPAddress],
    no_gateway: bool,
    ranges: Sequence[AddressRange],
    excludes: Sequence[AddressRange],
) -> tuple[SubnetSpec, ...]:
    """Give each gateway, range and exclusion to the subnet that holds it."""
    if no_gateway and gateways:
        raise click.UsageError(f"--gateway {gateways[0]} and --no-gateway contradict each other")
    subnets = [_Wanted(cidr) for cidr in cidrs]
    if no_gateway and not subnets:
        subnets = [_Wanted(None)]
    for gateway in gateways:
        holder = _holder(subnets, gateway, gateway, f"--gateway {gateway}")
        if holder.gateway is not None:
            raise click.UsageError(
                f"--gateway {gateway}: subnet {holder.cidr} has {holder.gateway} already"
            )
        holder.gateway = gateway
    for one in ranges:
        _holder(subnets, one.first, one.last, f"--range {_range_text(one)}").ranges.append(one)
    for one in excludes:
        holder = _holder(subnets, one.first, one.last, f"--exclude {_range_text(one)}")
        holder.excludes.append(one)
    return tuple(
        SubnetSpec(
            cidr=one.cidr,
            gateway=None if no_gateway else one.gateway or UNSET,
            ranges=tuple(one.ranges),
            excludes=tuple(one.excludes),
        )
        for one in subnets
    )


def _holder(subnets: Sequence[_Wanted], first: IPAddress, last: IPAddress, what: str) -> _Wanted:
    named = [one for one in subnets if one.cidr is not None]
    if not named:
        raise click.UsageError(f"{what}: say with --subnet in which subnet")
    for one in named:
        if one.cidr is not None and first in one.cidr and last in one.cidr:
            return one
    cidrs = ", ".join(str(one.cidr) for one in named)
    raise click.UsageError(f"{what}: outside of the network's subnets ({cidrs})")


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
        lines.append(f"gives {', '.join(map(_range_text, subnet.ranges))}")
    if subnet.excludes:
        lines.append(f"keeps {', '.join(map(_range_text, subnet.excludes))}")
    if subnet.allocator is Allocator.DOCKER:
        lines.append("Docker hands out the addresses")
    return "\n".join(lines)


def _range_text(one: AddressRange | RangeInfo) -> str:
    return str(one.first) if one.first == one.last else f"{one.first}-{one.last}"
