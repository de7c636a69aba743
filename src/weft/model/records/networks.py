"""Networks, their addresses, and who holds some of these without a port."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from weft.model.addresses import IPAddress, IPNetwork, check_ranges
from weft.model.choices import Advertising, Allocator, Direction, Multicasting, ReservationReason
from weft.model.ids import HostId, NetworkId, ReservationId, SubnetId, TenantId, Vni
from weft.model.multicast_groups import check_multicast_groups
from weft.model.records.base import Part, Record
from weft.model.records.tenants import DEFAULT_TENANT
from weft.model.reserved import why_reserved
from weft.model.values import MtuBytes, NetworkName, UnixSeconds, Words

MAX_RANGES = 1024
LEAST_PREFIX = {4: 8, 6: 16}
"""By family. A shorter prefix would take the hosts' own ways to each other."""


_LENGTHS = {4: (0, 8, 12, 16, 20, 24), 6: (0, 16, 32, 48, 56, 64)}
"""Of the blocks by which overlapping subnets are found: not many, and few subnets in one."""


class Network(Record, frozen=True, kw_only=True):
    """A logical switch: its ports share broadcast, and nothing enters or leaves but by rule."""

    KIND = "network"
    INDEXED = ("name", "vni", "tenant_id")
    id: NetworkId
    name: NetworkName
    vni: Vni
    tenant_id: TenantId = DEFAULT_TENANT
    is_internal: bool = False
    """True: no way to the outside of the host."""
    mtu_bytes: MtuBytes | None = None
    """None: what the underlay carries, less the encapsulation."""
    labels: tuple[tuple[Words, Words], ...] = ()
    multicast: Multicasting = Multicasting.SNOOP
    multicast_groups: tuple[IPAddress, ...] = ()
    """Multicast groups of which all its ports are members, whatever they report. Ascending."""
    denied: tuple[Direction, ...] | None = None
    """In these directions only those new flows are let through that a rule allows. None: as the
    tenant has it."""
    shared_with: tuple[TenantId, ...] = ()
    """Tenants that may connect it to their routers, beside its own. Ascending."""
    is_strict: bool = False
    """TCP that is in the middle of a connection nobody has seen begin is dropped."""
    is_tracked: bool = False
    """Connections of its ports are remembered even where no rule is asked about them."""
    judges_dns: bool = False
    """Queries of its ports to Weft's DNS need a rule as all else does."""
    admits_host: bool = False
    """What a host sends from its own place on the network (`weft expose`) to ports there gets in,
    whatever rules say: health checks."""

    def check(self) -> None:
        """See `Record.check`."""
        check_multicast_groups(self.multicast_groups)


class AddressRange(Part, frozen=True, kw_only=True):
    """All addresses from `first` to `last`, both included, of one family."""

    first: IPAddress
    last: IPAddress


class Subnet(Record, frozen=True, kw_only=True):
    """An address prefix on a network, or (network_id None) a pool that waits for its network."""

    KIND = "subnet"
    INDEXED = ("network_id", "place", "places")
    id: SubnetId
    cidr: IPNetwork
    network_id: NetworkId | None = None
    tenant_id: TenantId = DEFAULT_TENANT
    gateway: IPAddress | None = None
    """The same address and MAC on every host. None: the subnet has no way out."""
    ranges: Annotated[tuple[AddressRange, ...], Meta(max_length=MAX_RANGES)] = ()
    """Addresses are given only from these; empty: from all of the prefix."""
    excludes: Annotated[tuple[AddressRange, ...], Meta(max_length=MAX_RANGES)] = ()
    """Never given, unless asked for by name."""
    allocator: Allocator = Allocator.WEFT
    is_forced: bool = False
    """True: somebody accepted that it overlaps a route of the host."""
    is_latecomer: bool = False
    """True: when it was made, another tenant had the addresses already, and goes before it."""
    router_advertisements: Advertising = Advertising.ATTACHED
    """Of a subnet of IPv6."""

    def check(self) -> None:
        """See `Record.check`."""
        reason = why_reserved(self.cidr)
        if reason is not None:
            raise ValueError(f"{self.cidr} can be no subnet: {reason}")
        if self.cidr.prefixlen < LEAST_PREFIX[self.cidr.version]:
            least = LEAST_PREFIX[self.cidr.version]
            raise ValueError(f"subnet {self.cidr}: shorter than /{least}")
        if self.gateway is not None and self.gateway not in self.cidr:
            raise ValueError(f"subnet {self.cidr}: gateway {self.gateway} is outside")
        check_ranges((each.first, each.last) for each in (*self.ranges, *self.excludes))

    @property
    def places(self) -> tuple[str, ...]:
        """The blocks of fixed sizes that hold all of the prefix, largest first. What overlaps it
        has the smallest of these among its own, or its own smallest among these."""
        lengths = _LENGTHS[self.cidr.version]
        return tuple(
            str(self.cidr.supernet(new_prefix=length))
            for length in lengths
            if length <= self.cidr.prefixlen
        )

    @property
    def place(self) -> str:
        """The smallest of `places`."""
        return self.places[-1]


class Reservation(Record, frozen=True, kw_only=True):
    """An address of a subnet that may not be given: held by a frontend, or at rest after use."""

    KIND = "reservation"
    INDEXED = ("subnet_id",)
    id: ReservationId
    subnet_id: SubnetId
    host_id: HostId
    address: IPAddress
    reason: ReservationReason
    expires_s: UnixSeconds | None = None
    """Wall clock, Unix time. None: until released."""
