"""Probes the data path to other hosts, all the time and cheaply.

A path of which all is known costs one packet of full size a second while it carries packets, and
one in many seconds while it carries none (turns.py), and a look into a map a moment later. Which
paths carry packets is looked up every second, and one that begins to is probed at once. Programs
answer, so a weftd that is away breaks no path.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from weft.kernel.bpf.layouts import Overlay
from weft.kernel.probe_wire import Answer
from weft.model.addresses import IPAddress
from weft.model.ids import HostId, RandomBytes, host_tag
from weft.model.records import Cluster, ForgottenHost, Host, HostKeys, Neighbours, Port
from weft.model.service_addresses import wireguard_address
from weft.observers.paths.agenda import Agenda
from weft.observers.paths.interface import PathState
from weft.observers.paths.message import request
from weft.observers.paths.probed import LOOKS_S, Probed, Sent
from weft.observers.paths.talk import Talk, Traffic
from weft.observers.paths.targets import Destination, destination, packet_size, targets
from weft.observers.paths.turns import BURST, Crowd, Standing, next_turn_s
from weft.store.interface import Changed, Store

_TOGETHER_S = 0.001
"""Work that is due so soon is done now: one wake-up instead of two."""
_LATE_S = 5.0
"""An answer is recognized for so long."""
_TARGETS_S = 0.5
"""Whom to probe is looked up as seldom as this while records change."""
_LISTEN_S = 1.0
"""Between two looks at which paths carry packets."""


class Wire(Protocol):
    """See `kernel.probe_wire.ProbeWire`."""

    def source(self, destination: IPAddress) -> IPAddress | None:
        """The address that the host would send from; None: there is no route."""
        ...

    def send(self, source: IPAddress, destination: IPAddress, payload: bytes) -> bool:
        """Whether it left this host."""
        ...

    def answers(self, keys: Iterable[tuple[int, int]]) -> Mapping[tuple[int, int], Answer]:
        """The last answer in each (tag of the host, slot), where there is one."""
        ...

    def close(self) -> None:
        """Nothing is sent any more."""
        ...


class Prober:
    """Implements `paths.interface.Paths`."""

    def __init__(
        self,
        *,
        host_id: HostId,
        store: Store,
        wire: Wire,
        random_bytes: RandomBytes,
        traffic: Traffic | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """traffic: None: nobody can tell, and every path counts as one that carries packets."""
        self.on_change: list[Callable[[], None]] = []
        self._host_id = host_id
        self._tag = host_tag(host_id)
        self._store = store
        self._wire = wire
        self._random_bytes = random_bytes
        self._traffic = traffic
        self._now_ns = monotonic_ns
        self._probed: dict[HostId, Probed] = {}
        self._agenda: Agenda[HostId] = Agenda()
        self._heard_of: set[HostId] = set()
        """Hosts that have written records since they were last looked after."""
        self._told: dict[HostId, tuple[IPAddress, bool, int]] = {}
        self._talk = Talk()
        self._tags: dict[IPAddress, int] | None = None
        """By address, of the hosts that are probed. None: not asked for since they changed."""
        self._listen_due_s = -math.inf
        self._is_stale = True
        self._targets_s = -_TARGETS_S
        self._wake = asyncio.Event()

    def states(self) -> Mapping[HostId, PathState]:
        """See `Paths.states`."""
        return {
            host: probed.state() for host, probed in self._probed.items() if probed.is_found_out
        }

    async def run(self) -> None:
        """Until cancelled. Start it once the programs run."""
        end_watch = self._store.watch(self._on_records)
        self._is_stale = True
        try:
            while True:
                self._wake.clear()
                now_s = self._now_s()
                if self._is_stale and now_s >= self._targets_s + _TARGETS_S:
                    self._find_targets(now_s)
                self._listen(now_s)
                self._hope(now_s)
                self._look_after(self._agenda.take(now_s + _TOGETHER_S), now_s)
                await self._sleep()
        finally:
            end_watch()
            self._wire.close()

    def _now_s(self) -> float:
        return self._now_ns() / 1e9

    def _on_records(self, changed: Sequence[Changed]) -> None:
        kinds = (Host, HostKeys, ForgottenHost, Neighbours, Port, Cluster)
        if not self._is_stale and any(change.key[0] in kinds for change in changed):
            self._is_stale = True
            self._wake.set()
        for record in (change.new for change in changed):
            probed = self._probed.get(record.id) if isinstance(record, Host | Neighbours) else None
            if probed is not None and probed.path.is_broken:
                self._heard_of.add(probed.target.host_id)
                self._wake.set()

    def _listen(self, now_s: float) -> None:
        """Hear which paths carry packets. A path that begins to is probed at once; where many begin
        together, as a broadcast makes them, the later ones have their next turn."""
        if self._traffic is None or not self._probed or now_s < self._listen_due_s - _TOGETHER_S:
            return
        self._listen_due_s = math.floor((now_s + _TOGETHER_S) / _LISTEN_S + 1) * _LISTEN_S
        begun = self._talk.hear(self._traffic.used(), self._tag_of, now_s)
        paths = [probed for probed in self._probed.values() if probed.target.tag in begun]
        for number, probed in enumerate(paths):
            self._hasten(probed, now_s if number < BURST else self._turn_s(probed, now_s))

    def _tag_of(self, address: IPAddress) -> int | None:
        if self._tags is None:
            self._tags = {
                each: probed.target.tag
                for host, probed in self._probed.items()
                for each in (*probed.target.addresses, wireguard_address(host))
            }
        return self._tags.get(address)

    def _hope(self, now_s: float) -> None:
        """A host that has been heard of may have come back: its turn is the next, as if it were
        well."""
        for host in self._heard_of & self._probed.keys():
            probed = self._probed[host]
            probed.silent_since_s = now_s
            self._hasten(probed, self._turn_s(probed, now_s))
        self._heard_of.clear()

    def _hasten(self, probed: Probed, when_s: float) -> None:
        """The path is probed then at the latest, unless a probe is under way."""
        if probed.pending is None and not probed.target.is_apart:
            probed.due_s = min(probed.due_s, when_s)
            self._agenda.put(probed.target.host_id, probed.due_s)

    def _look_after(self, hosts: Sequence[HostId], now_s: float) -> None:
        """Take the answers of these hosts, give up probes that take too long, and send those that
        are due."""
        due = [self._probed[host] for host in hosts]
        self._collect([probed for probed in due if probed.sent])
        until_s = now_s + _TOGETHER_S
        for host, probed in zip(hosts, due, strict=True):
            if probed.pending is not None and until_s >= probed.deadline_s:
                self._lost(probed, now_s)
            if probed.pending is None and until_s >= probed.due_s:
                self._send(probed, now_s)
            self._agenda.put(host, probed.wake_s(until_s))
        self._tell(hosts)

    def _find_targets(self, now_s: float) -> None:
        self._is_stale, self._targets_s, self._tags = False, now_s, None
        wanted = {target.host_id: target for target in targets(self._host_id, self._store)}
        for gone in self._probed.keys() - wanted.keys():
            del self._probed[gone]
            self._agenda.remove(gone)
        for host, target in wanted.items():
            probed = self._probed.get(host)
            if probed is None:
                self._probed[host] = Probed(target, now_s)
                self._agenda.put(host, now_s)
                continue
            if probed.target == target:
                continue
            probed.target = target
            probed.path.set_ceiling(target.ceiling, now_s)
            if probed.address not in target.addresses:
                probed.turn_to_next_address()
            probed.due_s = math.inf if target.is_apart else min(probed.due_s, now_s)
            self._agenda.put(host, now_s)
        self._tell(wanted)

    def _send(self, probed: Probed, now_s: float) -> None:
        size = probed.path.size(now_s)
        slot = probed.slot = (probed.slot + 1) % Overlay.OVERLAY_PROBE_SLOTS
        sent = Sent(self._random_bytes(8), size, self._now_ns())
        probed.sent[slot] = sent
        probed.pending, probed.pending_size = slot, size
        probed.deadline_s = now_s + probed.path.timeout_s
        place = destination(self._host_id, probed.target, probed.address, self._store)
        if place is None or not self._send_to(place, probed, slot, sent):
            del probed.sent[slot]
            # No answer can come; a short pause all the same, for the reason may pass.
            probed.deadline_s = now_s + LOOKS_S[-1]

    def _send_to(self, place: Destination, probed: Probed, slot: int, sent: Sent) -> bool:
        size = packet_size(sent.size, probed.address, place)
        source = place.sources[0]
        if len(place.sources) > 1:
            routed = self._wire.source(place.address)
            source = routed if routed in place.sources else source
        payload = request(self._tag, slot, sent.nonce, size, place.address.version)
        return self._wire.send(source, place.address, payload)

    def _collect(self, waiting: Sequence[Probed]) -> None:
        """Take the answers that have come, late ones too."""
        keys = [(probed.target.tag, slot) for probed in waiting for slot in probed.sent]
        answers = self._wire.answers(keys) if keys else {}
        now_ns = self._now_ns()
        now_s = now_ns / 1e9
        for probed in waiting:
            for slot, sent in list(probed.sent.items()):
                answer = answers.get((probed.target.tag, slot))
                if answer is not None and answer.nonce == sent.nonce:
                    self._arrived(probed, slot, (answer.arrival_ns - sent.sent_ns) / 1e9, now_s)
                elif now_ns - sent.sent_ns > _LATE_S * 1e9:
                    del probed.sent[slot]

    def _arrived(self, probed: Probed, slot: int, rtt_s: float, now_s: float) -> None:
        size = probed.sent.pop(slot).size
        probed.silent_since_s = now_s
        probed.path.arrived(size, max(0.0, rtt_s), now_s)
        if slot == probed.pending:
            probed.pending = None
            probed.due_s = self._turn_s(probed, now_s) if probed.path.is_settled else now_s

    def _lost(self, probed: Probed, now_s: float) -> None:
        probed.pending = None
        probed.path.lost(probed.pending_size, now_s)
        if probed.path.is_failing and len(probed.target.addresses) > 1:
            probed.turn_to_next_address()
        probed.due_s = self._turn_s(probed, now_s) if probed.path.is_broken else now_s

    def _turn_s(self, probed: Probed, now_s: float) -> float:
        count, target = len(self._probed), probed.target
        is_everybody = self._traffic is None
        talking = count if is_everybody else self._talk.count
        path = Standing(
            tag=target.tag,
            is_talking=is_everybody or self._talk.is_with(target.tag, now_s),
            is_linked=target.is_linked,
            silent_since_s=probed.silent_since_s if probed.path.is_broken else None,
        )
        return next_turn_s(path, Crowd(talking, max(0, count - talking)), now_s)

    def _tell(self, hosts: Iterable[HostId]) -> None:
        """Of these, which may be others than the last time."""
        before = len(self._told)
        for gone in self._told.keys() - self._probed.keys():
            del self._told[gone]
        is_news = len(self._told) != before
        for host in hosts:
            probed = self._probed[host]
            if probed.is_found_out and (told := probed.state()[:3]) != self._told.get(host):
                self._told[host] = told
                is_news = True
        if is_news:
            for listener in self.on_change:
                listener()

    async def _sleep(self) -> None:
        wake_s = self._agenda.next_s
        if self._is_stale:
            wake_s = min(wake_s, self._targets_s + _TARGETS_S)
        if self._traffic is not None and self._probed:
            wake_s = min(wake_s, self._listen_due_s)
        delay_s = None if wake_s == math.inf else max(0.0, wake_s - self._now_s())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._wake.wait()
