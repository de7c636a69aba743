"""This host as a member: to which hosts it links, which it reaches and since when, and which were
removed.

Steers the links by the records, and publishes what they are. The rest of weftd asks it how other
hosts are (`standing.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence

import structlog

from weft.cluster.ask import Ask
from weft.cluster.interface import (
    Endpoint,
    HostLinks,
    LinkInfo,
    Problem,
    Replication,
    Target,
)
from weft.cluster.neighbourhood import Neighbourhood
from weft.cluster.remembered import Met, Remembered
from weft.cluster.secret import Secrets
from weft.cluster.standing import Rotation, State, state_of
from weft.cluster.targets import endpoints_of, strangers, targets_of
from weft.cluster.wanted import wanted
from weft.errors import WeftError
from weft.model.ids import HostId
from weft.model.records import ForgottenHost, Host, Neighbours
from weft.store.interface import Changed, Store
from weft.topology.routes import Route, routes

log = structlog.get_logger()

COALESCE_S = 0.1
"""Changes wait so long for company."""
SHARE = 20
"""And at least so many times as long as it takes to look at them, which is linear in all links of
the cluster: so that in a large one in turmoil, looking takes a twentieth of the time at most."""
RETRY_S = 5.0
RETIRE_S = 5.0
"""A new secret is known to all hosts so long before the former one is refused, so that each has its
certificate by then."""
LOST_S = 10.0
"""For other hosts to give records back."""
CLOSE_S = 2.0
"""Links to a host that was removed are kept so long, so that it hears of its removal and can say
goodbye."""


class Membership:
    """Owns the links and the exchange over them."""

    def __init__(
        self,
        *,
        host_id: HostId,
        store: Store,
        links: HostLinks,
        exchange: Replication,
        secrets: Secrets,
        remembered: Remembered,
        join: Sequence[Endpoint],
        monotonic_s: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        """join: endpoints that this host was told, beside those of the records."""
        self.host_id = host_id
        self.exchange = exchange
        self.secrets = secrets
        self.neighbourhood = Neighbourhood(
            store, host_id, lambda: links.links().values(), monotonic_s
        )
        self.reached: Mapping[HostId, Route] = {}
        """Hosts that are reached over links, by whatever way."""
        self.since_s: dict[HostId, float] = {}
        """Wall clock: since when a host is as it is, by what this weftd has seen."""
        self._states: dict[HostId, State] = {}
        self._store = store
        self._links = links
        self._remembered = remembered
        self._join = tuple(join)
        self._now_s = monotonic_s
        self._wall_s = wall_s
        self._confirmed_s: float | None = None
        self._started_s = wall_s()
        self._changed = asyncio.Event()
        self._closing: dict[HostId, asyncio.TimerHandle] = {}
        self.ask = Ask(
            host_id, store, links.send_ask, lambda: self.reached, lambda: links.links().keys()
        )
        links.listener = exchange
        links.asking = self.ask
        links.changed.append(self._links_changed)
        secrets.changed.append(self._changed.set)
        store.watch(self._on_records)

    @property
    def links(self) -> Mapping[HostId, LinkInfo]:
        """Links that are up."""
        return self._links.links()

    @property
    def problems(self) -> Sequence[Problem]:
        """Why links are not there."""
        return self._links.problems()

    @property
    def others(self) -> Sequence[Host]:
        """All other hosts of the cluster, by name."""
        known = (host for host in self._store.list(Host) if host.id != self.host_id)
        return sorted(known, key=lambda host: (host.name, host.id))

    @property
    def is_removed(self) -> bool:
        """Whether this host was removed from its cluster, as far as it has heard."""
        return self._store.get(ForgottenHost, self.host_id) is not None or any(
            problem.is_removal for problem in self.problems
        )

    @property
    def has_passed_on(self) -> bool:
        """Whether a linked host has confirmed that it has all that is here."""
        return any(self.exchange.is_in_sync(host) for host in self.links)

    async def find_lost_records(self) -> None:
        """Wait until other hosts, if there are any, have given back the records of a lost database.
        Until then nothing should be made of the records, for what is not in them would go from the
        kernel. This takes `LOST_S` at the most; after that the other hosts count as absent.
        """
        if not self._remembered.known.hosts and not self._join:
            return
        log.info("waits for the other hosts to give the records back")
        try:
            async with asyncio.timeout(LOST_S):
                await self.exchange.caught_up.wait()
        except TimeoutError:
            log.warning("no other host has given the records back; goes on without")

    @property
    def rotation(self) -> Rotation:
        """How far the cluster's secret is."""
        return Rotation(
            secret_id=self.secrets.current_id, is_rotating=self.secrets.previous is not None
        )

    def rotate(self) -> None:
        """Make a new secret; the links hand it on. ConflictError: the last time is not over."""
        self.secrets.rotate(os.urandom, self._wall_s())

    def network_changed(self) -> None:
        """Addresses or routes of this host changed."""
        self._links.network_changed()
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.exchange.run(), name="records")
            tasks.create_task(self._links.run(), name="mesh links")
            tasks.create_task(self.neighbourhood.run(), name="neighbours")
            tasks.create_task(self._steer(), name="membership")

    def _on_records(self, changes: Sequence[Changed]) -> None:
        for change in changes:
            kind, id = change.key
            if kind is ForgottenHost and change.new is not None:
                self._end_links_of(HostId(id))
                self.neighbourhood.look_again()
            if kind in (Host, Neighbours, ForgottenHost):
                self._changed.set()

    def _links_changed(self) -> None:
        self.neighbourhood.look_again()
        self._changed.set()

    def _end_links_of(self, host_id: HostId) -> None:
        def close() -> None:
            self._closing.pop(host_id, None)
            self._links.close_link(host_id, "it was removed from the cluster")

        if host_id != self.host_id and host_id not in self._closing:
            loop = asyncio.get_running_loop()
            self._closing[host_id] = loop.call_later(CLOSE_S, close)

    async def _steer(self) -> None:
        while True:
            self._changed.clear()
            began_s = self._now_s()
            self._take_note()
            pause_s = max(COALESCE_S, SHARE * (self._now_s() - began_s))
            delay_s: float | None = None
            try:
                self._remember()
                delay_s = self._end_rotation()
            except WeftError as error:
                log.warning("not kept on disk, tried again", reason=str(error))
                delay_s = RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()
            await asyncio.sleep(pause_s)

    def _take_note(self) -> None:
        """Find out which hosts are reached now, and to which to link."""
        now_s = self._wall_s()
        reached = self._store.ask(routes, self.host_id)
        others = {host.id: host for host in self.others}
        self.reached = reached
        states = {host: state_of(host, self) for host in others}
        for host, state in states.items():
            if self._states.get(host, state) != state:
                self.since_s[host] = now_s
            self.since_s.setdefault(host, self._started_s)
        for gone in self.since_s.keys() - others.keys():
            del self.since_s[gone]
        self._states = states
        silent = others.keys() - reached.keys()
        chosen = wanted(self.host_id, others, silent)
        self._links.want(
            [*targets_of(others[host] for host in sorted(chosen)), *self._unrecorded(others)]
        )

    def _unrecorded(self, others: Mapping[HostId, Host]) -> Sequence[Target]:
        """The hosts that this host met and has no records of, for its database was lost, and those
        that it is to join."""
        met = {
            HostId(id): one
            for id, one in self._remembered.known.hosts.items()
            if id not in others and one.endpoints and not self._is_removed(HostId(id))
        }
        known = {each for host in others.values() for each in endpoints_of(host)}
        known |= {each for one in met.values() for each in one.endpoints}
        me = self._store.get(Host, self.host_id)
        known |= set(endpoints_of(me)) if me is not None else set()
        return [
            *(Target(endpoints=one.endpoints, host_id=id) for id, one in sorted(met.items())),
            *strangers(self._join, known),
        ]

    def _is_removed(self, host_id: HostId) -> bool:
        return self._store.get(ForgottenHost, host_id) is not None

    def _remember(self) -> None:
        hosts: dict[str, Met] = {
            host.id: Met(name=host.name, endpoints=endpoints_of(host)) for host in self.others
        }
        if not self.exchange.caught_up.is_set():
            # The records may be of a database that was lost and is being filled again.
            known = self._remembered.known.hosts.items()
            hosts = {id: one for id, one in known if not self._is_removed(HostId(id))} | hosts
        self._remembered.update(hosts=hosts)

    def _end_rotation(self) -> float | None:
        """Retire the former secret once every host has confirmed the present one for a while.
        Returns how long that takes yet; None: it does not depend on time alone."""
        present = self.secrets.current_id
        if self.secrets.previous is None or any(
            host.secret_id != present for host in self._store.list(Host)
        ):
            self._confirmed_s = None
            return None
        now_s = self._now_s()
        if self._confirmed_s is None:
            self._confirmed_s = now_s
        wait_s = self._confirmed_s + RETIRE_S - now_s
        if wait_s > 0:
            return wait_s
        self.secrets.retire_previous()
        log.info("the cluster's former token is refused from now on")
        return None
