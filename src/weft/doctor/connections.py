"""The kernel's table of connections. All that the host translates or filters shares it: outside
traffic of workloads, published ports, links of the mesh, the host's own. Traffic on a network and
questions for Weft's names take no part.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.doctor.finding import Finding, Subject
from weft.kernel import conntrack
from weft.kernel.sysctl import read

_CROWDED = 0.8
_SHOWN = 3


def check(subject: Subject) -> Iterator[Finding]:
    """Whether there is room in it, and who takes most when there is little."""
    count = int(read("net/netfilter/nf_conntrack_count") or 0)
    limit = int(read("net/netfilter/nf_conntrack_max") or 0)
    yield judge(count, limit, _busiest() if _is_crowded(count, limit) else [])


def judge(count: int, limit: int, busiest: list[tuple[str, int]]) -> Finding:
    """What to say of a table with that many entries; `busiest`: sources, with the most first."""
    if not _is_crowded(count, limit):
        detail = f"{count} of {limit or 'any number'}"
        return Finding(name="connections", state="ok", detail=detail)
    most = ", ".join(f"{source} {its}" for source, its in busiest)
    return Finding(
        name="connections",
        state="warning",
        detail=f"{count} of {limit} in the kernel's table; when it is full, new connections of "
        f"this host, of published ports and to the outside may fail. Most are from {most}",
        fix="stop what opens so many (weft ps shows addresses), or raise the sysctl "
        "net.netfilter.nf_conntrack_max",
    )


def _is_crowded(count: int, limit: int) -> bool:
    """A limit of 0 is none, in the kernel, too."""
    return bool(limit) and count >= _CROWDED * limit


def _busiest() -> list[tuple[str, int]]:
    with conntrack.open_netlink() as netlink:
        found = conntrack.flows_by_source(netlink)
    return [(str(source), its) for source, its in found.most_common(_SHOWN)]
