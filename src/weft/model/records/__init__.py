"""Records: all state that Weft keeps, one frozen struct a kind.

A record says what somebody wants, never what the kernel happens to hold (no ifindex, no program
id). A host alone writes the records that it owns (those with a `host_id`); the rest are
last-writer-wins. Versions live beside the record in the store's `Entry`, for nothing that reads
records may depend on them.
"""

from __future__ import annotations

from weft.model.records.base import Part, Record
from weft.model.records.bindings import Binding
from weft.model.records.blocks import AddressBlocks, Block, BlockRequest
from weft.model.records.devices import Device, OtherDevice, Veth
from weft.model.records.hosts import (
    Cluster,
    ForgottenHost,
    Host,
    HostKeys,
    HostPrefixes,
    Neighbour,
    Neighbours,
)
from weft.model.records.leases import (
    Ballot,
    Lease,
    LeaseAck,
    LeaseDecision,
    LeaseMember,
    LeaseReturn,
    LeaseVote,
)
from weft.model.records.multicast import MulticastMembership, MulticastPlace
from weft.model.records.names import Name, ServiceTarget
from weft.model.records.networks import (
    AddressRange,
    Network,
    Reservation,
    Subnet,
)
from weft.model.records.ports import AllowedAddress, Owner, Place, Port, PublishedPort
from weft.model.records.routers import Router, RouterPort, RouterRoute
from weft.model.records.security import (
    Peer,
    Requirement,
    SecurityGroup,
    SecurityRule,
    Selector,
)
from weft.model.records.tenants import Quota, Tenant

__all__ = [
    "KINDS",
    "AddressBlocks",
    "AddressRange",
    "AllowedAddress",
    "Ballot",
    "Binding",
    "Block",
    "BlockRequest",
    "Cluster",
    "Device",
    "ForgottenHost",
    "Host",
    "HostKeys",
    "HostPrefixes",
    "Lease",
    "LeaseAck",
    "LeaseDecision",
    "LeaseMember",
    "LeaseReturn",
    "LeaseVote",
    "MulticastMembership",
    "MulticastPlace",
    "Name",
    "Neighbour",
    "Neighbours",
    "Network",
    "OtherDevice",
    "Owner",
    "Part",
    "Peer",
    "Place",
    "Port",
    "PublishedPort",
    "Quota",
    "Record",
    "Requirement",
    "Reservation",
    "Router",
    "RouterPort",
    "RouterRoute",
    "SecurityGroup",
    "SecurityRule",
    "Selector",
    "ServiceTarget",
    "Subnet",
    "Tenant",
    "Veth",
]

KINDS: tuple[type[Record], ...] = (
    Host,
    HostKeys,
    HostPrefixes,
    Neighbours,
    ForgottenHost,
    Cluster,
    Tenant,
    SecurityGroup,
    SecurityRule,
    Network,
    Subnet,
    Port,
    Router,
    RouterPort,
    RouterRoute,
    MulticastMembership,
    Name,
    Reservation,
    Binding,
    AddressBlocks,
    BlockRequest,
    Lease,
    LeaseVote,
    LeaseReturn,
)
"""Every kind, in the order in which they refer to each other."""
