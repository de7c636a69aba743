"""``weft router``: what its description does not say (`api.resources.router`)."""

from __future__ import annotations

from collections.abc import Callable

import click
from msgspec import UNSET

from weft.api.resources.router import ROUTER, full_name, route_text
from weft.api.schema import RouterInfo
from weft.cli import types
from weft.cli.nouns import group
from weft.cli.output import json_option, print_json, progress
from weft.cli.session import connect as session
from weft.control.router_specs import ConnectionSpec, RouteSpec
from weft.model.addresses import IPAddress, IPNetwork


def _networks(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--network",
        "networks",
        multiple=True,
        type=types.CONNECTION,
        help="Connect it to this network; repeatable.",
    )(command)


router = group(ROUTER, more=_networks)


@router.command()
@click.argument("name", metavar="ROUTER", type=types.ROUTER)
@click.argument("network", type=types.NETWORK)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    type=types.ADDRESS,
    help="The router's address there; repeatable [the gateways of its subnets].",
)
@json_option
def connect(name: str, network: str, addresses: tuple[IPAddress, ...], as_json: bool) -> None:
    """Connect ROUTER to NETWORK.

    Without --address it becomes the gateway of the network's subnets. With it, ports that shall use
    it need a route by way of that address.

    \b
    Examples:
      weft router connect r1 web
      weft router connect r1 web --address 192.168.1.254
    """
    body = ConnectionSpec(network=network, addresses=addresses or UNSET)
    with progress(f"connecting router {name}"):
        made = session().send(RouterInfo, "POST", "routers", name, "networks", body=body)
    if as_json:
        print_json(made)
        return
    networks = ", ".join(one.network for one in made.networks)
    click.echo(f"router {full_name(made)}: connected to {networks}")


@router.command()
@click.argument("name", metavar="ROUTER", type=types.ROUTER)
@click.argument("network", type=types.NETWORK)
@json_option
def disconnect(name: str, network: str, as_json: bool) -> None:
    """Take ROUTER off NETWORK.

    \b
    Examples:
      weft router disconnect r1 web
    """
    session().delete("routers", name, "networks", network)
    if as_json:
        print_json({"removed": [network]})
    else:
        click.echo(f"router {name}: disconnected from {network}")


@router.group()
def route() -> None:
    """Give a router routes, or take them away."""


@route.command()
@click.argument("name", metavar="ROUTER", type=types.ROUTER)
@click.argument("prefix", type=types.PREFIX)
@click.argument("way", metavar="via|drop", type=click.Choice(["via", "drop"]))
@click.argument("hops", metavar="[ADDRESS[,ADDRESS]...]", default=(), type=types.ADDRESSES)
@click.option("--from", "source", type=types.PREFIX, help="Only what comes from this prefix.")
@json_option
def add(
    name: str,
    prefix: IPNetwork,
    way: str,
    hops: tuple[IPAddress, ...],
    source: IPNetwork | None,
    as_json: bool,
) -> None:
    """Have ROUTER send what is for PREFIX to one of several next hops, or drop it.

    A next hop is the address of a port, or of another router, on a network of ROUTER. Of several,
    each flow takes one of those that are there. A route that there is already to PREFIX gets these
    next hops instead of its own.

    \b
    Examples:
      weft router route add r1 10.9.0.0/16 via 192.168.1.9
      weft router route add r1 10.9.0.0/16 via 192.168.1.9,192.168.1.10
      weft router route add r1 0.0.0.0/0 via 192.168.1.9 --from 192.168.1.128/25
      weft router route add r1 10.66.0.0/16 drop
    """
    if (way == "via") != bool(hops):
        raise click.UsageError("say via and the next hops, or drop")
    body = RouteSpec(prefix=prefix, via=hops, source=source)
    made = session().send(RouterInfo, "POST", "routers", name, "routes", body=body)
    if as_json:
        print_json(made)
        return
    origin = None if source is None else str(source)
    found = next(o for o in made.routes if (o.prefix, o.source) == (str(prefix), origin))
    click.echo(f"router {full_name(made)}: {route_text(found)}")


@route.command()
@click.argument("name", metavar="ROUTER", type=types.ROUTER)
@click.argument("prefix", type=types.PREFIX)
@click.option("--from", "source", type=types.PREFIX, help="The one for this source.")
@json_option
def rm(name: str, prefix: IPNetwork, source: IPNetwork | None, as_json: bool) -> None:
    """Take the route to PREFIX from ROUTER.

    \b
    Examples:
      weft router route rm r1 10.9.0.0/16
      weft router route rm r1 0.0.0.0/0 --from 192.168.1.128/25
    """
    query = {"prefix": str(prefix), "source": None if source is None else str(source)}
    session().delete("routers", name, "routes", query=query)
    if as_json:
        print_json({"removed": [str(prefix)]})
    else:
        click.echo(f"router {name}: no route to {prefix} any more")
