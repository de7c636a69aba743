"""Which flows are asked for: of the entries in a table, and of those that are remembered."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from functools import cache
from ipaddress import ip_address
from typing import NamedTuple

from weft.kernel.bpf import flow_table
from weft.kernel.bpf.flow_table import FlowTable
from weft.kernel.bpf.layouts import FlowFlag, FlowKind
from weft.kernel.bpf.maps import Batch
from weft.observers.flows.entries import Direction, Place, decode
from weft.observers.flows.scope import Scope
from weft.observers.flows.screen import Columns
from weft.observers.flows.seen import FlowsAsked, FlowSeen

_CLOCK = 2**32 - 1
_FUTURE = 2**31
_DENIED, _ANSWERS = int(FlowFlag.FLOW_DENIED), int(FlowFlag.FLOW_ANSWERS)


class _Entry(NamedTuple):
    """One that begins a connection, and may be wanted."""

    age: int
    """Since it was made. The least is the first."""
    is_ipv6: bool
    key: bytes
    value: bytes


class Chosen(NamedTuple):
    """What of a table is wanted."""

    directions: list[Direction]
    is_whole: bool
    """False: there are more, which began earlier."""


class Choice:
    """What an inquiry wants."""

    def __init__(
        self, asked: FlowsAsked, scope: Scope, network_of: Callable[[Place], str | None]
    ) -> None:
        """scope: of the networks that are asked for. network_of: where a place is."""
        self._asked = asked
        self._scope = scope
        self._network_of = cache(network_of)
        self._packed = frozenset(address.packed for address in asked.addresses)

    def of_table(self, table: FlowTable, now: int, jiffies_per_s: int) -> Chosen:
        """Connections in the table, those that began last. now: the clock of the entries."""
        asked = self._asked
        age_s = asked.since_s if asked.changed_s is None else asked.changed_s
        age = _CLOCK if age_s is None else int(age_s * jiffies_per_s)
        found = heapq.nsmallest(
            asked.most + 1,
            (
                entry
                for is_ipv6 in (False, True)
                for batch in table.batches(is_ipv6)
                for entry in self._entries(batch, is_ipv6, now, age)
            ),
        )
        chosen = [decode(each.key, each.value, each.is_ipv6) for each in found[: asked.most]]
        return Chosen(chosen, len(found) <= asked.most)

    @property
    def wants_ended(self) -> bool:
        """Whether those count that have ended, too."""
        asked = self._asked
        is_timed = asked.since_s is not None or asked.changed_s is not None
        return is_timed or asked.is_denied is True

    def is_wanted(self, flow: FlowSeen, now_s: float) -> bool:
        """Of one that is remembered."""
        asked = self._asked
        if asked.since_s is not None and flow.seen_s < now_s - asked.since_s:
            return False
        if asked.changed_s is not None and (flow.ended_s or now_s) < now_s - asked.changed_s:
            return False
        if asked.is_denied is not None and asked.is_denied is not (flow.denied_by is not None):
            return False
        if not self._scope.has(flow.network_id, flow.source, flow.destination):
            return False
        return not asked.addresses or bool({flow.source, flow.destination} & {*asked.addresses})

    def _entries(self, batch: Batch, is_ipv6: bool, now: int, most_age: int) -> Iterator[_Entry]:
        columns = Columns.of(batch, is_ipv6)
        size, value_size = flow_table.KEY_SIZES[is_ipv6], flow_table.VALUE_SIZE
        is_denied, wants_ended = self._asked.is_denied, self.wants_ended
        when = columns.seen if self._asked.changed_s is None else columns.created
        for at, (state, since, generation) in enumerate(
            zip(columns.state, when, columns.generation)
        ):
            if state & _ANSWERS or not (generation or wants_ended):
                continue
            if is_denied is not None and is_denied is not bool(state & _DENIED):
                continue
            if most_age < (now - since) & _CLOCK < _FUTURE:
                continue
            key = bytes(batch.keys[at * size : (at + 1) * size])
            if self._packed and not self._has_address(key, is_ipv6):
                continue
            if self._asked.network_ids and not self._is_in_scope(columns, at, key, is_ipv6):
                continue
            age = (now - columns.created[at]) & _CLOCK
            value = bytes(batch.values[at * value_size : (at + 1) * value_size])
            yield _Entry(age if age < _FUTURE else 0, is_ipv6, key, value)

    def _is_in_scope(self, columns: Columns, at: int, key: bytes, is_ipv6: bool) -> bool:
        place = Place(FlowKind(columns.protocol[at] >> 8 & 255), columns.place[at])
        network_id = self._network_of(place)
        if not self._scope.may_have(network_id):
            return False
        length = 16 if is_ipv6 else 4
        ends = key[:length], key[length : 2 * length]
        return self._scope.has(network_id, *(ip_address(each) for each in ends))

    def _has_address(self, key: bytes, is_ipv6: bool) -> bool:
        length = 16 if is_ipv6 else 4
        return key[:length] in self._packed or key[length : 2 * length] in self._packed
