"""The table of hosts, and what is wrong with them below it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import click

from weft.api.schema import AttemptInfo, HostInfo, HostList
from weft.cli.output import duration_text, print_table


def print_hosts(answer: HostList, now_s: float) -> None:
    """To standard output."""
    print_table(
        ["HOST", "STATE", "ADDRESS", "PATH", "RTT", "MTU", "CLOCK"],
        [_row(host, now_s) for host in answer.hosts],
        right=["RTT", "MTU", "CLOCK"],
    )
    if answer.is_removed:
        _tell(
            "this host",
            "was removed from its cluster; the others refuse it",
            "weft leave, then weft up --join ADDRESS --token TOKEN to join as a new one",
        )
    for host in answer.hosts:
        if host.reason:
            _tell(host.name, host.reason, host.fix)
    for (is_outgoing, reason, fix), addresses in _grouped(answer.attempts).items():
        way = "to" if is_outgoing else "from"
        _tell(f"{way} {', '.join(addresses)}", reason, fix)


def _grouped(attempts: Iterable[AttemptInfo]) -> Mapping[tuple[bool, str, str], list[str]]:
    """Addresses of what went wrong alike: a host has several."""
    found: dict[tuple[bool, str, str], list[str]] = defaultdict(list)
    for one in attempts:
        addresses = found[one.is_outgoing, one.reason, one.fix]
        if one.address not in addresses:
            addresses.append(one.address)
    return found


def _row(host: HostInfo, now_s: float) -> list[str]:
    is_local = host.state == "local"
    return [
        f"{host.name}\n{host.version or '-'}",
        "this host" if is_local else f"{host.state}\n{_since(host, now_s)}".rstrip(),
        "\n".join(host.underlay) if is_local else host.address or "-",
        "-" if is_local else _path(host),
        "-" if host.rtt_s is None else f"{host.rtt_s * 1000:.1f} ms",
        str(host.mtu_bytes if is_local else host.path_mtu_bytes or "-"),
        "-" if host.clock_offset_s is None else f"{host.clock_offset_s:+.1f} s",
    ]


def _since(host: HostInfo, now_s: float) -> str:
    return "" if host.since_s is None else duration_text(max(0.0, now_s - host.since_s))


def _path(host: HostInfo) -> str:
    path = f"by {host.relayed_by}" if host.path == "relayed" else host.path or "unknown"
    return path if host.encryption is None else f"{path}\n{host.encryption}"


def _tell(subject: str, reason: str, fix: str) -> None:
    click.echo(f"{subject}: {reason}")
    if fix:
        click.echo(f"  {fix}")
