"""``weft token``: the secret that makes a host a member. It is read from its file, never asked of
weftd, so that no answer of the API can hold it."""

from __future__ import annotations

from pathlib import Path

import click

from weft import config
from weft.api.schema import RotationInfo
from weft.cli.output import json_option, print_json
from weft.cli.session import connect
from weft.errors import NotFoundError


@click.group()
def token() -> None:
    """Show or rotate the token of the cluster. Who has it can join, and read and change all.

    \b
    Examples:
      weft token show
      weft token rotate
    """


@token.command()
@json_option
def show(as_json: bool) -> None:
    """Print the token, for weft up --join on another host. Needs root.

    \b
    Examples:
      weft token show
      weft token show | ssh h2 weft up --join 192.0.2.10 --token -
    """
    text = read_token(Path(config.load().state_dir))
    if as_json:
        print_json({"token": text})
    else:
        click.echo(text)


@token.command()
@json_option
def rotate(as_json: bool) -> None:
    """Replace the token. Links stay up; the old token counts until every host has the new one.

    weft status hosts tells which hosts are not reached; one that is gone for good holds it up
    until weft forget.

    \b
    Examples:
      weft token rotate
    """
    answer = connect().send(RotationInfo, "POST", "token", "rotate")
    if as_json:
        print_json(answer)
        return
    click.echo("The cluster has a new token; see: weft token show")
    if answer.unconfirmed:
        click.echo(f"The old one counts until these have it: {', '.join(answer.unconfirmed)}")


def read_token(state_dir: Path) -> str:
    """NotFoundError: this host is of no cluster yet; InvalidError: it may not be read."""
    from weft.cluster.secret import Secrets

    secrets = Secrets.open(state_dir)
    if secrets is None:
        raise NotFoundError(
            f"token: this host is of no cluster yet (nothing in {state_dir}); run: weft up"
        )
    return secrets.token()
