"""The prefixes that this host reaches by itself, told by a record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from weft.kernel import rules, underlay
from weft.kernel.netlink import Netlink
from weft.model.addresses import IPNetwork
from weft.model.ids import HostId
from weft.model.records import HostPrefixes
from weft.model.records.hosts import MAX_PREFIXES
from weft.observers.host.own_record import OwnRecord
from weft.store.interface import Put, Store

log = structlog.get_logger()


class HostPrefixesRecord(OwnRecord):
    """The `HostPrefixes` record."""

    def __init__(self, store: Store, host_id: HostId) -> None:
        super().__init__("prefixes of this host not told")
        self._store = store
        self._host_id = host_id

    async def refresh(self) -> None:
        """Look and write."""
        found = await asyncio.to_thread(find, self._host_id)
        if self._store.get(HostPrefixes, self._host_id) != found:
            log.info(
                "prefixes of this host changed",
                links=len(found.links),
                routes=len(found.routes),
                has_rules=found.has_rules,
            )
            await self._store.write([Put(found)])


def find(host_id: HostId) -> HostPrefixes:
    """The record as it should be now, in the calling thread's namespace."""
    routes = underlay.host_routes()
    with Netlink() as netlink:
        known = rules.rules(netlink)
    return HostPrefixes(
        id=host_id,
        host_id=host_id,
        links=_bounded(route.prefix for route in routes if route.is_link),
        routes=_bounded(route.prefix for route in routes if not route.is_link),
        has_rules=rules.has_rules_before_main(known),
    )


def _bounded(prefixes: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """The prefixes in the order in which they come. A router of the internet has a million, which
    every host would have to keep; so of too many the shortest are told."""
    found = list(prefixes)
    if len(found) <= MAX_PREFIXES:
        return tuple(found)
    told = set(sorted(found, key=lambda prefix: prefix.prefixlen)[:MAX_PREFIXES])
    return tuple(prefix for prefix in found if prefix in told)
