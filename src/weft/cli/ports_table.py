"""How ports are shown, wherever they are listed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from weft.api.schema import PortDetail, PortInfo, PublishedInfo
from weft.cli.counters_table import drops_text, traffic_text
from weft.cli.output import print_facts, print_table

_SHORT = 8


def print_ports(ports: Sequence[PortInfo]) -> None:
    """A table of ports."""
    length = enough_of([port.id for port in ports])
    print_table(
        ["ID", "NETWORK", "HOST", "ADDRESSES", "NAMES", "PUBLISHED", "STATE"],
        [
            [
                port.id[:length],
                port.network,
                port.host or "-",
                "\n".join(port.addresses) or "-",
                "\n".join(port.names) or "-",
                published(port),
                state(port),
            ]
            for port in ports
        ],
    )


def print_port(port: PortDetail) -> None:
    """All of one port; what only its own host knows comes last."""
    click.echo(f"port {port.names[0] if port.names else port.id} on {port.network}")
    print_facts(
        [
            ("id", port.id),
            ("workload", holder(port)),
            ("host", port.host or "-"),
            ("MAC", port.mac),
            ("addresses", "\n".join(port.addresses) or "-"),
            ("names", "\n".join(port.names) or "-"),
            ("published", published(port)),
            *((f"label {key}", value) for key, value in port.labels.items()),
            ("groups", ", ".join(port.groups) or "-"),
            *([("admits", "its host, whatever rules say")] if port.admits_host else ()),
            ("interface", port.device.peer_ifname if port.device else "-"),
            ("state", state(port)),
            *(("problem", problem) for problem in port.problems),
            *_counted(port),
        ]
    )


def _counted(port: PortDetail) -> list[tuple[str, str]]:
    if port.unanswered is not None:
        return [("counters", f"not known: {port.unanswered.reason}")]
    counters = port.counters
    if counters is None:
        return []
    return [
        ("received", traffic_text(counters.rx_packets, counters.rx_bytes)),
        ("sent", traffic_text(counters.tx_packets, counters.tx_bytes)),
        ("dropped", drops_text(counters.drops)),
    ]


def enough_of(ids: Sequence[str]) -> int:
    """How many characters tell all of them apart; at least the first group of a UUID."""
    length = _SHORT
    while len({id[:length] for id in ids}) < len(set(ids)):
        length += 1
    return length


def state(port: PortInfo) -> str:
    """One word for how a port is."""
    if port.problems:
        return "failed"
    if port.owner.frontend == "host":
        return "host"
    return "waiting" if port.device is None else "plugged"


def published(port: PortInfo) -> str:
    """Ports of the host that lead to it, a line each: ``[::1]:5000-5009->6000/udp``."""
    return "\n".join(map(_published, port.published)) or "-"


def _published(row: PublishedInfo) -> str:
    last = f"-{row.host_port + row.count - 1}" if row.count > 1 else ""
    leads_to = f"->{row.port}" if row.port != row.host_port else ""
    address = row.host_address or ""
    if address:
        address = f"[{address}]:" if ":" in address else f"{address}:"
    return f"{address}{row.host_port}{last}{leads_to}/{row.protocol}"


def holder(port: PortInfo) -> str:
    """What is behind a port, in the words of whoever attached it."""
    owner = port.owner
    if owner.frontend == "host":
        return "(the host)"
    if owner.container_name:
        return owner.container_name
    if owner.container_id:
        return owner.container_id[:12]
    if port.device is not None and port.device.netns:
        return _namespace(port.device.netns)
    return owner.reference or "-"


def _namespace(path: str) -> str:
    """A namespace as people call it: by its pid or its name under /run/netns."""
    if match := re.fullmatch(r"/proc/(\d+)/ns/net", path):
        return f"pid {match[1]}"
    return path.removeprefix("/run/netns/").removeprefix("/var/run/netns/")
