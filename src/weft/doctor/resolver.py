"""Whether workloads' queries for names come to Weft."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from weft.dns.resolv_conf import parse
from weft.doctor.finding import Finding, Subject
from weft.model.addresses import IPAddress
from weft.model.service_addresses import DNS4, DNS6, DNS_PORT

EXAMPLE = '{"dns": ["192.0.2.53"]}'


def check(subject: Subject) -> Iterator[Finding]:
    """The host's resolvers, and the sockets of weftd's DNS server."""
    yield _resolvers(Path(subject.settings.resolv_conf), subject.settings.docker)
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


def _resolvers(path: Path, has_docker: bool) -> Finding:
    name = "resolver"
    try:
        listed = parse(path.read_text(errors="replace"))
    except OSError as error:
        return Finding(
            name=name,
            state="warning",
            detail=f"{path}: {error.strerror}",
            fix="list a resolver there; names other than Weft's own are not answered",
        )
    loopback = [address for address in listed if address.is_loopback]
    if not listed:
        return Finding(
            name=name,
            state="warning",
            detail=f"{path} lists none",
            fix="add a line nameserver ADDRESS; names other than Weft's own are not answered",
        )
    if loopback and has_docker:
        return _loopback(loopback)
    return Finding(name=name, state="ok", detail=", ".join(map(str, listed)))


def _loopback(loopback: list[IPAddress]) -> Finding:
    """Docker's resolver inside a container asks a loopback one from the host's own namespace, so
    the query never passes the container's port."""
    return Finding(
        name="resolver",
        state="warning",
        detail=f"{', '.join(map(str, loopback))} is on loopback: Docker asks it from the host"
        " itself, so Weft does not see these queries, and containers do not resolve Weft's names"
        " through it",
        fix=f"give Docker another: {EXAMPLE} in /etc/docker/daemon.json (any address that is not"
        " loopback will do, Weft answers), then restart dockerd",
    )
