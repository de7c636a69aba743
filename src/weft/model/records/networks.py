"""Networks, their addresses, and who holds some of these without a port."""

from __future__ import annotations

from typing import Literal

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import HostId, NetworkId, ReservationId, SubnetId, Vni
from weft.model.records.base import Part, Record

Multicasting = Literal["snoop", "flood"]
"""To whom multicast goes: those who have joined the group, or all."""


class Network(Record, frozen=True, kw_only=True):
    """A logical switch: its ports share broadcast, and nothing enters or leaves but by rule."""

    KIND = "network"
    id: NetworkId
    name: str
    vni: Vni
    tenant: str = "default"
    is_internal: bool = False
    """True: no way to the outside of the host."""
    mtu_bytes: int | None = None
    """None: what the underlay carries, less the encapsulation."""
    labels: tuple[tuple[str, str], ...] = ()
    multicast: Multicasting = "snoop"
    groups: tuple[IPAddress, ...] = ()
    """Multicast groups of which all its ports are members, whatever they report. Ascending."""


class AddressRange(Part, frozen=True, kw_only=True):
    """All addresses from `first` to `last`, both included, of one family."""

    first: IPAddress
    last: IPAddress


class Subnet(Record, frozen=True, kw_only=True):
    """An address prefix on a network, or (network_id None) a pool that waits for its network."""

    KIND = "subnet"
    id: SubnetId
    cidr: IPNetwork
    network_id: NetworkId | None = None
    tenant: str = "default"
    gateway: IPAddress | None = None
    """The same address and MAC on every host. None: the subnet has no way out."""
    ranges: tuple[AddressRange, ...] = ()
    """Addresses are given only from these; empty: from all of the prefix."""
    excludes: tuple[AddressRange, ...] = ()
    """Never given, unless asked for by name."""
    allocator: Literal["weft", "docker"] = "weft"
    """Who hands out addresses. Docker counts up from the start of the prefix, so in a subnet of
    Docker's Weft gives from the end."""
    is_forced: bool = False
    """True: somebody accepted that it overlaps a route of the host."""


class Reservation(Record, frozen=True, kw_only=True):
    """An address of a subnet that may not be given: held by a frontend, or at rest after use."""

    KIND = "reservation"
    id: ReservationId
    subnet_id: SubnetId
    host_id: HostId
    address: IPAddress
    reason: Literal["gateway", "docker", "rest"]
    expires_s: float | None = None
    """Wall clock, Unix time. None: until released."""


class DockerNetwork(Record, frozen=True, kw_only=True):
    """Says which Weft network a network of this host's Docker engine is."""

    KIND = "docker-network"
    id: str
    """Docker's network id, 64 hexadecimal digits."""
    network_id: NetworkId
    host_id: HostId
    name: str = ""
    """Docker's name for it, learnt from its event stream; empty until then."""
    engine: str = ""
    """Tells the engine that had it from one that was set up anew; empty: not known."""
    is_name_awaited: bool = False
    """It was taken for this Weft network by its subnets alone; its name will tell."""
    contradiction: str = ""
    """Why nothing may be put on it: its name is that of another network, from which it differs."""
