"""How connections are shown."""

from __future__ import annotations

import time

import click

from weft.api.schema import FlowEnd, FlowInfo, FlowLine, FlowList, FlowRule, FlowTableInfo
from weft.cli.output import bytes_text, duration_text, print_table

NEARLY_FULL = 0.8
_ICMP = {
    ("icmp", 8, 0): "ping",
    ("icmpv6", 128, 0): "ping",
}


def print_flows(answer: FlowList, *, has_hosts: bool) -> None:
    """A table, and below it what is missing in it."""
    now_s = time.time()
    host = ["HOSTS"] if has_hosts else []
    print_table(
        ["WHAT", "FROM", "TO", "NETWORK", *host, "STATE", "SENT", "ANSWERED", "RULE", "AGE"],
        [_cells(flow, now_s, has_hosts) for flow in answer.flows],
    )
    for line in fullness_lines(answer.table):
        click.echo(line)
    for one in answer.unanswered:
        click.echo(f"not told by host {one.host}: {one.reason}")
    if not answer.is_whole and not answer.unanswered:
        click.echo("there are more, which began earlier; ask for those of one --port or --network")


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


def line_text(line: FlowLine) -> str:
    """One line of those who follow."""
    if line.flow is None:
        return f"{time.strftime('%H:%M:%S')} missed {line.missed} connections: there are too many"
    flow = line.flow
    at_s = flow.ended_s if line.event == "ended" and flow.ended_s is not None else flow.began_s
    words = [
        time.strftime("%H:%M:%S", time.localtime(at_s)),
        f"{line.event:<6}",
        what(flow),
        end_text(flow.source),
        ">",
        end_text(flow.destination),
    ]
    if line.event == "ended":
        words += [f"sent {_traffic(flow.packets, flow.bytes)},"]
        words += [f"answered {_traffic(flow.answer_packets, flow.answer_bytes)},"]
        words += [f"after {duration_text(max(0.0, flow.seen_s - flow.began_s))}"]
    else:
        words += [f"by {rule_text(flow)}"]
    return " ".join(words)


def what(flow: FlowInfo) -> str:
    """The protocol; of ICMP its type and code."""
    if flow.icmp_type is None:
        return flow.protocol
    known = _ICMP.get((flow.protocol, flow.icmp_type, flow.icmp_code or 0))
    return known or f"{flow.protocol} {flow.icmp_type}/{flow.icmp_code}"


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
    state = flow.state if flow.ended_s is None or flow.state == "denied" else "ended"
    return [
        what(flow),
        end_text(flow.source),
        end_text(flow.destination),
        flow.network or "-",
        *(["\n".join(flow.hosts)] if has_hosts else []),
        state,
        _traffic(flow.packets, flow.bytes),
        _traffic(flow.answer_packets, flow.answer_bytes),
        rule_text(flow).replace("; ", "\n"),
        duration_text(max(0.0, now_s - flow.began_s)),
    ]


def _traffic(packets: int, size_bytes: int) -> str:
    return f"{packets} / {bytes_text(size_bytes)}"
