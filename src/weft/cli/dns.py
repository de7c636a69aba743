"""``weft dns``: names that weftd answers."""

from __future__ import annotations

import sys

import click

from weft.api.resources.name import NAME
from weft.api.schema import LookupInfo, NameInfo
from weft.cli import types
from weft.cli.nouns import group
from weft.cli.output import json_option, print_json, print_table, progress
from weft.cli.session import connect
from weft.control.specs import NameSpec
from weft.model.addresses import IPAddress

dns = group(NAME)


@dns.command()
@click.argument("name")
@click.argument("network", type=types.NETWORK)
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1, type=types.ADDRESS)
@click.option(
    "--srv",
    "services",
    multiple=True,
    type=types.SERVICE,
    help="'PRIORITY WEIGHT PORT TARGET'; repeatable.",
)
@click.option("--label", "labels", multiple=True, type=types.LABEL, help="KEY=VALUE; repeatable.")
@json_option
def add(
    name: str,
    network: str,
    addresses: tuple[IPAddress, ...],
    services: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Add addresses or services to NAME in NETWORK; what it has already stays.

    \b
    Examples:
      weft dns add printer foo 192.168.1.200
      weft dns add db foo 192.168.1.20 192.168.1.21
      weft dns add _http._tcp.web foo --srv "0 0 8080 web"
    """
    if not addresses and not services:
        raise click.UsageError("say at least one ADDRESS or --srv")
    spec = NameSpec(
        name=name, network=network, addresses=addresses, services=services, labels=labels
    )
    made = connect().send(NameInfo, "POST", "names", body=spec)
    if as_json:
        print_json(made)
    else:
        click.echo(f"{made.fqdn}: {', '.join((*made.addresses, *made.services))}")


@dns.command()
@click.argument("name")
@click.argument("network", type=types.NETWORK)
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1, type=types.ADDRESS)
@json_option
def rm(name: str, network: str, addresses: tuple[IPAddress, ...], as_json: bool) -> None:
    """Remove NAME from NETWORK, or only some of its addresses.

    \b
    Examples:
      weft dns rm printer foo
      weft dns rm db foo 192.168.1.21
    """
    query = {"address": [str(address) for address in addresses]}
    connect().delete("names", network, name, query=query)
    if as_json:
        print_json({"removed": [name]})
    else:
        what = ", ".join(query["address"])
        click.echo(f"{name}: {what or 'removed'}{' removed' if what else ''}")


@dns.command()
@click.argument("name")
@click.option("--type", "type_", help="A, AAAA, PTR, SRV … [A; PTR for an address]")
@click.option("--network", type=types.NETWORK, help="Ask as a workload of this network would.")
@json_option
def lookup(name: str, type_: str | None, network: str | None, as_json: bool) -> None:
    """Ask weftd's DNS server. Exit code 1: there is no such name.

    \b
    Examples:
      weft dns lookup web.foo.weft.internal
      weft dns lookup web --network foo --type AAAA
      weft dns lookup 192.168.1.9
    """
    with progress(f"looking up {name}"):
        answer = connect().get(
            LookupInfo, "lookup", query={"name": name, "type": type_, "network": network}
        )
    if as_json:
        print_json(answer)
    elif answer.records:
        print_table(
            ["NAME", "TTL", "TYPE", "DATA"],
            [[one.name, str(one.ttl_s), one.type, one.data] for one in answer.records],
            right=["TTL"],
        )
    else:
        click.echo(f"{answer.name} {answer.type}: {answer.rcode}, no records", err=True)
    if answer.rcode != "NOERROR":
        sys.exit(1)
