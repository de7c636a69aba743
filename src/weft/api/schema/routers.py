"""Routers, and what is asked about them."""

from __future__ import annotations

from weft.api.schema.base import Answer
from weft.control.specs import Spec
from weft.model.addresses import IPNetwork


class ConnectionInfo(Answer, frozen=True, kw_only=True):
    """A network that a router is connected to."""

    network: str
    """As commands name it: ``acme/web``."""
    network_id: str
    addresses: tuple[str, ...]
    """The router's."""
    mac: str
    """Of those that are not the gateway of their subnet."""
    is_shared: bool
    """False: it is another tenant's and not shared with the router's (any more), so nothing is
    routed to it."""


class RouteInfo(Answer, frozen=True, kw_only=True):
    """A route."""

    prefix: str
    source: str | None
    """Only for what comes from there; null: from anywhere."""
    via: tuple[str, ...]
    """Next hops; empty: what is for the prefix is dropped."""
    missing: tuple[str, ...]
    """Those of them that are not there now: no port or router has the address."""


class RouterInfo(Answer, frozen=True, kw_only=True):
    """A router."""

    id: str
    name: str
    tenant: str
    """The tenant's name."""
    tenant_id: str
    description: str
    labels: dict[str, str]
    networks: tuple[ConnectionInfo, ...]
    routes: tuple[RouteInfo, ...]
    """Those for sources first."""


class RouterList(Answer, frozen=True, kw_only=True):
    """All routers, by tenant and name."""

    routers: tuple[RouterInfo, ...]


class RouteQuery(Spec, frozen=True, kw_only=True):
    """Says which route of a router."""

    prefix: IPNetwork
    source: IPNetwork | None = None
