"""Where other hosts are: by their records, and by what this host was told to join."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from weft.cluster.interface import Endpoint, Target
from weft.model.records import Host


def endpoints_of(host: Host) -> tuple[Endpoint, ...]:
    """Of its underlay, the address to use first before the others."""
    return tuple(Endpoint(str(address), host.mesh_port) for address in host.underlay)


def targets_of(hosts: Iterable[Host]) -> list[Target]:
    """Where these hosts say that they are; one that says nothing is left out."""
    return [
        Target(endpoints=endpoints, host_id=host.id)
        for host in hosts
        if (endpoints := endpoints_of(host))
    ]


def strangers(join: Sequence[Endpoint], known: Collection[Endpoint]) -> list[Target]:
    """What was told and belongs to nobody known, each by itself."""
    return [Target(endpoints=(one,)) for one in join if one not in known]
