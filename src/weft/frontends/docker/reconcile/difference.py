"""How a network that Docker asks for differs from the cluster's network of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.choices import Multicasting
from weft.model.records import Network, Subnet


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a network is asked to be."""

    subnets: tuple[tuple[IPNetwork, IPAddress | None], ...]
    """With their gateways. Empty: any will do."""
    is_internal: bool
    mtu_bytes: int | None
    """None: any will do."""
    multicast: str | None = None
    """None: any will do."""
    judges_dns: bool | None = None
    admits_host: bool | None = None


def wanted_by(network: Network, subnets: Iterable[Subnet]) -> Wanted:
    """A network that is there, as if it were asked for."""
    return Wanted(
        subnets=tuple((subnet.cidr, subnet.gateway) for subnet in subnets),
        is_internal=network.is_internal,
        mtu_bytes=network.mtu_bytes,
        multicast=None if network.multicast is Multicasting.SNOOP else network.multicast,
        judges_dns=network.judges_dns or None,
        admits_host=network.admits_host or None,
    )


def difference(wanted: Wanted, network: Network, subnets: Sequence[Subnet]) -> str:
    """One sentence, with what to do; empty when there is none."""
    found = list(_differences(wanted, network, subnets))
    if not found:
        return ""
    theirs = ", ".join(theirs for theirs, _ in found)
    ours = ", ".join(ours for _, ours in found)
    return (
        f"network {network.name}: is in the cluster already, with {theirs} and not {ours}; "
        "ask for the same, or choose another name"
    )


def _differences(
    wanted: Wanted, network: Network, subnets: Sequence[Subnet]
) -> Iterator[tuple[str, str]]:
    have = {subnet.cidr: subnet.gateway for subnet in subnets}
    asked = [cidr for cidr, _ in wanted.subnets]
    if asked and not set(asked) <= set(have):
        yield f"subnet {_joined(have)}", f"subnet {_joined(asked)}"
    for cidr, gateway in wanted.subnets:
        if cidr in have and gateway is not None and have[cidr] not in (None, gateway):
            yield f"gateway {have[cidr]}", f"gateway {gateway}"
    if wanted.is_internal != network.is_internal:
        inside, outside = "no way out (--internal)", "a way out (no --internal)"
        yield (inside, outside) if network.is_internal else (outside, inside)
    if wanted.mtu_bytes is not None and wanted.mtu_bytes != network.mtu_bytes:
        yield f"MTU {network.mtu_bytes or 'of the underlay'}", f"MTU {wanted.mtu_bytes}"
    if wanted.multicast is not None and wanted.multicast != network.multicast:
        yield f"multicast={network.multicast}", f"multicast={wanted.multicast}"
    for name, asked_for, actual in (
        ("judge-dns", wanted.judges_dns, network.judges_dns),
        ("admit-host", wanted.admits_host, network.admits_host),
    ):
        if asked_for not in (None, actual):
            yield f"{name}={str(actual).lower()}", f"{name}={str(asked_for).lower()}"


def _joined(cidrs: Iterable[IPNetwork]) -> str:
    return " and ".join(map(str, cidrs)) or "none"
