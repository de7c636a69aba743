"""The underlay and what fits through it."""

from __future__ import annotations

from collections.abc import Iterator

from weft.doctor.finding import Finding, Subject
from weft.errors import WeftError
from weft.kernel import underlay
from weft.semantics.overhead import network_mtu_bytes

IPV6_MIN_MTU_BYTES = 1280
"""RFC 8200, section 5."""


def check(subject: Subject) -> Iterator[Finding]:
    """The device towards other hosts, and the networks' MTU."""
    settings = subject.settings
    try:
        found = underlay.find(settings.underlay_device, settings.underlay_address)
    except WeftError as error:
        yield Finding(
            name="underlay",
            state="failed",
            detail=str(error),
            fix="name a device of this host with --underlay-device, or its address",
        )
        return
    held = ", ".join(str(address) for address in found.addresses)
    yield Finding(
        name="underlay",
        state="ok" if held else "warning",
        detail=f"{found.ifname}, MTU {found.mtu_bytes}, {held or 'no address'}",
        fix="" if held else f"give {found.ifname} an address; other hosts cannot reach this one",
    )
    yield _mtu(settings.mtu_bytes, network_mtu_bytes(found.mtu_bytes, found.addresses))


def _mtu(wanted: int, fitting: int) -> Finding:
    name = "mtu"
    mtu = wanted or fitting
    if wanted > fitting:
        return Finding(
            name=name,
            state="warning",
            detail=f"networks have {wanted}, but only {fitting} fits into the underlay",
            fix=f"set mtu_bytes to 0 or at most {fitting}, or raise the underlay's MTU by"
            f" {wanted - fitting}",
        )
    if mtu < IPV6_MIN_MTU_BYTES:
        return Finding(
            name=name,
            state="warning",
            detail=f"networks have {mtu}; IPv6 needs {IPV6_MIN_MTU_BYTES}",
            fix=f"raise the underlay's MTU by {IPV6_MIN_MTU_BYTES - mtu}",
        )
    return Finding(name=name, state="ok", detail=f"networks have {mtu}")
