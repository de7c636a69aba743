"""`host_routes` and `own_routes`: Weft's routes through weft0."""

from __future__ import annotations

import errno
from collections.abc import Hashable, Iterable, Mapping

from weft.engine.plumbing.device_names import WEFT0
from weft.engine.plumbing.devices import Devices
from weft.engine.plumbing.drivers.requests import is_moot, run
from weft.engine.plumbing.tables.host_routes import HOST_ROUTES, HostRouteValue
from weft.engine.rows import RowFailure
from weft.engine.table import Table
from weft.kernel.netlink import Request
from weft.kernel.routes import MAIN, PROTOCOL, add_route, delete_route, routes
from weft.model.addresses import IPNetwork


class HostRouteDriver:
    """`host_routes`, in the main table, or `own_routes` in Weft's own. Only routes with Weft's mark
    are Weft's; others on weft0 stay."""

    def __init__(
        self,
        devices: Devices,
        table: Table[IPNetwork, HostRouteValue] = HOST_ROUTES,
        routing_table: int = MAIN,
    ) -> None:
        self.name = table.name
        self._devices = devices
        self._netlink = devices.netlink
        self._routing_table = routing_table
        self.mtu_bytes = 0
        """What fits into the networks; on every route."""

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. A route with another MTU reads back as words."""
        found: dict[Hashable, Hashable] = {key: desired[key] for key in desired if is_moot(key)}
        link = self._devices.find(WEFT0)
        known = routes(self._netlink, table=self._routing_table) if link is not None else []
        for route in known:
            if route.protocol != PROTOCOL or link is None or route.ifindex != link.ifindex:
                continue
            value: Hashable = HostRouteValue(route.source)
            if route.mtu_bytes != self.mtu_bytes:
                value = f"mtu {route.mtu_bytes}"
            found[route.prefix] = value
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        ifindex, table = self._devices.ifindex(WEFT0), self._routing_table
        requests: list[tuple[Hashable, Request]] = []
        for prefix in deletes:
            assert isinstance(prefix, IPNetwork)
            requests.append((prefix, delete_route(prefix, ifindex, table)))
        for prefix, value in upserts.items():
            assert isinstance(prefix, IPNetwork) and isinstance(value, HostRouteValue)
            add = add_route(
                prefix, ifindex, source=value.source, mtu_bytes=self.mtu_bytes, table=table
            )
            requests.append((prefix, add))
        return run(self._netlink, self.name, requests, errno.ESRCH)
