"""``weft encrypt``: turn encryption between hosts on and off, and see how far it is."""

from __future__ import annotations

import time

import click
from msgspec import UNSET

from weft.api.schema import EncryptionInfo, EncryptRequest, KeyInfo
from weft.cli.output import (
    duration_text,
    json_option,
    print_facts,
    print_json,
    print_table,
    progress,
)
from weft.cli.session import connect
from weft.cli.types import SUBNET
from weft.model.addresses import IPNetwork

PATIENCE_S = 30.0
"""How long the command stays to see it through; the hosts go on without it."""
POLL_S = 0.1


@click.group()
def encrypt() -> None:
    """Encrypt the traffic between hosts (WireGuard). Connections go on meanwhile.

    \b
    Examples:
      weft encrypt on
      weft encrypt on --plain 10.9.0.0/24
      weft encrypt status
      weft encrypt off
    """


@encrypt.command()
@click.option(
    "--plain",
    "plain",
    multiple=True,
    type=SUBNET,
    help="Not between two hosts whose underlay addresses are both in CIDR; repeatable.",
)
@click.option("--no-plain", is_flag=True, help="Take back all exceptions.")
@json_option
def on(plain: tuple[IPNetwork, ...], no_plain: bool, as_json: bool) -> None:
    """Encrypt, on all hosts. Exceptions stay as they are unless --plain or --no-plain says more.

    \b
    Examples:
      weft encrypt on
      weft encrypt on --plain 10.9.0.0/24 --plain fd09::/64
    """
    if plain and no_plain:
        raise click.UsageError("--plain and --no-plain contradict each other")
    exceptions = plain if plain or no_plain else UNSET
    _set(EncryptRequest(is_encrypted=True, plain=exceptions), as_json)


@encrypt.command()
@json_option
def off(as_json: bool) -> None:
    """Do not encrypt any more.

    \b
    Examples:
      weft encrypt off
    """
    _set(EncryptRequest(is_encrypted=False), as_json)


@encrypt.command()
@json_option
def status(as_json: bool) -> None:
    """Show how it is set, and how far each host is.

    \b
    Examples:
      weft encrypt status
    """
    info = connect().get(EncryptionInfo, "encryption")
    if as_json:
        print_json(info)
    else:
        _tell(info)


@encrypt.command()
@json_option
def rotate(as_json: bool) -> None:
    """Give this host new keys. By itself it does so every wireguard_key_s seconds (30 days).

    \b
    Examples:
      weft encrypt rotate
    """
    with progress("taking new keys"):
        info = connect().send(KeyInfo, "POST", "encryption", "rotate")
    if as_json:
        print_json(info)
    else:
        click.echo(f"This host's public key is {info.public_key} now.")


def _set(request: EncryptRequest, as_json: bool) -> None:
    client = connect()
    with progress("waiting until all hosts have followed"):
        info = client.send(EncryptionInfo, "PUT", "encryption", body=request)
        deadline_s = time.monotonic() + PATIENCE_S
        while not info.is_settled and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
            info = client.get(EncryptionInfo, "encryption")
    if as_json:
        print_json(info)
        return
    _tell(info)
    if not info.is_settled:
        click.echo("Hosts go on by themselves; weft encrypt status shows how far they are.")


def _tell(info: EncryptionInfo) -> None:
    wanted = "on" if info.is_encrypted else "off"
    click.echo(f"encryption: {wanted}" + ("" if info.is_settled else ", not through yet"))
    facts = [("except", ", ".join(info.plain))] if info.plain else []
    facts += [("waits for", each) for each in info.waits_for]
    if info.obstacle:
        facts.append(("this host", f"cannot encrypt: {info.obstacle}"))
    if info.key_made_s is not None:
        facts.append(("keys", f"made {duration_text(time.time() - info.key_made_s)} ago"))
    if info.problem:
        facts.append(("keys", f"older than they should be: {info.problem}"))
    print_facts(facts)
    print_table(
        ("HOST", "STAGE", "PORT", "PUBLIC KEY"),
        [
            (
                host.name,
                _stage(host.is_able, host.stage, host.is_in_force),
                str(host.port or ""),
                host.public_key or "",
            )
            for host in info.hosts
        ],
    )


def _stage(is_able: bool, stage: str, is_in_force: bool) -> str:
    if not is_able:
        return "cannot"
    return stage if is_in_force else f"{stage} (on its way)"
