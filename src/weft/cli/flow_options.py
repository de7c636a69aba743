"""Options that say which flow is meant: for whatever asks about one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from weft.cli import types

F = TypeVar("F", bound=Callable[..., object])

_PORT = click.IntRange(0, 65535)
_OPTIONS = (
    click.option("--tcp", type=_PORT, metavar="PORT", help="To this TCP port."),
    click.option("--udp", type=_PORT, metavar="PORT", help="To this UDP port."),
    click.option("--sctp", type=_PORT, metavar="PORT", help="To this SCTP port."),
    click.option(
        "--icmp", metavar="TYPE[/CODE]", help="Of this type, of ICMPv6 where the ends are [a ping]."
    ),
    click.option("--protocol", help="Another protocol, by name or number."),
    click.option("--source-port", type=_PORT, help="Of the sender [any]."),
    click.option("--ipv4", "family", flag_value="4", help="By IPv4 [if both ends have it]."),
    click.option("--ipv6", "family", flag_value="6", help="By IPv6."),
)


def flow_options(command: F) -> F:
    """Adds them, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def ends_arguments(command: F) -> F:
    """Adds FROM and TO."""
    command = click.argument("destination", metavar="TO", type=types.PORT)(command)
    return click.argument("source", metavar="FROM", type=types.PORT)(command)


def flow_query(
    source: str,
    destination: str,
    *,
    tcp: int | None,
    udp: int | None,
    sctp: int | None,
    icmp: str | None,
    protocol: str | None,
    source_port: int | None,
    family: str | None,
) -> dict[str, str | None]:
    """What the API is asked."""
    query = {"source": source, "destination": destination, "family": family}
    query |= _flow(tcp, udp, sctp, icmp, protocol)
    if source_port is not None:
        query["source_port"] = str(source_port)
    return query


def _flow(
    tcp: int | None, udp: int | None, sctp: int | None, icmp: str | None, protocol: str | None
) -> dict[str, str | None]:
    ports = {"tcp": tcp, "udp": udp, "sctp": sctp}
    said = [word for word, port in ports.items() if port is not None]
    said += [word for word, value in (("icmp", icmp), ("protocol", protocol)) if value is not None]
    if len(said) > 1:
        raise click.UsageError(f"--{said[0]} and --{said[1]}: a flow has one protocol")
    if not said:
        return {}
    (word,) = said
    if word in ports:
        return {"protocol": word, "port": str(ports[word])}
    if word == "protocol":
        return {"protocol": protocol}
    type_, slash, code = (icmp or "").partition("/")
    return {"icmp_type": type_, **({"icmp_code": code} if slash else {})}
