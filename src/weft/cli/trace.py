"""``weft trace``: what becomes of a packet, stage by stage and host by host."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import click

from weft.api.schema.traces import TraceInfo, TraceLeg
from weft.cli.flow_options import ends_arguments, flow_options, flow_query
from weft.cli.output import json_option, print_json, progress
from weft.cli.policy import end_text, packet_text
from weft.cli.session import connect

WIDTH = 80
_INDENT = 13
_VERDICTS = {
    "delivered": "the packet gets there",
    "answered": "the packet is answered",
    "host": "the packet leaves the networks by its host",
}


@click.command()
@ends_arguments
@flow_options
@click.option("--one-way", is_flag=True, help="Leave out what answers the packet.")
@json_option
def trace(source: str, destination: str, one_way: bool, as_json: bool, **flow: Any) -> None:
    """Follow a packet FROM one end TO another, and what answers it.

    FROM and TO are a port's name or id, a container's name, or an address; one at least is a port.
    Without a protocol it is a ping. The programs that forward packets decide, on each host on the
    way, but no packet is sent, and nothing is counted or remembered. Exit code 1 when the packet
    does not get there, or its answer not back.

    \b
    Examples:
      weft trace web store --tcp 5432
      weft trace web.front 10.2.0.5 --udp 53
      weft trace web 198.51.100.1 --one-way
      weft trace 203.0.113.9 web --tcp 443 --json
    """
    query = flow_query(source, destination, **flow)
    if one_way:
        query["one_way"] = "true"
    with progress("following the packet"):
        answer = connect().get(TraceInfo, "trace", query=query)
    if as_json:
        print_json(answer)
    else:
        for line in trace_lines(answer):
            click.echo(line)
    if not answer.is_through:
        click.get_current_context().exit(1)


def trace_lines(answer: TraceInfo) -> Iterator[str]:
    """From the sender to the verdict."""
    what = f"{end_text(answer.source)} -> {end_text(answer.destination)}, {packet_text(answer)}"
    yield from textwrap.wrap(what, WIDTH, subsequent_indent="  ")
    for leg in answer.legs:
        yield from _leg_lines(leg)
    yield from textwrap.wrap(verdict_text(answer), WIDTH, subsequent_indent="  ")
    if answer.fix:
        yield f"  -> {answer.fix}"


def verdict_text(answer: TraceInfo) -> str:
    """In a sentence."""
    if answer.obstacle:
        return answer.obstacle
    verdict = _VERDICTS.get(answer.verdict, answer.verdict)
    return f"{verdict}, and an answer gets back" if answer.answer is not None else verdict


def _leg_lines(leg: TraceLeg) -> Iterator[str]:
    yield f"the answer, host {leg.host}" if leg.is_answer else f"host {leg.host}"
    for each in leg.stages:
        yield from textwrap.wrap(
            f"  {each.stage:<{_INDENT - 3}} {each.decision}",
            WIDTH,
            subsequent_indent=" " * _INDENT,
            break_on_hyphens=False,
        )
