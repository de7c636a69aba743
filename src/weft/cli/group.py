"""``weft group``: what its description does not say (`api.resources.group`)."""

from __future__ import annotations

import click
import msgspec

from weft.api.resources.group import GROUP, full_name
from weft.api.resources.network import is_dns_free
from weft.api.resources.tenant import TenantInfo
from weft.api.schema import GroupInfo, NetworkInfo
from weft.cli import types
from weft.cli.group_rules import rule
from weft.cli.nouns import group as commands
from weft.cli.output import json_option, print_json
from weft.cli.session import connect

group = commands(GROUP)
group.add_command(rule)
_DIRECTIONS = ("ingress", "egress")


@group.command()
@click.argument("what", type=click.Choice(["deny", "allow", "inherit"]))
@click.option("--ingress", is_flag=True, help="What comes to a port [both directions].")
@click.option("--egress", is_flag=True, help="What a port sends.")
@click.option("--tenant", type=types.TENANT, help="Of all networks of a tenant.")
@click.option("--network", type=types.NETWORK, help="Of one network.")
@click.option("--group", "group_", type=types.SECURITY_GROUP, help="Of the members of one group.")
@json_option
def default(
    what: str,
    ingress: bool,
    egress: bool,
    tenant: str | None,
    network: str | None,
    group_: str | None,
    as_json: bool,
) -> None:
    """Say what becomes of flows that no rule decides: they go on, unless this denies them.

    A network is as its tenant, until it says otherwise; with inherit it is so again. Queries to
    Weft's DNS go on where egress is denied, unless a network says otherwise (weft network set
    --judge-dns).

    \b
    Examples:
      weft group default deny --ingress --network back
      weft group default deny --tenant acme
      weft group default inherit --network back
      weft group default deny --ingress --group db
    """
    places = {"tenant": tenant, "network": network, "group": group_}
    given = [(kind, name) for kind, name in places.items() if name is not None]
    if len(given) != 1:
        raise click.UsageError("say one of --tenant, --network and --group")
    ((kind, name),) = given
    if what == "inherit" and (kind != "network" or ingress or egress):
        raise click.UsageError("inherit goes with --network, and is of both directions")
    chosen = [each for each, is_set in zip(_DIRECTIONS, (ingress, egress)) if is_set]
    _SET[kind](name, what, chosen or list(_DIRECTIONS), as_json)


def _of_tenant(name: str, what: str, chosen: list[str], as_json: bool) -> None:
    found = connect().get(TenantInfo, "tenants", name)
    body = {"denied": _denied(found.denied, what, chosen)}
    changed = connect().send(TenantInfo, "PATCH", "tenants", name, body=body)
    _say(changed, f"tenant {changed.name}", changed.denied, as_json)


def _of_network(name: str, what: str, chosen: list[str], as_json: bool) -> None:
    found = connect().get(NetworkInfo, "networks", name)
    denied = None if what == "inherit" else _denied(found.effective_denied, what, chosen)
    changed = connect().send(NetworkInfo, "PATCH", "networks", name, body={"denied": denied})
    dns = ", but for queries to Weft's DNS" if is_dns_free(changed) else ""
    _say(changed, f"network {changed.name}", changed.effective_denied, as_json, dns)


def _of_group(name: str, what: str, chosen: list[str], as_json: bool) -> None:
    found = connect().get(GroupInfo, "groups", name)
    body = {"denied": _denied(found.denied, what, chosen)}
    changed = connect().send(GroupInfo, "PATCH", "groups", name, body=body)
    _say(changed, f"group {full_name(changed)}", changed.denied, as_json)


_SET = {"tenant": _of_tenant, "network": _of_network, "group": _of_group}


def _denied(now: tuple[str, ...], what: str, chosen: list[str]) -> list[str]:
    left = [each for each in now if each not in chosen]
    return left + (chosen if what == "deny" else [])


def _say(
    changed: msgspec.Struct,
    name: str,
    denied: tuple[str, ...],
    as_json: bool,
    but_for: str = "",
) -> None:
    if as_json:
        print_json(changed)
        return
    text = "all goes on that no rule stops"
    if denied:
        need = "needs" if len(denied) == 1 else "need"
        text = f"{' and '.join(denied)} {need} a rule that allows it{but_for}"
    click.echo(f"{name}: {text}")
