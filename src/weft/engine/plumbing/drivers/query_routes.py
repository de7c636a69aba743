"""`query_routes`: ways to the resolvers that a workload has on an internal network.

They are for queries alone, which are all that an internal network lets through. A container that is
on another network as well reaches the machine that is its resolver by that one, as all else
outside. Docker knows no such routes, so it is given plain ones when a container joins, and they are
moved once it has set the container up.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

from weft.engine.plumbing.devices import Devices
from weft.engine.plumbing.tables.query_routes import QUERY_ROUTES, QueryRouteValue
from weft.engine.rows import RowFailure, RowKey
from weft.errors import KernelError, NotFoundError
from weft.kernel import netns
from weft.kernel.links import links
from weft.kernel.query_routes import route_queries


class QueryRouteDriver:
    """See `engine.rows.Driver`. What was written for a device is remembered, not read back: routes
    live as long as it does, and what a workload does with those inside is its own affair."""

    name = QUERY_ROUTES.name

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._written: dict[Hashable, tuple[int, Hashable]] = {}
        """With the ifindex of the host's end: another one is another device."""

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`."""
        return {
            key: value
            for key, (ifindex, value) in self._written.items()
            if ifindex == self._ifindex(key)
        }

    def _ifindex(self, key: Hashable) -> int:
        link = self._devices.find(str(key))
        return link.ifindex if link is not None else 0

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        for key in deletes:
            self._written.pop(key, None)
        failures: list[RowFailure] = []
        for key, value in upserts.items():
            assert isinstance(value, QueryRouteValue)
            try:
                if _settle(value):
                    self._written[key] = (self._ifindex(key), value)
            except NotFoundError:
                continue  # the workload ended; its port will go
            except KernelError as error:
                failures.append(RowFailure(RowKey(self.name, key), str(error)))
        return failures


def _settle(value: QueryRouteValue) -> bool:
    """False: the device is not in the namespace now."""
    with netns.netlink_in(value.netns) as inside:
        ifindex = next((each.ifindex for each in links(inside) if each.mac == value.mac), None)
        if ifindex is None:
            return False
        route_queries(inside, value.routes, ifindex)
    return True
