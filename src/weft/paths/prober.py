"""Probes the data path to other hosts, all the time and cheaply.

A path of which all is known costs one packet of full size a second (fewer when there are hundreds),
and a look into a map a moment later. Programs answer, so a weftd that is away breaks no path.
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
from weft.model.records import Cluster, ForgottenHost, Host, Neighbours, Port
from weft.paths.interface import PathState
from weft.paths.message import request
from weft.paths.path import Path
from weft.paths.targets import Destination, Target, destination, packet_size, targets
from weft.store.interface import Changed, Store

INTERVAL_S = 1.0
"""Between two probes of a path on which all is well."""
_PATHS_A_SECOND = 250
_BURST = 64
"""Paths that are probed at one moment: few wake-ups, and none that takes long."""
_LOOKS_S = (0.0005, 0.002, 0.008, 0.03, 0.1)
"""After a probe has left, when to look for its answer; then again and again."""
_LATE_S = 5.0
"""An answer is recognized for so long."""
_TARGETS_S = 0.5
"""Whom to probe is looked up as seldom as this while records change."""


class Wire(Protocol):
    """See `kernel.probe_wire.ProbeWire`."""

    def source(self, destination: IPAddress) -> IPAddress | None:
        """What the host would send from; None: there is no route."""
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


class _Sent:
    """A probe that is or was under way."""

    def __init__(self, nonce: bytes, size: int, sent_ns: int) -> None:
        self.nonce = nonce
        self.size = size
        self.sent_ns = sent_ns


class _Probed:
    """A path, and the probes on it."""

    def __init__(self, target: Target, now_s: float) -> None:
        self.target = target
        self.path = Path(target.ceiling, now_s)
        self.address = self.works_at = target.addresses[0]
        self.due_s = math.inf if target.is_apart else now_s
        self.pending: int | None = None
        """Slot of the probe whose answer is waited for."""
        self.pending_size = 0
        self.deadline_s = 0.0
        self.sent: dict[int, _Sent] = {}
        """By slot: those that are not answered, the latest last."""
        self.slot = 0

    def state(self) -> PathState:
        """Of a broken path the address at which it worked, whichever is tried now."""
        path = self.path
        if self.target.is_apart:
            return PathState(self.address, True, 0)
        if not path.is_broken:
            self.works_at = self.address
        return PathState(self.works_at, bool(path.is_broken), path.mtu_bytes, path.rtt_s)

    def turn_to_next_address(self) -> None:
        """The path is broken at this one."""
        addresses = self.target.addresses
        at = addresses.index(self.address) if self.address in addresses else -1
        self.address = addresses[(at + 1) % len(addresses)]
        self.path.start_anew()


class Prober:
    """Implements `paths.interface.Paths`."""

    def __init__(
        self,
        *,
        host_id: HostId,
        store: Store,
        wire: Wire,
        random_bytes: RandomBytes,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._host_id = host_id
        self._tag = host_tag(host_id)
        self._store = store
        self._wire = wire
        self._random_bytes = random_bytes
        self._now_ns = monotonic_ns
        self._probed: dict[HostId, _Probed] = {}
        self._told: dict[HostId, tuple[IPAddress, bool, int]] = {}
        self._is_stale = True
        self._targets_s = -_TARGETS_S
        self._wake = asyncio.Event()

    def states(self) -> Mapping[HostId, PathState]:
        """See `Paths.states`."""
        return {
            host: probed.state()
            for host, probed in self._probed.items()
            if probed.path.is_known or probed.target.is_apart
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
                self._collect()
                for probed in self._probed.values():
                    if probed.pending is None and probed.due_s <= now_s:
                        self._send(probed, now_s)
                self._tell()
                await self._sleep()
        finally:
            end_watch()
            self._wire.close()

    def _now_s(self) -> float:
        return self._now_ns() / 1e9

    def _on_records(self, changed: Sequence[Changed]) -> None:
        kinds = (Host, ForgottenHost, Neighbours, Port, Cluster)
        if not self._is_stale and any(change.key[0] in kinds for change in changed):
            self._is_stale = True
            self._wake.set()

    def _find_targets(self, now_s: float) -> None:
        self._is_stale, self._targets_s = False, now_s
        wanted = {target.host_id: target for target in targets(self._host_id, self._store)}
        for gone in self._probed.keys() - wanted.keys():
            del self._probed[gone]
        for host, target in wanted.items():
            probed = self._probed.get(host)
            if probed is None:
                self._probed[host] = _Probed(target, now_s)
                continue
            if probed.target == target:
                continue
            probed.target = target
            probed.path.set_ceiling(target.ceiling, now_s)
            if probed.address not in target.addresses:
                probed.turn_to_next_address()
            probed.due_s = math.inf if target.is_apart else min(probed.due_s, now_s)

    def _send(self, probed: _Probed, now_s: float) -> None:
        size = probed.path.size(now_s)
        slot = probed.slot = (probed.slot + 1) % Overlay.OVERLAY_PROBE_SLOTS
        sent = _Sent(self._random_bytes(8), size, self._now_ns())
        probed.sent[slot] = sent
        probed.pending, probed.pending_size = slot, size
        probed.deadline_s = now_s + probed.path.timeout_s
        place = destination(self._host_id, probed.target, probed.address, self._store)
        if place is None or not self._send_to(place, probed, slot, sent):
            del probed.sent[slot]
            # No answer can come; a short pause all the same, for the reason may pass.
            probed.deadline_s = now_s + _LOOKS_S[-1]

    def _send_to(self, place: Destination, probed: _Probed, slot: int, sent: _Sent) -> bool:
        size = packet_size(sent.size, probed.address, place)
        source = place.sources[0]
        if len(place.sources) > 1:
            routed = self._wire.source(place.address)
            source = routed if routed in place.sources else source
        payload = request(self._tag, slot, sent.nonce, size, place.address.version)
        return self._wire.send(source, place.address, payload)

    def _collect(self) -> None:
        """Take the answers that have come, and give up those that take too long."""
        waiting = [probed for probed in self._probed.values() if probed.sent]
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
        for probed in self._probed.values():
            if probed.pending is not None and now_s >= probed.deadline_s:
                self._lost(probed, now_s)

    def _arrived(self, probed: _Probed, slot: int, rtt_s: float, now_s: float) -> None:
        size = probed.sent.pop(slot).size
        probed.path.arrived(size, max(0.0, rtt_s), now_s)
        if slot == probed.pending:
            probed.pending = None
            probed.due_s = self._turn_s(probed, now_s) if probed.path.is_settled else now_s

    def _lost(self, probed: _Probed, now_s: float) -> None:
        probed.pending = None
        probed.path.lost(probed.pending_size, now_s)
        if probed.path.is_failing and len(probed.target.addresses) > 1:
            probed.turn_to_next_address()
        probed.due_s = self._turn_s(probed, now_s) if probed.path.is_broken else now_s

    def _turn_s(self, probed: _Probed, now_s: float) -> float:
        """The next turn of a path: many share one moment, so that weftd sleeps the more."""
        count = len(self._probed)
        interval_s = max(INTERVAL_S, count / _PATHS_A_SECOND)
        moments = math.ceil(count / _BURST)
        phase_s = probed.target.tag % max(1, moments) * interval_s / max(1, moments)
        return (math.floor((now_s - phase_s) / interval_s) + 1) * interval_s + phase_s

    def _tell(self) -> None:
        told = {host: state[:3] for host, state in self.states().items()}
        if told != self._told:
            self._told = told
            self.on_change()

    async def _sleep(self) -> None:
        wake_s = min((self._wake_s(probed) for probed in self._probed.values()), default=math.inf)
        if self._is_stale:
            wake_s = min(wake_s, self._targets_s + _TARGETS_S)
        delay_s = None if wake_s == math.inf else max(0.0, wake_s - self._now_s())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._wake.wait()

    def _wake_s(self, probed: _Probed) -> float:
        if probed.pending is None:
            return probed.due_s
        sent = probed.sent.get(probed.pending)
        if sent is None:
            return probed.deadline_s
        elapsed_s = (self._now_ns() - sent.sent_ns) / 1e9
        look_s = next((each for each in _LOOKS_S if each > elapsed_s), elapsed_s + _LOOKS_S[-1])
        return min(probed.deadline_s, sent.sent_ns / 1e9 + look_s)
