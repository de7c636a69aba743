"""Kernel features, by trying each of them."""

from __future__ import annotations

from collections.abc import Iterator

from weft.doctor.finding import Finding, Subject
from weft.kernel import probes


def check(subject: Subject) -> Iterator[Finding]:
    """Every probe of `weft.kernel.probes`."""
    for result in probes.run():
        name = f"kernel: {result.name}"
        if result.is_ok:
            yield Finding(name=name, state="ok")
        else:
            yield Finding(
                name=name,
                state="failed" if result.is_needed else "warning",
                detail=result.reason,
                fix=result.consequence,
            )
