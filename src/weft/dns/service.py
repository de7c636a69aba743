"""The DNS server as one long-lived part: wiring, and what the daemon and the API see of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from weft.config import Settings
from weft.dns.askers import Askers
from weft.dns.counters import Counters
from weft.dns.endpoint import DEFAULT_ENDPOINTS, Endpoint
from weft.dns.former import FormerResolvers
from weft.dns.forward import Forwarder
from weft.dns.resolv_conf import ResolvConf
from weft.dns.responder import Responder
from weft.dns.server import Server
from weft.dns.wire import Query
from weft.dns.zone import Zone
from weft.model.addresses import IPAddress
from weft.model.ids import HostId, NetworkId
from weft.model.records import Port
from weft.store.interface import Store

LOOK_S = 2.0
"""Between two looks at whether the host's list of resolvers changed."""
ResolversListener = Callable[[Sequence[IPAddress]], None]

if TYPE_CHECKING:
    from weft.dns.lookup import LookupAnswer

log = structlog.get_logger()


class DnsService:
    """Answers DNS for workloads and for the host.

    `port_of_ifindex` gives the local port whose host-side device has that ifindex; it is called
    at most every few seconds for each asker. `clock` is monotonic, in seconds. `random` must be
    fit to guess-proof query ids (`random.SystemRandom`) outside tests.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        host_id: HostId,
        port_of_ifindex: Callable[[int], Port | None],
        clock: Callable[[], float],
        random: random.Random,
        *,
        endpoints: Sequence[Endpoint] = DEFAULT_ENDPOINTS,
        upstream_port: int = 53,
    ) -> None:
        self._store = store
        self._counters = Counters()
        self._random = random
        self._zone = Zone(store, settings.domain, host_id, settings.dns_order)
        self._resolv_conf = ResolvConf(
            Path(settings.resolv_conf),
            [endpoint.address for endpoint in endpoints],
            docker_config=Path(settings.docker_config) if settings.docker else None,
        )
        self._former = FormerResolvers(Path(settings.run_dir))
        self._former.follow(self.resolvers())
        self._forwarder = Forwarder(
            lambda: self._resolv_conf.servers, self._counters, clock, random, upstream_port
        )
        self._responder = Responder(self._zone, self._forwarder, self._counters, random)
        askers = Askers(self._zone, port_of_ifindex, clock)
        self._server = Server(endpoints, self._responder, askers, self._counters)
        self._listeners: list[ResolversListener] = []
        # From here on, not from `run` on: a write between the two must not be missed.
        self._unwatch = store.watch(self._zone.changed)

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forwarder.run())
                tasks.create_task(self._server.run())
                tasks.create_task(self._follow_resolv_conf())
        finally:
            self._unwatch()

    @property
    def ready(self) -> asyncio.Event:
        """Set when every socket has been opened or has failed once."""
        return self._server.ready

    @property
    def failures(self) -> Mapping[str, str]:
        """What is not served now, and why: ``udp 169.254.53.53 port 335`` -> reason."""
        return self._server.failures

    def resolvers(self) -> Sequence[IPAddress]:
        """Resolvers that workloads which start now ask, so whose queries are Weft's to answer."""
        return self._resolv_conf.intercepted

    def former_resolvers(self) -> Sequence[IPAddress]:
        """Resolvers that workloads which started earlier may ask."""
        return self._former.addresses

    def watch_resolvers(self, listener: ResolversListener) -> Callable[[], None]:
        """Call `listener` with `resolvers()` now and after each change, on the event loop.

        Returns the function that ends it.
        """
        self._listeners.append(listener)
        listener(self.resolvers())
        return lambda: self._listeners.remove(listener)

    def upstreams(self) -> Sequence[str]:
        """Where queries for names that are not ours are sent."""
        return [str(address) for address in self._resolv_conf.servers]

    def statistics(self) -> Mapping[str, int]:
        """Counts since the start; `counters.MEANINGS` says of what."""
        return dict(self._counters)

    def questions(self) -> Mapping[str, int]:
        """Questions for resolvers at this moment: `asked`, and `waiting` for their turn."""
        return {"asked": self._forwarder.in_flight, "waiting": self._forwarder.waiting}

    async def lookup(self, name: str, type: str, network_id: str | None) -> LookupAnswer:
        """Answer as to a workload on the network; None: as to the host.

        InvalidError: the name or the type is none.
        """
        # Imported here, so that only a weftd that is asked so pays for dnspython.
        from weft.dns import lookup

        query = lookup.question(name, type, self._random.getrandbits(16))
        if network_id is None:
            scope = self._zone.scope_of_host()
        else:
            scope = self._zone.scope_of_network(NetworkId(network_id))
        response: bytes | Query | None = self._responder.answer(query, scope, is_stream=True)
        if isinstance(response, Query):
            response = await self._responder.resolve(response, "lookup", is_stream=True)
        assert response is not None
        # By dnspython, which may take seconds for what a stranger's server made up.
        return await asyncio.to_thread(lookup.answer, response)

    async def _follow_resolv_conf(self) -> None:
        while True:
            if self._resolv_conf.refresh():
                self._forwarder.forget_health()
                self._former.follow(self.resolvers())
                log.info("resolvers changed", upstreams=", ".join(self.upstreams()))
                for listener in tuple(self._listeners):
                    listener(self.resolvers())
            await asyncio.sleep(LOOK_S)
