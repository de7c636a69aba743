"""``weft why``: how a host or a port is reached, and why so."""

from __future__ import annotations

import click

from weft.api.schema import WhyInfo
from weft.cli.output import json_option, print_json
from weft.cli.session import connect


@click.command()
@click.argument("host_or_port")
@json_option
def why(host_or_port: str, as_json: bool) -> None:
    """Explain how a host or a port is reached: link, path, MTU, encryption, and what hinders it.

    Exit code 1 when it is not reached.

    \b
    Examples:
      weft why h2
      weft why web.foo
      weft why h2 --json
    """
    answer = connect().get(WhyInfo, "why", host_or_port)
    if as_json:
        print_json(answer)
    else:
        _tell(answer)
    if not answer.is_reachable:
        click.get_current_context().exit(1)


def _tell(answer: WhyInfo) -> None:
    what, port = answer.host.name, answer.port
    if port is not None:
        what = f"{port.names[0] if port.names else port.id} on {what}"
    click.echo(f"{what}: {'reached' if answer.is_reachable else 'not reached'}")
    for sentence in answer.explanation:
        click.echo(f"  {sentence}")
    if answer.fix:
        click.echo(f"  -> {answer.fix}")
