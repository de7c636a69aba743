"""Requests of frontends to control: one struct a request, checked by its types at the edge.

Where null says something, a field that is left out says something else: it is `UNSET`. A pattern in
a struct's description is what control accepts (`control.references`), which says why where a value
does not fit; the decoder does not look at it.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import MacAddress
from weft.model.records import (
    AddressRange,
    AllowedAddress,
    Device,
    Owner,
    PublishedPort,
)
from weft.model.values import Count, Words

MulticastWord = Literal["snoop", "flood"]
"""As users say it; see `model.choices.Multicasting`."""
AdvertisingWord = Literal["attached", "all", "off"]
"""As users say it; see `model.choices.Advertising`."""
Advertised: TypeAlias = dict[str, AdvertisingWord]
DirectionWord = Literal["ingress", "egress"]
"""Of traffic, as the workload sees it."""
NETWORK_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
TENANT_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
DNS_NAME = rf"^(?=.{{1,200}}\.*$){_LABEL}(\.{_LABEL})*\.*$"
"""In any case; dots at the end are passed over."""
NetworkName: TypeAlias = Annotated[str, Meta(extra_json_schema={"pattern": NETWORK_NAME})]
TenantName: TypeAlias = Annotated[str, Meta(extra_json_schema={"pattern": TENANT_NAME})]
DnsName: TypeAlias = Annotated[str, Meta(extra_json_schema={"pattern": DNS_NAME})]
LabelKey: TypeAlias = Annotated[Words, Meta(min_length=1)]
Labels: TypeAlias = dict[LabelKey, Words] | tuple[tuple[LabelKey, Words], ...]
"""An object, or a list of [key, value]."""
MIN_MTU_BYTES = 576
"""RFC 791; with an IPv6 subnet 1280 (RFC 8200)."""
MAX_MTU_BYTES = 65_535
Mtu: TypeAlias = Annotated[int, Meta(ge=MIN_MTU_BYTES, le=MAX_MTU_BYTES)]


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: an unknown field is an error that names it."""


class QuotaSpec(Spec, frozen=True, kw_only=True):
    """How much a tenant may have, on all hosts together. null: any number. What is left out stays
    as it is, and is any number of a new tenant."""

    networks: Count | UnsetType | None = UNSET
    ports: Count | UnsetType | None = UNSET
    """But for the hosts' own places."""
    addresses: Count | UnsetType | None = UNSET
    """Of these ports."""
    rules: Count | UnsetType | None = UNSET
    """Of its security groups."""


class TenantSpec(Spec, frozen=True, kw_only=True):
    """A tenant to make."""

    name: TenantName
    labels: Labels = ()
    quota: QuotaSpec = QuotaSpec()
    denied: tuple[DirectionWord, ...] = ()
    """In these directions its ports get, or send, only what a rule of a security group allows."""


class TenantChanges(Spec, frozen=True, kw_only=True):
    """What shall be another way of a tenant; what is left out stays as it is."""

    name: TenantName | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    """All that it shall have."""
    quota: QuotaSpec | UnsetType = UNSET
    denied: tuple[DirectionWord, ...] | UnsetType = UNSET


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

    name: NetworkName
    tenant: TenantName = "default"
    """Its tenant, by name. One that is not there is made."""
    subnets: tuple[SubnetSpec, ...] = ()
    """Empty: one IPv4 subnet from the pool (and one IPv6 with `is_ipv6`)."""
    is_ipv6: bool = False
    """Add an IPv6 subnet from the pool when `subnets` names none."""
    is_internal: bool = False
    """No way to the outside of the host."""
    mtu_bytes: Mtu | None = None
    """null: what the underlay carries, less the encapsulation."""
    is_forced: bool = False
    """Accept an overlap with a route of the host."""
    labels: Labels = ()
    multicast: MulticastWord = "snoop"
    """Which ports get multicast: ``snoop``, those that have joined the group; ``flood``, all."""
    multicast_groups: tuple[IPAddress, ...] = ()
    """Multicast groups of which all its ports are members, whatever they report."""
    shared_with: tuple[TenantName, ...] = ()
    """Tenants that may connect it to their routers, beside its own."""
    denied: tuple[DirectionWord, ...] | None = None
    """In these directions its ports get, or send, only what a rule of a security group allows.
    null: as its tenant has it."""
    is_strict: bool = False
    """TCP that is in the middle of a connection nobody has seen begin is dropped."""
    is_tracked: bool = False
    """Connections of its ports are remembered even where no rule is asked about them."""
    judges_dns: bool = False
    """Queries of its ports to Weft's DNS need a rule of a security group as all else does."""
    admits_host: bool = False
    """What a host sends from its own place there gets in to its ports, whatever rules say."""
    router_advertisements: Advertised = {}
    """By IPv6 subnet, which ports get router advertisements of it: ``attached``, those of ``weft
    attach``, as where nothing is said; ``all``; ``off``."""


class NetworkChanges(Spec, frozen=True, kw_only=True):
    """What shall be another way of a network; what is left out stays as it is."""

    name: NetworkName | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    """All that it shall have."""
    multicast: MulticastWord | UnsetType = UNSET
    """To whom multicast goes: ``snoop``, to those who have joined the group; ``flood``, to all."""
    multicast_groups: tuple[IPAddress, ...] | UnsetType = UNSET
    """Multicast groups of which all its ports are members, whatever they report."""
    shared_with: tuple[TenantName, ...] | UnsetType = UNSET
    """All tenants that may connect it to their routers, beside its own."""
    denied: tuple[DirectionWord, ...] | UnsetType | None = UNSET
    """null: as its tenant has it."""
    is_strict: bool | UnsetType = UNSET
    """TCP that is in the middle of a connection nobody has seen begin is dropped."""
    is_tracked: bool | UnsetType = UNSET
    """Connections of its ports are remembered even where no rule is asked about them."""
    judges_dns: bool | UnsetType = UNSET
    """Queries of its ports to Weft's DNS need a rule of a security group as all else does."""
    admits_host: bool | UnsetType = UNSET
    """What a host sends from its own place there gets in to its ports, whatever rules say."""
    router_advertisements: Advertised | UnsetType = UNSET
    """By IPv6 subnet, which ports get router advertisements of it; those that are not named:
    ``attached``."""


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
    labels: tuple[tuple[Words, Words], ...] = ()
    groups: tuple[str, ...] = ()
    """Security groups of the network's tenant."""
    allowed: tuple[AllowedAddress, ...] = ()
    is_spoof_checked: bool = True
    admits_host: bool = False
    is_static: bool = False
    """It is on no host until something is plugged into it."""
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
    labels: tuple[tuple[Words, Words], ...] = ()
    groups: tuple[str, ...] = ()
    """Security groups of the network's tenant."""
    ifname: str | None = None
    """None: the first free of eth0, eth1, …"""
    allowed: tuple[AllowedAddress, ...] = ()
    is_spoof_checked: bool = True
    admits_host: bool = False
    """What its host sends from its own place on the network gets in, whatever rules say."""
    is_default_route: bool = True


class StaticPortSpec(Spec, frozen=True, kw_only=True):
    """A port that is there before its workload, with its name, addresses and groups. ``weft
    attach`` plugs into it what is called so."""

    name: DnsName
    network: str
    """Name, ``tenant/name``, id, or the unambiguous beginning of an id."""
    addresses: tuple[IPAddress, ...] = ()
    """Families of the network that none is named for get one each."""
    mac: MacAddress | None = None
    labels: Labels = ()
    groups: tuple[str, ...] = ()
    """Security groups of the network's tenant."""
    admits_host: bool = False
    """What its host sends from its own place on the network gets in, whatever rules say."""


class PortChanges(Spec, frozen=True, kw_only=True):
    """What shall be another way of a port; what is left out stays as it is."""

    labels: Labels | UnsetType = UNSET
    """All that it shall have."""
    groups: tuple[str, ...] | UnsetType = UNSET
    """All security groups that it shall name; of others it is a member by its labels."""
    admits_host: bool | UnsetType = UNSET
    """What its host sends from its own place on the network gets in, whatever rules say."""


class NameSpec(Spec, frozen=True, kw_only=True):
    """A DNS name to add to a network."""

    name: DnsName
    network: str
    """Name, ``tenant/name``, id, or the unambiguous beginning of an id."""
    addresses: tuple[IPAddress, ...] = ()
    services: tuple[str, ...] = ()
    """``PRIORITY WEIGHT PORT TARGET`` each."""
    labels: Labels = ()


class NameChanges(Spec, frozen=True, kw_only=True):
    """What shall be another way of a name; what is left out stays as it is."""

    addresses: tuple[IPAddress, ...] | UnsetType = UNSET
    """All that it shall have."""
    services: tuple[str, ...] | UnsetType = UNSET
    """All that it shall have: ``PRIORITY WEIGHT PORT TARGET`` each."""
    labels: Labels | UnsetType = UNSET
    """All that it shall have."""
