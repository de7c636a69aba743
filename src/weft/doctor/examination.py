"""All checks, in the order in which one would mend what they find."""

from __future__ import annotations

from collections.abc import Iterator

from weft.doctor import (
    bpf,
    clock,
    connections,
    daemon,
    docker,
    encryption,
    firewall,
    kernel,
    mtu,
    overlay,
    resolver,
)
from weft.doctor.finding import Check, Finding, Subject
from weft.errors import WeftError

CHECKS: tuple[tuple[str, Check], ...] = (
    ("kernel", kernel.check),
    ("bpf", bpf.check),
    ("mtu", mtu.check),
    ("overlay", overlay.check),
    ("firewall", firewall.check),
    ("connections", connections.check),
    ("resolver", resolver.check),
    ("encryption", encryption.check),
    ("docker", docker.check),
    ("weftd", daemon.check),
    ("clock", clock.check),
)


def examine(subject: Subject) -> Iterator[Finding]:
    """Findings as they are made. What cannot be looked at is a warning, and the rest goes on."""
    for name, check in CHECKS:
        try:
            yield from check(subject)
        except (WeftError, OSError) as error:
            yield Finding(
                name=name,
                state="warning",
                detail=f"could not be looked at: {error}",
                fix="run weft doctor as root, in weftd's network namespace",
            )
