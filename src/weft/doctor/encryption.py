"""Encryption between hosts: whose WireGuard this host would use."""

from __future__ import annotations

from collections.abc import Iterator

from weft.doctor.finding import Finding, Subject
from weft.kernel.wireguard import device


def check(subject: Subject) -> Iterator[Finding]:
    """The kernel's, wireguard-go, or none."""
    match device.kind_here():
        case "kernel":
            yield Finding(name="encryption", state="ok", detail="the kernel has WireGuard")
        case "wireguard-go":
            yield Finding(name="encryption", state="ok", detail="by wireguard-go")
        case _:
            yield Finding(
                name="encryption",
                state="warning",
                detail="no WireGuard: traffic between hosts cannot be encrypted",
                fix="apt install wireguard-go, if you want that; then weft down and weft up",
            )
