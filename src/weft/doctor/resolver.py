"""Whether workloads' queries for names come to Weft."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address
from pathlib import Path

from weft.api.schema import NetworkInfo
from weft.dns.resolv_conf import (
    SYSTEMD_RESOLV_CONF,
    SYSTEMD_STUB,
    docker_servers,
    parse,
)
from weft.doctor.finding import Finding, Subject
from weft.model.addresses import IPAddress
from weft.model.service_addresses import DNS4, DNS6, DNS_PORT

_NAME = "resolver"
EXAMPLE = '{"dns": ["192.0.2.53"]}'


def check(subject: Subject) -> Iterator[Finding]:
    """The host's resolvers, and the sockets of weftd's DNS server."""
    networks = subject.daemon.networks if subject.daemon is not None else ()
    path = Path(subject.settings.resolv_conf)
    config = Path(subject.settings.docker_config) if subject.settings.docker else None
    yield _resolvers(path, networks, config)
    if subject.daemon is None:
        return
    broken = [problem for problem in subject.daemon.problems if problem.kind == "dns"]
    for problem in broken:
        yield Finding(
            name="dns server",
            state="failed",
            detail=f"{problem.name}: {problem.reason}",
            fix=f"stop what else listens there (ss -lnp | grep :{DNS_PORT}); Weft needs port "
            f"{DNS_PORT} of {DNS4} and {DNS6}",
        )
    if not broken:
        upstreams = ", ".join(subject.daemon.facts.resolvers) or "nobody"
        yield Finding(name="dns server", state="ok", detail=f"serves; asks {upstreams}")


def _resolvers(path: Path, networks: Sequence[NetworkInfo], docker: Path | None) -> Finding:
    try:
        listed = parse(path.read_text(errors="replace"))
    except OSError as error:
        return Finding(
            name=_NAME,
            state="warning",
            detail=f"{path}: {error.strerror}",
            fix="list a resolver there; names other than Weft's own are not answered",
        )
    if not listed:
        return Finding(
            name=_NAME,
            state="warning",
            detail=f"{path} lists none",
            fix="add a line nameserver ADDRESS; names other than Weft's own are not answered",
        )
    if docker is not None and not docker_servers(docker):
        for reason in _past_weft(_as_docker_reads(listed), networks):
            return _asked_from_the_host(reason, docker)
    return Finding(name=_NAME, state="ok", detail=", ".join(map(str, listed)))


def _as_docker_reads(listed: tuple[IPAddress, ...]) -> tuple[IPAddress, ...]:
    """Where only systemd-resolved's stub is listed, Docker takes the list behind it."""
    if listed != (SYSTEMD_STUB,):
        return listed
    try:
        return parse(SYSTEMD_RESOLV_CONF.read_text(errors="replace")) or listed
    except OSError:
        return listed


def _past_weft(listed: Sequence[IPAddress], networks: Sequence[NetworkInfo]) -> Iterator[str]:
    """Why Docker's resolver inside a container asks one of these from the host's own namespace, so
    that the query never passes the container's port (`TransformForIntNS` of libnetwork)."""
    loopback = [str(address) for address in listed if address.is_loopback]
    if loopback:
        yield f"{', '.join(loopback)} is on loopback: Docker asks it from the host itself"
    scoped = [str(each) for each in listed if isinstance(each, IPv6Address) and each.scope_id]
    if scoped:
        yield f"{', '.join(scoped)} is on one link of the host's: Docker asks it from there"
    # In their order, and the first one that answers counts, also when it says that there is no such
    # name.
    plain = [network.name for network in networks if not _has_ipv6(network)]
    if listed[0].version == 6 and plain:
        yield (
            f"{listed[0]} is IPv6, and network {', '.join(plain[:3])} is not: Docker (26 and later)"
            " asks it from the host itself, and earlier ones do not ask it"
        )


def _has_ipv6(network: NetworkInfo) -> bool:
    return any(":" in subnet.cidr for subnet in network.subnets)


def _asked_from_the_host(reason: str, docker: Path) -> Finding:
    return Finding(
        name=_NAME,
        state="warning",
        detail=f"{reason}, so Weft does not see these queries, and containers do not resolve"
        " Weft's names through it",
        fix=f"name an IPv4 resolver in {docker}, as {EXAMPLE}, and restart dockerd and the"
        " containers: it is asked from inside them then, and Weft answers on its networks",
    )
