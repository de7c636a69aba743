"""Routers: what lies between networks.

A router is connected to networks, and has routes to what lies beyond these. What follows from all
of that is `semantics/routing.py`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import (
    MacAddress,
    NetworkId,
    RouterId,
    RouterPortId,
    RouterRouteId,
    TenantId,
)
from weft.model.records.base import Record
from weft.model.records.tenants import DEFAULT_TENANT
from weft.model.values import NetworkName, Text, Words

MAX_NEXT_HOPS = 8
"""Of one route: what the packet path compares for a packet."""
MAX_ROUTER_ADDRESSES = 64
"""Of a router on one network: one in each subnet."""


class Router(Record, frozen=True, kw_only=True):
    """A router, which is on every host at once: whichever host a packet comes from routes it."""

    KIND = "router"
    INDEXED = ("name", "tenant_id")
    id: RouterId
    name: NetworkName
    tenant_id: TenantId = DEFAULT_TENANT
    description: Text = ""
    labels: tuple[tuple[Words, Words], ...] = ()
    """(key, value), ascending, each key once."""


class RouterPort(Record, frozen=True, kw_only=True):
    """A router's place on a network. It forwards to those subnets in which it has an address."""

    KIND = "router-port"
    INDEXED = ("router_id", "network_id", "addresses")
    id: RouterPortId
    router_id: RouterId
    network_id: NetworkId
    mac: MacAddress
    """Of all its addresses, but of those that are gateways: all gateways have one MAC."""
    addresses: Annotated[tuple[IPAddress, ...], Meta(max_length=MAX_ROUTER_ADDRESSES)] = ()
    """One in each subnet at most. One that is the gateway of its subnet makes the router the way
    out of that subnet."""

    def check(self) -> None:
        """See `Record.check`."""
        if len(set(self.addresses)) != len(self.addresses):
            raise ValueError("an address of a router is there twice")


class RouterRoute(Record, frozen=True, kw_only=True):
    """Where a router sends what is for a prefix that it is not connected to."""

    KIND = "router-route"
    INDEXED = ("router_id",)
    id: RouterRouteId
    router_id: RouterId
    prefix: IPNetwork
    source: IPNetwork | None = None
    """Only what comes from there (a policy route). None: from anywhere."""
    next_hops: Annotated[tuple[IPAddress, ...], Meta(max_length=MAX_NEXT_HOPS)] = ()
    """On networks of the router; of several, each flow takes one. Empty: it is dropped."""

    def check(self) -> None:
        """See `Record.check`."""
        version = self.prefix.version
        if self.source is not None and self.source.version != version:
            raise ValueError(f"route to {self.prefix} from {self.source}: two families")
        for hop in self.next_hops:
            if hop.version != version:
                raise ValueError(f"route to {self.prefix} via {hop}: two families")
        if len(set(self.next_hops)) != len(self.next_hops):
            raise ValueError(f"route to {self.prefix}: a next hop is there twice")
