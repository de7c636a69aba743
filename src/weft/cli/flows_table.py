"""How connections are shown."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence

import click

from weft.api.schema import FlowEnd, FlowInfo, FlowLine, FlowList, FlowRule, FlowTableInfo
from weft.cli.output import bytes_text, duration_text, print_table, terminal_width

NEARLY_FULL = 0.8
_GAP = 1
"""Between two columns of a table."""
_ICMP = {
    ("icmp", 8, 0): "ping",
    ("icmpv6", 128, 0): "ping",
}


def print_flows(answer: FlowList, *, has_hosts: bool) -> None:
    """One line a connection where the terminal is as wide as that takes, else two or more. Below,
    what is missing."""
    now_s, width = time.time(), terminal_width()
    host = ["HOSTS"] if has_hosts else []
    columns = ["WHAT", "FROM", "TO", "NETWORK", *host, "STATE", "SENT", "ANSWERED", "RULE", "AGE"]
    rows = [_cells(flow, now_s, has_hosts) for flow in answer.flows]
    if _table_width([columns, *rows]) <= width:
        print_table(columns, rows)
    else:
        for flow in answer.flows:
            click.echo("\n".join(block_lines(flow, now_s, width, has_hosts=has_hosts)))
    for line in fullness_lines(answer.table):
        click.echo(line)
    for one in answer.unanswered:
        click.echo(f"not told by host {one.host}: {one.reason}")
    if not answer.is_whole and not answer.unanswered:
        click.echo("there are more, which began earlier; ask for those of one --port or --network")


def block_lines(flow: FlowInfo, now_s: float, width: int, *, has_hosts: bool) -> list[str]:
    """Who talks to whom, and how that stands; below, what was sent, since when, and who decided."""
    facts = [
        f"sent {_traffic(flow.packets, flow.bytes)}",
        f"answered {_traffic(flow.answer_packets, flow.answer_bytes)}",
        f"began {duration_text(max(0.0, now_s - flow.began_s))} ago",
        f"by {rule_text(flow)}",
    ]
    if has_hosts:
        facts.insert(3, f"seen by {' and '.join(flow.hosts)}")
    head = f"{what(flow):<6} {_state(flow):<11} {ends_text(flow)}"
    return [*_folded(head, width, 19), *_folded(" " * 7 + ", ".join(facts), width, 7)]


def fullness_lines(table: FlowTableInfo) -> list[str]:
    """What of the table one should know: that it is nearly full, and what has found no room."""
    lines = [
        f"the table of {family} connections is nearly full: {count} of {table.room[family]} entries"
        for family, count in table.entries.items()
        if count >= NEARLY_FULL * table.room.get(family, count + 1)
    ]
    if table.refused:
        lines.append(f"{table.refused} entries found no room in the table since the host started")
    if table.over_share:
        lines.append(
            f"{table.over_share} entries were refused to ports that have as many as they may"
            " (setting flows_per_port)"
        )
    return lines


def line_text(line: FlowLine, width: int) -> str:
    """What those who follow are told of one event: one line, or more where that does not fit."""
    flow = line.flow
    if flow is None:
        at = time.strftime("%H:%M:%S")
        if line.unanswered is None:
            return f"{at} missed {line.missed} connections: there are too many"
        silent = f"{at} without host {line.unanswered.host}: {line.unanswered.reason}"
        return "\n".join(_folded(silent, width, 16))
    at_s = {"ended": flow.ended_s, "denied": flow.seen_s}.get(line.event) or flow.began_s
    at = time.strftime("%H:%M:%S", time.localtime(at_s))
    head = f"{at} {line.event:<6} {what(flow)} {ends_text(flow)}"
    if line.event == "ended":
        lasted = duration_text(max(0.0, flow.seen_s - flow.began_s))
        facts = (
            f"sent {_traffic(flow.packets, flow.bytes)}, "
            f"answered {_traffic(flow.answer_packets, flow.answer_bytes)}, after {lasted}"
        )
    else:
        facts = f"by {rule_text(flow)}"
    if len(head) + 2 + len(facts) <= width:
        return f"{head}  {facts}"
    return "\n".join([*_folded(head, width, 16), *_folded(" " * 16 + facts, width, 16)])


def what(flow: FlowInfo) -> str:
    """The protocol; of ICMP its type and code."""
    if flow.icmp_type is None:
        return flow.protocol
    known = _ICMP.get((flow.protocol, flow.icmp_type, flow.icmp_code or 0))
    return known or f"{flow.protocol} {flow.icmp_type}/{flow.icmp_code}"


def ends_text(flow: FlowInfo) -> str:
    """``web (10.1.0.2):4000 > db (10.2.0.3):5432 on foo``, and where they are on two networks, each
    with its own."""
    source, destination = flow.source, flow.destination
    if flow.network is not None and source.network == destination.network:
        return f"{end_text(source)} > {end_text(destination)} on {flow.network}"
    return " > ".join(
        end_text(end) + (f" on {end.network}" if end.network is not None else "")
        for end in (source, destination)
    )


def end_text(end: FlowEnd) -> str:
    """``web (10.1.0.2):80``."""
    address = f"{end.name} ({end.address})" if end.name else end.address
    if end.port is None:
        return address
    return f"{address}:{end.port}" if end.name or ":" not in address else f"[{address}]:{end.port}"


def rule_text(flow: FlowInfo) -> str:
    """Who decided: of what is denied the rule that denied it, else both that let it pass."""
    if flow.denied_by is not None:
        rule = flow.egress_rule if flow.denied_by == "egress" else flow.ingress_rule
        return _rule(rule) if rule is not None else f"default, {flow.denied_by}"
    named = [flow.egress_rule, flow.ingress_rule]
    return "; ".join(_rule(rule) for rule in named if rule is not None) or "default"


def _rule(rule: FlowRule | None) -> str:
    if rule is None:
        return "default"
    if rule.text is not None:
        return f"{rule.group}: {rule.text}"
    return f"{rule.group}: denied" if rule.group is not None else f"gone ({rule.id[:8]})"


def _cells(flow: FlowInfo, now_s: float, has_hosts: bool) -> list[str]:
    return [
        what(flow),
        end_text(flow.source),
        end_text(flow.destination),
        _networks_text(flow),
        *(["\n".join(flow.hosts)] if has_hosts else []),
        _state(flow),
        _traffic(flow.packets, flow.bytes),
        _traffic(flow.answer_packets, flow.answer_bytes),
        rule_text(flow).replace("; ", "\n"),
        duration_text(max(0.0, now_s - flow.began_s)),
    ]


def _networks_text(flow: FlowInfo) -> str:
    there = [flow.source.network, flow.destination.network]
    if None not in there and there[0] != there[1]:
        return f"{there[0]}\n{there[1]}"
    return flow.network or "-"


def _state(flow: FlowInfo) -> str:
    return flow.state if flow.ended_s is None or flow.state == "denied" else "ended"


def _table_width(rows: Sequence[Sequence[str]]) -> int:
    """As `print_table` would have it without a cell that wraps."""
    widths = (
        max(len(line) for cell in column for line in cell.split("\n")) for column in zip(*rows)
    )
    return sum(width + _GAP for width in widths) - _GAP


def _folded(text: str, width: int, indent: int) -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent=" " * indent, break_on_hyphens=False, drop_whitespace=True
    )


def _traffic(packets: int, size_bytes: int) -> str:
    return f"{packets} / {bytes_text(size_bytes)}"
