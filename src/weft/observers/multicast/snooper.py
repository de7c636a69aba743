"""Learns which groups this host's ports have joined, and publishes it, a record a port.

A packet of a workload is hostile until read: the program of its port lets so many reports pass in a
second, each is checked in all its lengths, a port and a network have so many groups and no more,
and the record of a port changes at a bounded pace. While weftd is away nobody ceases to be a
member.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address

import structlog

from weft.errors import InvalidError, WeftError
from weft.kernel.group_wire import Reported
from weft.model.addresses import IPAddress
from weft.model.choices import Multicasting
from weft.model.ids import HostId, NetworkId, PortId
from weft.model.multicast_groups import is_multicast_group
from weft.model.records import MulticastMembership, Network, Port, Subnet
from weft.observers.listening import AGAIN_S, Listening, Wire
from weft.observers.multicast import messages
from weft.observers.multicast.messages import Verb
from weft.observers.multicast.pace import Pace
from weft.observers.multicast.querier import DOUBTED_S, MEMBER_S, Querier
from weft.observers.multicast.table import Table
from weft.observers.multicast.waiting import Waiting
from weft.store.interface import Change, Changed, Delete, Put, Store

GATHER_S = 0.05
"""Groups that a port joins within this are published at once."""
_BATCH = 128
"""Ports that are asked at one moment."""
_HEARD = 2048
"""Reports that are heard at one moment; see `waiting`."""
_READ_S = 0.005
"""Reports are read for no longer at one moment, for others wait."""
_REST_S = 0.05
"""After reports: others follow, and are read together."""
_FIND_S = 0.1
"""Whom to ask is looked up as seldom as this while records change."""
_COUNTED = ("reports", "malformed", "limited", "queries", "refused")
log = structlog.get_logger()


class Snooper:
    """Implements `multicast.interface.Snooping`."""

    def __init__(
        self,
        *,
        host_id: HostId,
        store: Store,
        wire: Wire,
        port_of: Callable[[int], Port | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """port_of: the port behind an ifindex."""
        self._host_id = host_id
        self._store = store
        self._wire = wire
        self._port_of = port_of
        self._now_s = monotonic
        self._table = Table()
        self._querier = Querier(self._is_followed)
        self._pace = Pace()
        self._counts: Counter[str] = Counter()
        self._ports: dict[PortId, Port] = {}
        """The ports that are asked."""
        self._waiting: dict[PortId, float] = {}
        """Ports of which others shall know, and when."""
        self._told_full: set[PortId] = set()
        self._find_due_s = -math.inf
        self._found_s = -math.inf
        self._expiry_s = math.inf
        self._waiting_reports = Waiting()
        self._listening = Listening(wire, monotonic, "reports of groups")

    def statistics(self) -> Mapping[str, int]:
        """See `Snooping.statistics`."""
        return {what: self._counts[what] for what in _COUNTED}

    async def run(self) -> None:
        """Until cancelled. Start it once the programs run."""
        self._recall()
        end_watch = self._store.watch(self._on_records)
        self._find_due_s = -math.inf
        try:
            await self._listening.run(self._turn)
        finally:
            end_watch()

    async def _turn(self) -> float:
        now_s = self._now_s()
        if now_s >= self._find_due_s:
            self._find(now_s)
        if now_s >= self._listening.read_due_s:
            self._read(now_s)
        self._query(now_s)
        self._expire(now_s)
        await self._publish(now_s)
        return min(
            self._find_due_s,
            self._querier.due_s(),
            self._expiry_s,
            min(self._waiting.values(), default=math.inf),
        )

    def _recall(self) -> None:
        """Take over the memberships from before weftd started; a port that still is a member will
        say so."""
        until_s = self._now_s() + MEMBER_S
        for known in self._store.by(MulticastMembership, "host_id", self._host_id):
            for group in known.multicast_groups:
                self._table.join(known.id, known.network_id, group, until_s)
            self._table.changed.add(known.id)
        self._expiry_s = until_s

    def _on_records(self, changes: Sequence[Changed]) -> None:
        for change in changes:
            kind = change.key[0]
            if kind in (Network, Subnet) or (kind is Port and self._is_own(change)):
                self._find_due_s = min(self._find_due_s, self._found_s + _FIND_S)
                self._listening.wake()

    def _is_own(self, change: Changed) -> bool:
        return any(isinstance(each, Port) and each.host_id == self._host_id for each in change)

    def _find(self, now_s: float) -> None:
        """Whom to ask."""
        self._find_due_s, self._found_s = math.inf, now_s
        ports = {port.id: port for port in self._snooped()}
        former, self._ports = self._ports, ports
        sources: dict[NetworkId, IPv4Address] = {}
        for port in ports.values():
            if port.network_id not in sources:
                sources[port.network_id] = self._gateway(port.network_id)
            self._querier.ask(port.id, sources[port.network_id], now_s)
        for gone in (former.keys() | self._table.ports()) - ports.keys():
            self._querier.forget(gone)
            self._table.forget(gone)
            self._told_full.discard(gone)
        self._pace.forget(now_s)

    def _snooped(self) -> Iterator[Port]:
        for port in self._store.by(Port, "host_id", self._host_id):
            if port.ifname is None or port.is_host:
                continue
            network = self._store.get(Network, port.network_id)
            if network is not None and network.multicast is Multicasting.SNOOP:
                yield port

    def _gateway(self, network_id: NetworkId) -> IPv4Address:
        """The gateway of the first subnet that has one."""
        subnets = self._store.by(Subnet, "network_id", network_id)
        found = [each.gateway for each in subnets if isinstance(each.gateway, IPv4Address)]
        return min(found, default=IPv4Address(0))

    def _read(self, now_s: float) -> None:
        is_drained = self._hear_all()
        is_quiet = not self._waiting_reports
        while self._waiting_reports and self._now_s() - now_s <= _READ_S:
            self._hear(self._waiting_reports.take(), now_s)
        self._listening.rest(None if is_drained and is_quiet else _REST_S)

    def _hear_all(self) -> bool:
        """Read the reports that have come until now, or as many as fit; whether these were all."""
        for _ in range(_HEARD):
            reported = self._wire.receive()
            if reported is None:
                return True
            self._counts["limited"] += not self._waiting_reports.put(reported)
        return False

    def _hear(self, reported: Reported, now_s: float) -> None:
        self._counts["reports"] += 1
        found = self._port_of(reported.ifindex)
        port = self._ports.get(found.id) if found is not None else None
        if port is None:
            return
        try:
            said = messages.parse(reported.packet)
        except InvalidError as error:
            self._counts["malformed"] += 1
            log.debug("report not understood", port=port.id, reason=str(error))
            return
        for group, verb in said:
            if is_multicast_group(group):
                self._take(port, group, verb, now_s)
        self._querier.heard(port.id, now_s)

    def _is_followed(self, port_id: PortId) -> bool:
        """Whether it must be asked again and again: a switch may be behind a port of many, and goes
        by the questions."""
        port = self._ports.get(port_id)
        return port_id in self._table.ports() or (port is not None and bool(port.unknown_on))

    def _take(self, port: Port, group: IPAddress, verb: Verb, now_s: float) -> None:
        if verb is Verb.JOIN:
            if not self._table.join(port.id, port.network_id, group, now_s + MEMBER_S):
                self._refuse(port)
            self._expiry_s = min(self._expiry_s, now_s + MEMBER_S)
        elif verb is Verb.LEAVE and not port.unknown_on:
            self._table.leave(port.id, group)
        elif self._table.doubt(port.id, group, now_s + DOUBTED_S):
            # Several workloads may be behind the port, or it wants other sources of the group.
            self._querier.doubt(port.id, group, now_s)
            self._expiry_s = min(self._expiry_s, now_s + DOUBTED_S)

    def _refuse(self, port: Port) -> None:
        self._counts["refused"] += 1
        if port.id not in self._told_full:
            self._told_full.add(port.id)
            log.warning("port joins too many multicast groups", port=port.id, names=port.names)

    def _query(self, now_s: float) -> None:
        for port_id, frames in self._querier.take(now_s, _BATCH):
            port = self._ports.get(port_id)
            if port is not None and port.ifname is not None:
                for frame in frames:
                    self._counts["queries"] += self._wire.send(port.ifname, frame)

    def _expire(self, now_s: float) -> None:
        if now_s >= self._expiry_s:
            next_s = self._table.expire(now_s)
            self._expiry_s = next_s if next_s == math.inf else max(next_s, now_s + AGAIN_S)

    async def _publish(self, now_s: float) -> None:
        for port in self._table.changed:
            if port in self._ports:
                ready_s = max(self._pace.ready_s(port, now_s), now_s + GATHER_S)
                self._waiting.setdefault(port, ready_s)
            else:
                self._waiting[port] = now_s
        self._table.changed.clear()
        due = [port for port, at_s in self._waiting.items() if at_s <= now_s]
        changes = {port: change for port in due if (change := self._change(port)) is not None}
        for port in due:
            del self._waiting[port]
        if not changes:
            return
        try:
            await self._store.write(changes.values())
        except WeftError as error:
            log.warning("groups not published", reason=str(error))
            self._waiting.update((port, now_s + AGAIN_S) for port in changes)
            return
        for port in changes:
            self._pace.told(port, now_s)

    def _change(self, port_id: PortId) -> Change | None:
        known = self._store.get(MulticastMembership, port_id)
        groups = self._table.groups(port_id)
        port = self._ports.get(port_id)
        if not groups or port is None:
            return Delete(MulticastMembership, port_id) if known is not None else None
        record = MulticastMembership(
            id=port_id, network_id=port.network_id, host_id=self._host_id, multicast_groups=groups
        )
        return Put(record) if record != known else None
