"""``weft policy``: what security groups say, without sending a packet."""

from __future__ import annotations

from typing import Any

import click

from weft.api.schema.policy import JudgedEnd, JudgementInfo, PolicyTestInfo
from weft.api.schema.traces import TraceInfo
from weft.cli.flow_options import ends_arguments, flow_options, flow_query
from weft.cli.output import json_option, print_json
from weft.cli.session import connect
from weft.control.rule_text import protocol_word

_VERDICTS = {
    "allowed": "allowed",
    "dropped": "dropped",
    "rejected": "rejected, and its sender is told",
    "no-way": "nothing leads there",
}
_DONE = {"allow": "allowed", "drop": "dropped", "reject": "rejected"}


@click.group()
def policy() -> None:
    """Ask what security groups say of a flow."""


@policy.command()
@ends_arguments
@flow_options
@json_option
def test(source: str, destination: str, as_json: bool, **flow: Any) -> None:
    """Say what becomes of a flow FROM one end TO another, and which rule decides.

    FROM and TO are a port's name or id, a container's name, or an address; one at least is a port.
    Without a protocol it is a ping. Records alone are asked: no packet is sent. Exit code 1 when it
    is not allowed.

    \b
    Examples:
      weft policy test web store --tcp 5432
      weft policy test web.back 10.9.0.7 --udp 53
      weft policy test 203.0.113.9 web --tcp 443
      weft policy test web store --ipv6
    """
    query = flow_query(source, destination, **flow)
    answer = connect().get(PolicyTestInfo, "policy", "test", query=query)
    if as_json:
        print_json(answer)
    else:
        _tell(answer)
    if answer.verdict != "allowed":
        click.get_current_context().exit(1)


def _tell(answer: PolicyTestInfo) -> None:
    what = f"{end_text(answer.source)} -> {end_text(answer.destination)}, {packet_text(answer)}"
    click.echo(f"{what}: {_VERDICTS.get(answer.verdict, answer.verdict)}")
    if answer.routers:
        click.echo(f"  by way of router {', '.join(answer.routers)}")
    if answer.obstacle:
        click.echo(f"  {answer.obstacle}")
    for each in answer.judgements:
        click.echo(f"  {judgement_text(each)}")


def end_text(end: JudgedEnd) -> str:
    """One end of a flow."""
    if end.name is not None:
        return f"{end.name} on {end.network} ({end.address})"
    return end.address if end.network is None else f"{end.address} on {end.network}"


def packet_text(answer: PolicyTestInfo | TraceInfo) -> str:
    """``tcp 80``, ``icmp 8/0``."""
    words = [str(protocol_word(answer.protocol))]
    if answer.port is not None:
        words.append(str(answer.port))
    if answer.icmp_type is not None:
        words.append(f"{answer.icmp_type}/{answer.icmp_code}")
    return " ".join(words)


def judgement_text(each: JudgementInfo) -> str:
    """What the groups of one port say."""
    verdict = _DONE.get(each.verdict, each.verdict)
    return f"{each.direction} of {each.name}: {verdict}: {each.reason}"
