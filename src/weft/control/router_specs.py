"""Requests about routers; see `control.specs`."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from weft.control.specs import Labels, NetworkName, Spec, TenantName
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.records.routers import MAX_NEXT_HOPS, MAX_ROUTER_ADDRESSES
from weft.model.values import Text


class ConnectionSpec(Spec, frozen=True, kw_only=True):
    """A network to connect a router to."""

    network: str
    """Name in the router's tenant, ``tenant/name``, id, or the unambiguous beginning of an id. One
    of another tenant must be shared with the router's."""
    addresses: (
        Annotated[tuple[IPAddress, ...], Meta(max_length=MAX_ROUTER_ADDRESSES)] | UnsetType
    ) = UNSET
    """The router's, one in each subnet that it shall lead to. Left out: the gateways of its
    subnets, so that the router is the way out of them."""


class RouteSpec(Spec, frozen=True, kw_only=True):
    """A route to what a router is not connected to."""

    prefix: IPNetwork
    via: Annotated[tuple[IPAddress, ...], Meta(max_length=MAX_NEXT_HOPS)] = ()
    """Next hops, on networks of the router; of several, each flow takes one. Empty: what is for the
    prefix is dropped."""
    source: IPNetwork | None = None
    """Only for what comes from there; such a route goes before all others. null: from anywhere."""


class RouterSpec(Spec, frozen=True, kw_only=True):
    """A router to make."""

    name: NetworkName
    tenant: TenantName = "default"
    """Its tenant, by name. One that is not there is made."""
    networks: tuple[ConnectionSpec, ...] = ()
    routes: tuple[RouteSpec, ...] = ()
    description: Text = ""
    labels: Labels = ()


class RouterChanges(Spec, frozen=True, kw_only=True):
    """What shall be another way of a router; what is left out stays as it is."""

    name: NetworkName | UnsetType = UNSET
    networks: tuple[ConnectionSpec, ...] | UnsetType = UNSET
    """All that it shall be connected to."""
    routes: tuple[RouteSpec, ...] | UnsetType = UNSET
    """All that it shall have."""
    description: Text | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    """All that it shall have."""
