"""Sends router advertisements to this host's ports, and hears when one looks for routers.

What a workload sends is hostile until read: the program of its port lets so many solicitations pass
in a second, and however many there are, a port is told every few seconds at most. While weftd is
away nobody is told, and what was told holds on (`messages.ROUTER_LIFETIME_S`).
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import structlog

from weft.errors import InvalidError
from weft.model.ids import HostId, PortId
from weft.model.records import (
    Host,
    Network,
    Port,
    Router,
    RouterPort,
    RouterRoute,
    Subnet,
)
from weft.observers.advertising import messages
from weft.observers.advertising.turns import Turns
from weft.observers.listening import Listening, Wire
from weft.semantics.advertised import Advertised, advertised, is_advertised_to, workload_of
from weft.store.interface import Changed, Store

_LOOK_S = 0.5
"""What is told is looked up as seldom as this while records change."""
_TOGETHER = 128
"""Ports that are looked up, or told, at one moment, before others have their turn."""
_HEARD = 256
"""Solicitations that are read at one moment."""
_REST_S = 0.1
"""After solicitations: others follow, and are read together."""
_BEARING = (Network, Subnet, Router, RouterPort, RouterRoute)
log = structlog.get_logger()


class Advertiser:
    """Of this host's ports."""

    def __init__(
        self,
        *,
        host_id: HostId,
        store: Store,
        wire: Wire,
        port_of: Callable[[int], Port | None],
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """port_of: the port behind an ifindex."""
        self._host_id = host_id
        self._store = store
        self._wire = wire
        self._port_of = port_of
        self._now_s = monotonic
        self._turns = Turns(uniform)
        self._said: dict[PortId, Advertised] = {}
        """What each port is told."""
        self._former: dict[PortId, Advertised] = {}
        """What it was told before, until it has heard that this holds no more."""
        self._ifnames: dict[PortId, str] = {}
        self._counts: Counter[str] = Counter()
        self._look_due_s = -math.inf
        self._looked_s = -math.inf
        self._listening = Listening(wire, monotonic, "solicitations", gather_s=_REST_S)

    def statistics(self) -> Mapping[str, int]:
        """``solicitations``, of them ``malformed``, and ``advertisements``, since weftd started."""
        return {each: self._counts[each] for each in ("solicitations", "malformed", "sent")}

    async def run(self) -> None:
        """Until cancelled. Start it once the programs run."""
        end_watch = self._store.watch(self._on_records)
        try:
            await self._listening.run(self._turn)
        finally:
            end_watch()

    async def _turn(self) -> float:
        if self._now_s() >= self._look_due_s:
            await self._look()
        if self._now_s() >= self._listening.read_due_s:
            self._read()
        self._tell()
        return min(self._look_due_s, self._turns.due_s())

    def _on_records(self, changes: Sequence[Changed]) -> None:
        if any(self._bears(change) for change in changes):
            self._look_due_s = min(self._look_due_s, self._looked_s + _LOOK_S)
            self._listening.wake()

    def _bears(self, change: Changed) -> bool:
        kind = change.key[0]
        if kind is Host:
            return change.key[1] == self._host_id
        is_own = any(isinstance(each, Port) and each.host_id == self._host_id for each in change)
        return kind in _BEARING or (kind is Port and is_own)

    async def _look(self) -> None:
        """What each port is to be told. Linear in this host's ports, and lets others have turns."""
        self._look_due_s, self._looked_s = math.inf, self._now_s()
        host = self._store.get(Host, self._host_id)
        subnets: dict[str, Sequence[Subnet]] = {}
        found: dict[PortId, Advertised] = {}
        ports = list(self._store.by(Port, "host_id", self._host_id))
        workloads = Counter(workload_of(port) for port in ports if not port.is_host)
        for number, port in enumerate(ports):
            if number % _TOGETHER == _TOGETHER - 1:
                await asyncio.sleep(0)
            near = subnets.get(port.network_id)
            if near is None:
                near = tuple(self._store.by(Subnet, "network_id", port.network_id))
                subnets[port.network_id] = near
            network = self._store.get(Network, port.network_id)
            if network is None or port.ifname is None:
                continue
            self._ifnames[port.id] = port.ifname
            if is_advertised_to(port, near):
                workload = workload_of(port)
                said = advertised(
                    port,
                    network,
                    near,
                    host,
                    self._store,
                    is_alone=workload is None or workloads[workload] == 1,
                )
                if said is not None:
                    found[port.id] = said
        here = {port.id for port in ports if port.ifname is not None}
        self._take_over(found, here)

    def _take_over(self, found: Mapping[PortId, Advertised], here: set[PortId]) -> None:
        now_s = self._now_s()
        for gone in self._ifnames.keys() - here:
            for known in (self._ifnames, self._said, self._former):
                known.pop(gone, None)
            self._turns.forget(gone)
        for port in found.keys() | self._said.keys():
            said, former = found.get(port, messages.NOTHING), self._said.get(port)
            if said == former:
                continue
            self._said[port] = said
            if former is not None and former != messages.NOTHING:
                self._former[port] = former
            self._turns.renew(port, now_s)

    def _read(self) -> None:
        for _ in range(_HEARD):
            reported = self._wire.receive()
            if reported is None:
                self._listening.rest(None)
                return
            self._hear(reported.ifindex, reported.packet)
        self._listening.rest(_REST_S)

    def _hear(self, ifindex: int, packet: bytes) -> None:
        self._counts["solicitations"] += 1
        try:
            messages.check_solicitation(packet)
        except InvalidError as error:
            self._counts["malformed"] += 1
            log.debug("solicitation not understood", ifindex=ifindex, reason=str(error))
            return
        port = self._port_of(ifindex)
        if port is not None and self._said.get(port.id, messages.NOTHING) != messages.NOTHING:
            self._turns.solicited(port.id, self._now_s())

    def _tell(self) -> None:
        for port in self._turns.take(self._now_s(), _TOGETHER):
            said, ifname = self._said.get(port), self._ifnames.get(port)
            if said is None or ifname is None:
                self._turns.forget(port)
                continue
            former = self._former.get(port, messages.NOTHING)
            frame = messages.advertisement(said, former)
            self._counts["sent"] += self._wire.send(ifname, frame)
            if self._turns.is_settled(port):
                self._former.pop(port, None)
                if said == messages.NOTHING:
                    del self._said[port]
                    self._turns.forget(port)
