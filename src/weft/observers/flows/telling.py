"""Entries of flows in the words of records: networks, rules, and times that people read."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping

from weft.kernel.bpf.flow_table import FlowTable
from weft.kernel.bpf.layouts import FlowFlag, FlowState
from weft.model.ids import NetworkId
from weft.model.records import Network, Port
from weft.observers.flows.entries import Direction, Place
from weft.observers.flows.seen import Denial, FlowSeen, FlowWord
from weft.observers.flows.sweep import Pair
from weft.store.interface import View

_CLOCK = 2**32
_WORDS = {
    FlowState.FLOW_NEW: FlowWord.NEW,
    FlowState.FLOW_ESTABLISHED: FlowWord.ESTABLISHED,
    FlowState.FLOW_CLOSING: FlowWord.CLOSING,
    FlowState.FLOW_CLOSED: FlowWord.CLOSED,
}


class Moment:
    """What a clock of entries and one on the wall said at the same time."""

    def __init__(self, now: int, wall_s: float, jiffies_per_s: int) -> None:
        self.clock = now
        self.wall_s = wall_s
        self._jiffies_per_s = jiffies_per_s

    def wall(self, clock: int) -> float:
        """Unix time of a moment in the past, to the hundredth; what came a moment later is now."""
        age = (self.clock - clock) % _CLOCK
        passed_s = age / self._jiffies_per_s if age < _CLOCK // 2 else 0.0
        return round(self.wall_s - passed_s, 2)


Rules = Mapping[int, str]
"""Ids of rules by their numbers."""


def rules_of(table: FlowTable, *pairs: Iterable[Pair]) -> Rules:
    """The rules that these connections name."""
    flows = [pair.first.flow for each in pairs for pair in each]
    numbers = {each for flow in flows for each in (flow.egress_rule, flow.ingress_rule)}
    found = {number: rule_id(table, number) for number in numbers}
    return {number: id for number, id in found.items() if id is not None}


def rule_id(table: FlowTable, number: int) -> str | None:
    """What the records call a rule, or a group that denies. None: nobody has the number."""
    raw = table.rule_id(number) if number else b""
    return str(uuid.UUID(bytes=raw)) if any(raw) else None


class Telling:
    """Of one look at a table: networks that were found once are remembered."""

    def __init__(
        self,
        view: View,
        port_of: Callable[[int], Port | None],
        rules: Rules,
        moment: Moment,
    ) -> None:
        """port_of: the port behind a device of this host, by its ifindex."""
        self._view = view
        self._port_of = port_of
        self._rules = rules
        self._moment = moment
        self._networks: dict[Place, NetworkId | None] = {}

    def flow(self, pair: Pair, *, is_ended: bool = False) -> FlowSeen:
        """A connection. is_ended: it has just been removed; or it will be at the next sweep, and
        its entry says so."""
        first, answer = pair
        flow = first.flow
        is_ended = is_ended or not flow.generation
        back = answer.flow if answer is not None else None
        return FlowSeen(
            protocol=first.protocol,
            source=first.source,
            destination=first.destination,
            source_port=first.source_port,
            destination_port=first.destination_port,
            network_id=self._network(first),
            state=_word(first),
            packets=flow.packets,
            octets=flow.octets,
            answer_packets=back.packets if back is not None else 0,
            answer_octets=back.octets if back is not None else 0,
            began_s=self._moment.wall(flow.created),
            seen_s=max(self._moment.wall(each.seen) for each in (flow, back) if each is not None),
            ended_s=round(self._moment.wall_s, 2) if is_ended else None,
            denied_by=_denial(first),
            egress_rule=self._rules.get(flow.egress_rule),
            ingress_rule=self._rules.get(flow.ingress_rule),
        )

    def _network_of(self, place: Place) -> NetworkId | None:
        if place not in self._networks:
            self._networks[place] = self._find(place)
        return self._networks[place]

    def _network(self, first: Direction) -> NetworkId | None:
        return self._network_of(first.place) or self._network_of(first.opposite_place)

    def _find(self, place: Place) -> NetworkId | None:
        if place.is_port:
            port = self._port_of(place.number)
            return port.network_id if port is not None else None
        return next((each.id for each in self._view.by(Network, "vni", place.number)), None)


def _word(first: Direction) -> FlowWord:
    if first.is_denied:
        return FlowWord.DENIED
    return _WORDS.get(FlowState(first.flow.state), FlowWord.NEW)


def _denial(first: Direction) -> Denial | None:
    if not first.is_denied:
        return None
    is_ingress = first.flow.flags & FlowFlag.FLOW_AT_INGRESS
    return Denial.INGRESS if is_ingress else Denial.EGRESS
