"""The route table: everything that the API serves under ``/v1``."""

from __future__ import annotations

from weft.api import (
    conflicts,
    counters,
    encryption,
    hosts,
    ipam,
    multicast,
    names,
    networks,
    ports,
    status,
    watching,
)
from weft.api.route import AnyRoute

ROUTES: tuple[AnyRoute, ...] = (
    *status.ROUTES,
    *counters.ROUTES,
    *hosts.ROUTES,
    *ipam.ROUTES,
    *networks.ROUTES,
    *ports.ROUTES,
    *names.ROUTES,
    *multicast.ROUTES,
    *encryption.ROUTES,
    *conflicts.ROUTES,
    *watching.ROUTES,
)
