"""Networks, their subnets, and what is asked about them."""

from __future__ import annotations

from weft.api.schema.base import Answer
from weft.api.schema.names import NameInfo
from weft.api.schema.ports import PortInfo
from weft.control.specs import Spec
from weft.model.addresses import IPAddress
from weft.model.choices import Advertising, Allocator, Multicasting


class RangeInfo(Answer, frozen=True, kw_only=True):
    """All addresses from `first` to `last`, both included."""

    first: str
    last: str


class SubnetInfo(Answer, frozen=True, kw_only=True):
    """An address prefix on a network."""

    id: str
    cidr: str
    gateway: str | None
    ranges: tuple[RangeInfo, ...]
    """Addresses are given only from these; empty: from all of the prefix."""
    excludes: tuple[RangeInfo, ...]
    """Never given, unless asked for by name."""
    allocator: Allocator
    """Who hands out addresses."""
    is_forced: bool
    """Whether an overlap with a route of the host was accepted."""
    router_advertisements: Advertising
    """Which ports with an address in it get IPv6 router advertisements of it."""
    cut_off_by: str | None
    """The network of another tenant that has these addresses and keeps the way out, so that nothing
    leads out of this subnet but routers; null: none."""


class SubnetList(Answer, frozen=True, kw_only=True):
    """The subnets of a network, in the order of their prefixes."""

    subnets: tuple[SubnetInfo, ...]


class NetworkInfo(Answer, frozen=True, kw_only=True):
    """A network."""

    id: str
    name: str
    tenant: str
    """The tenant's name."""
    tenant_id: str
    vni: int
    is_internal: bool
    """Whether nothing leads from it to the outside of the host."""
    is_exposed: bool
    """Whether this host itself has a place on it (`weft expose`)."""
    mtu_bytes: int | None
    """null: what the underlay carries, less the encapsulation."""
    effective_mtu_bytes: int
    """The MTU that ports on this host get."""
    labels: dict[str, str]
    subnets: tuple[SubnetInfo, ...]
    port_count: int
    """Ports on this host, the host's own place not counted."""
    total_port_count: int = 0
    """Ports on all hosts, the hosts' own places not counted."""
    multicast: Multicasting = Multicasting.SNOOP
    """To whom multicast goes: those who have joined the group, or all."""
    shared_with: tuple[str, ...] = ()
    """Tenants that may connect it to their routers, beside its own."""
    denied: tuple[str, ...] | None = None
    """``ingress``, ``egress``: where only that is let through which a rule of a security group
    allows. null: as the tenant has it."""
    effective_denied: tuple[str, ...] = ()
    """The same, the tenant's counted."""
    is_strict: bool = False
    """Whether TCP in the middle of a connection that nobody has seen begin is dropped."""
    is_tracked: bool = False
    """Whether connections of its ports are remembered even where no rule is asked about them."""
    judges_dns: bool = False
    """Whether queries of its ports to Weft's DNS need a rule as all else does."""
    admits_host: bool = False
    """Whether what a host sends from its own place there gets in to its ports, whatever rules
    say."""


class NetworkList(Answer, frozen=True, kw_only=True):
    """All networks, by tenant and name."""

    networks: tuple[NetworkInfo, ...]


class NetworkDetail(NetworkInfo, frozen=True, kw_only=True):
    """A network with all that is on it."""

    ports: tuple[PortInfo, ...]
    names: tuple[NameInfo, ...]


class ExposeRequest(Spec, frozen=True, kw_only=True):
    """Give the host itself a place on a network."""

    addresses: tuple[IPAddress, ...] = ()
    """Families of the network that none is named for get one each."""
