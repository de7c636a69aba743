"""The overlay's UDP port, which is Weft's alone: another VXLAN on it gets no packets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from weft.doctor.finding import Finding, Subject
from weft.engine.plumbing.device_names import WEFTX
from weft.kernel.links import find_link, vxlan_ports
from weft.kernel.netlink import Netlink

_SOCKETS = (Path("/proc/net/udp"), Path("/proc/net/udp6"))


def check(subject: Subject) -> Iterator[Finding]:
    """Whether something else is on the port."""
    port = subject.settings.overlay_port
    with Netlink() as netlink:
        own = find_link(netlink, WEFTX)
        others = [name for name, its in vxlan_ports(netlink).items() if its == port]
    others = sorted(name for name in others if name != WEFTX)
    if others:
        yield _warning(port, f"VXLAN device {', '.join(others)} uses it too")
    elif not (own is not None and own.is_up) and port in _ports_in_use():
        # A VXLAN device that was moved into a container's namespace keeps its socket here.
        yield _warning(port, "another program or VXLAN has it, as Docker Swarm's overlay would")
    else:
        yield Finding(name="overlay", state="ok", detail=f"UDP port {port} is Weft's alone")


def _warning(port: int, what: str) -> Finding:
    return Finding(
        name="overlay",
        state="warning",
        detail=f"UDP port {port}: {what}; both do not work, for Weft drops what no host of the "
        "cluster sent",
        fix="set overlay_port to a port that is free, the same on all hosts, or remove the other",
    )


def _ports_in_use() -> set[int]:
    """UDP ports of this network namespace's sockets, those of the kernel's own among them."""
    lines = [line for path in _SOCKETS if path.exists() for line in path.read_text().splitlines()]
    fields = (line.split() for line in lines if ":" in line)
    return {int(found[1].rpartition(":")[2], 16) for found in fields if found[0].endswith(":")}
