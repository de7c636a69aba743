"""The options of a command that say which subnets a network has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps

import click
from msgspec import UNSET

from weft.api.schema import RangeInfo
from weft.cli import types
from weft.control.specs import SubnetSpec
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.records import AddressRange

Command = Callable[..., None]

_OPTIONS = (
    click.option(
        "--subnet", "subnets", multiple=True, type=types.SUBNET, help="Address prefix; repeatable."
    ),
    click.option(
        "--gateway",
        "gateways",
        multiple=True,
        type=types.GATEWAY,
        help="Gateway of the subnet that holds it [the subnet's first address].",
    ),
    click.option(
        "--no-gateway", is_flag=True, help="No way out of the subnets, no router in them."
    ),
    click.option(
        "--range",
        "ranges",
        multiple=True,
        type=types.RANGE,
        help="Give addresses only from FIRST-LAST or a prefix; repeatable.",
    ),
    click.option(
        "--exclude",
        "excludes",
        multiple=True,
        type=types.EXCLUDE,
        help="Never give ADDRESS, FIRST-LAST or a prefix unless asked by name; repeatable.",
    ),
)


def subnet_options(command: Command) -> Command:
    """Add the options to a command. It gets what they say as `subnets`, a tuple of SubnetSpec."""

    @wraps(command)
    def with_subnets(
        *,
        subnets: tuple[IPNetwork, ...],
        gateways: tuple[IPAddress, ...],
        no_gateway: bool,
        ranges: tuple[AddressRange, ...],
        excludes: tuple[AddressRange, ...],
        **others: object,
    ) -> None:
        specs = subnet_specs(subnets, gateways, no_gateway, ranges, excludes)
        command(subnets=specs, **others)

    with_options: Command = with_subnets
    for option in reversed(_OPTIONS):
        with_options = option(with_options)
    return with_options


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
        _holder(subnets, one.first, one.last, f"--range {range_text(one)}").ranges.append(one)
    for one in excludes:
        holder = _holder(subnets, one.first, one.last, f"--exclude {range_text(one)}")
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


def range_text(one: AddressRange | RangeInfo) -> str:
    """As it is typed: one address, or the first and the last."""
    return str(one.first) if one.first == one.last else f"{one.first}-{one.last}"
