"""Requests of frontends to control: one struct a request, checked by its types at the edge.

Where null says something, a field that is left out says something else: it is `UNSET`.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import MacAddress
from weft.model.records import (
    AddressRange,
    AllowedAddress,
    Device,
    Owner,
    PublishedPort,
)

MulticastWord = Literal["snoop", "flood"]
"""As users say it; see `model.choices.Multicasting`."""


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: an unknown field is an error that names it."""


class SubnetSpec(Spec, frozen=True, kw_only=True):
    """A subnet to make. `cidr` None: the next free one of the pool that the settings name."""

    cidr: IPNetwork | None = None
    gateway: IPAddress | UnsetType | None = UNSET
    """None: there is none. Left out: the first usable address."""
    ranges: tuple[AddressRange, ...] = ()
    excludes: tuple[AddressRange, ...] = ()
    allocator: Literal["weft", "docker"] = "weft"
    """Which IPAM hands out addresses, see `Subnet.allocator`."""


class NetworkSpec(Spec, frozen=True, kw_only=True):
    """A network to make."""

    name: str
    tenant: str = "default"
    subnets: tuple[SubnetSpec, ...] = ()
    """Empty: one IPv4 subnet from the pool (and one IPv6 with `is_ipv6`)."""
    is_ipv6: bool = False
    """Add an IPv6 subnet from the pool when `subnets` names none."""
    is_internal: bool = False
    mtu_bytes: int | None = None
    is_forced: bool = False
    """Accept an overlap with a route of the host."""
    labels: tuple[tuple[str, str], ...] = ()
    multicast: MulticastWord = "snoop"
    """Which ports get multicast: ``snoop``, those that have joined the group; ``flood``, all."""


class PortSpec(Spec, frozen=True, kw_only=True):
    """A port to make on this host."""

    network: str
    """Name, ``tenant/name``, id, or the unambiguous beginning of an id."""
    addresses: tuple[IPAddress, ...] = ()
    """Wanted addresses. Families of the network that none is named for get one each, unless
    `is_exact`."""
    is_exact: bool = False
    mac: MacAddress | None = None
    names: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    allowed: tuple[AllowedAddress, ...] = ()
    is_spoof_checked: bool = True
    device: Device | None = None
    owner: Owner
    published: tuple[PublishedPort, ...] = ()


class AttachSpec(Spec, frozen=True, kw_only=True):
    """Plug something that runs into a network."""

    target: str
    """A container's name or id, a pid, or the path of a network namespace."""
    network: str
    addresses: tuple[IPAddress, ...] | UnsetType = UNSET
    """Families of the network that none is named for get one each; but an empty list is no address
    at all."""
    mac: MacAddress | None = None
    names: tuple[str, ...] = ()
    """Empty: the container's name, if it is one."""
    labels: tuple[tuple[str, str], ...] = ()
    ifname: str | None = None
    """None: the first free of eth0, eth1, …"""
    allowed: tuple[AllowedAddress, ...] = ()
    is_spoof_checked: bool = True
    is_default_route: bool = True


class NameSpec(Spec, frozen=True, kw_only=True):
    """A DNS name to add to a network."""

    name: str
    network: str
    addresses: tuple[IPAddress, ...] = ()
    services: tuple[str, ...] = ()
    """``PRIORITY WEIGHT PORT TARGET`` each."""
