"""How counters of ports are shown, wherever they are."""

from __future__ import annotations

from collections.abc import Mapping

import click

from weft.api.schema import CountersInfo, CountersList
from weft.cli.output import bytes_text, print_table


def print_counters(answer: CountersList, *, has_hosts: bool) -> None:
    """A table of ports; below it what was dropped before any port, and who has not answered."""
    host = ["HOST"] if has_hosts else []
    print_table(
        ["PORT", *host, "NETWORK", "RX PKT", "RX", "TX PKT", "TX", "DROPPED"],
        [_cells(one, has_hosts) for one in answer.counters],
        right=["RX PKT", "RX", "TX PKT", "TX"],
    )
    for device, drops in answer.wire_drops.items():
        click.echo(f"dropped from other hosts, on {device}:")
        click.echo("".join(f"  {line}\n" for line in drops_text(drops).splitlines()), nl=False)
    for one in answer.unanswered:
        click.echo(f"not told by host {one.host}: {one.reason}")


def drops_text(drops: Mapping[str, int]) -> str:
    """A line for each reason, the most frequent first."""
    ordered = sorted(drops.items(), key=lambda item: -item[1])
    return "\n".join(f"{count} {reason}" for reason, count in ordered) or "0"


def traffic_text(packets: int, size_bytes: int) -> str:
    """In one direction."""
    return f"{packets} packets, {bytes_text(size_bytes)}"


def _cells(one: CountersInfo, has_hosts: bool) -> list[str]:
    return [
        one.names[0] if one.names else one.port_id,
        *([one.host] if has_hosts else []),
        one.network,
        str(one.rx_packets),
        bytes_text(one.rx_bytes),
        str(one.tx_packets),
        bytes_text(one.tx_bytes),
        drops_text(one.drops),
    ]
