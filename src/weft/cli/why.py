"""``weft why``: how a host or a port is reached, or one from another, and why so."""

from __future__ import annotations

from typing import Any

import click

from weft.api.schema import PolicyTestInfo, TraceInfo, WhyInfo
from weft.cli import types
from weft.cli.flow_options import flow_options, flow_query
from weft.cli.output import json_option, print_json, progress
from weft.cli.policy import end_text, judgement_text, packet_text
from weft.cli.session import connect
from weft.cli.trace import verdict_text


@click.command()
@click.argument("host_or_port", metavar="HOST|PORT")
@click.argument("destination", metavar="[TO]", required=False, type=types.PORT)
@flow_options
@json_option
def why(host_or_port: str, destination: str | None, as_json: bool, **flow: Any) -> None:
    """Explain how a host or a port is reached: link, path, MTU, encryption, and what hinders it.
    With TO: whether that is reached from the port, by the rules and by the programs of all hosts on
    the way (see weft policy test, weft trace).

    Exit code 1 when it is not reached.

    \b
    Examples:
      weft why h2
      weft why web.foo
      weft why web store --tcp 5432
      weft why h2 --json
    """
    if destination is None:
        _check_alone(flow)
        is_reached = _tell_one(host_or_port, as_json)
    else:
        is_reached = _tell_two(flow_query(host_or_port, destination, **flow), as_json)
    if not is_reached:
        click.get_current_context().exit(1)


def _check_alone(flow: dict[str, Any]) -> None:
    for name, value in flow.items():
        if value is not None:
            option = "ipv4 or --ipv6" if name == "family" else name.replace("_", "-")
            raise click.UsageError(f"--{option}: is about a flow; say TO as well")


def _tell_one(host_or_port: str, as_json: bool) -> bool:
    answer = connect().get(WhyInfo, "why", host_or_port)
    if as_json:
        print_json(answer)
        return answer.is_reachable
    what, port = answer.host.name, answer.port
    if port is not None:
        what = f"{port.names[0] if port.names else port.id} on {what}"
    click.echo(f"{what}: {'reached' if answer.is_reachable else 'not reached'}")
    for sentence in answer.explanation:
        click.echo(f"  {sentence}")
    if answer.fix:
        click.echo(f"  -> {answer.fix}")
    return answer.is_reachable


def _tell_two(query: dict[str, str | None], as_json: bool) -> bool:
    client = connect()
    policy = client.get(PolicyTestInfo, "policy", "test", query=query)
    with progress("following the packet"):
        trace = client.get(TraceInfo, "trace", query=query)
    if as_json:
        print_json({"policy": policy, "trace": trace})
        return trace.is_through
    what = f"{end_text(trace.source)} -> {end_text(trace.destination)}, {packet_text(trace)}"
    click.echo(f"{what}: {'reached' if trace.is_through else 'not reached'}")
    click.echo(f"  by the programs: {verdict_text(trace)}")
    if policy.routers:
        click.echo(f"  by the records: by way of router {', '.join(policy.routers)}")
    if policy.obstacle:
        click.echo(f"  by the records: {policy.obstacle}")
    for each in policy.judgements:
        click.echo(f"  by the rules: {judgement_text(each)}")
    if (policy.verdict == "allowed") is not trace.is_through and not policy.obstacle:
        click.echo("  it is not for the rules; weft trace shows each stage")
    if trace.fix:
        click.echo(f"  -> {trace.fix}")
    return trace.is_through
