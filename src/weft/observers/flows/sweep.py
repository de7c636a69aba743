"""One sweep through the table of flows: what is over, or of no use any more, is ended, and what was
ended before is removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from weft.kernel.bpf import flow_table
from weft.kernel.bpf.flow_table import Counts, FlowTable, Hold
from weft.kernel.bpf.layouts import Collected, CollectFlag
from weft.kernel.bpf.maps import Batch
from weft.observers.flows.entries import Direction, decode, partner_key
from weft.observers.flows.screen import Columns, Screen, begun, is_ended, unused

FULL = 0.8
"""From there on connections that nobody has answered make room after 5 s."""
MOST_TOLD = 4096
"""Connections that ended, and such that began, of which one sweep tells; more are counted alone."""
_FAMILIES = (False, True)


class Pair(NamedTuple):
    """A connection: the direction of who began it, and the other one."""

    first: Direction
    answer: Direction | None


class Swept(NamedTuple):
    """What a sweep has found and done."""

    now: int
    """The clock of the entries."""
    entries: dict[bool, int]
    """By whether they are of IPv6; those that it has removed are not among them."""
    room: dict[bool, int]
    removed: int
    ended: list[Pair]
    begun: list[Pair]
    """Since the last sweep."""
    untold: int
    """Connections that ended or began, and are in neither list."""
    counts: Counts
    holds: dict[int, Hold]
    """By the ifindex of a port's device; 0: those without a berth."""
    cost_s: float
    """CPU time."""

    @property
    def fullness(self) -> float:
        """Of the fuller table."""
        return max(self.entries[each] / self.room[each] for each in _FAMILIES)


class Sweeper:
    """Sweeps. Not for two threads at once."""

    def __init__(self, screen: Screen, now: Callable[[], int] = flow_table.now) -> None:
        """now: the clock of the entries."""
        self._screen = screen
        self._now = now
        self._last: int | None = None
        self._is_crowded = {each: False for each in _FAMILIES}
        self._all_used: frozenset[int] | None = None
        """The judged ports with which every entry was of use. None: some are not."""

    def sweep(self, table: FlowTable, *, tells_begun: bool) -> Swept:
        """tells_begun: whether anybody wants to know which have begun."""
        began_s = time.thread_time()
        entries, room = {}, {}
        now = self._now()
        judged = table.judged()
        work = _Work(self._last if tells_begun else None, now, judged, judged != self._all_used)
        for is_ipv6 in _FAMILIES:
            count = removed = 0
            for batch in table.batches(is_ipv6):
                count += batch.entries
                removed += self._batch(table, batch, is_ipv6, work)
            entries[is_ipv6], room[is_ipv6] = count - removed, table.room(is_ipv6)
            work.removed += removed
            self._is_crowded[is_ipv6] = entries[is_ipv6] >= FULL * room[is_ipv6]
        self._last = now
        self._all_used = None if work.unused else judged
        return Swept(
            now=now,
            entries=entries,
            room=room,
            removed=work.removed,
            ended=list(work.ended()),
            begun=list(work.begun(table)),
            untold=work.untold,
            counts=table.counts(),
            holds=dict(table.holds()),
            cost_s=time.thread_time() - began_s,
        )

    def _batch(self, table: FlowTable, batch: Batch, is_ipv6: bool, work: _Work) -> int:
        """How many it has removed."""
        columns = Columns.of(batch, is_ipv6)
        family = CollectFlag.COLLECT_IPV6 if is_ipv6 else CollectFlag(0)
        if self._is_crowded[is_ipv6]:
            family |= CollectFlag.COLLECT_CROWDED
        over = self._screen.over(columns, work.now)
        if work.looks_for_unused:
            found = unused(columns, work.judged)
            work.unused += len(found)
            over = sorted({*over, *found})
        to_end = [at for at in over if not is_ended(columns, at)]
        to_remove = [at for at in over if is_ended(columns, at)]
        keys = [_key(batch, at, is_ipv6) for at in to_end]
        table.collect(keys, family | CollectFlag.COLLECT_END)
        keys = [_key(batch, at, is_ipv6) for at in to_remove]
        said = table.collect(keys, family | CollectFlag.COLLECT_REMOVE)
        gone = [each is Collected.COLLECTED_REMOVED for each in said]
        for at, key, is_gone in zip(to_remove, keys, gone):
            if is_gone:
                work.note_ended(key, _value(batch, at), is_ipv6)
        if work.since is not None:
            for at in begun(columns, work.since, work.now):
                work.note_begun(_key(batch, at, is_ipv6), _value(batch, at), is_ipv6)
        return sum(gone)


class _Work:
    """What a sweep gathers."""

    def __init__(
        self, since: int | None, now: int, judged: frozenset[int], looks_for_unused: bool
    ) -> None:
        self.since = since
        self.now = now
        self.judged = judged
        self.looks_for_unused = looks_for_unused
        self.unused = 0
        self.removed = 0
        self.untold = 0
        self._ended: dict[bytes, Direction] = {}
        self._begun: list[Direction] = []

    def note_ended(self, key: bytes, value: bytes, is_ipv6: bool) -> None:
        if len(self._ended) < 2 * MOST_TOLD:
            self._ended[key] = decode(key, value, is_ipv6)
        else:
            self.untold += 1

    def note_begun(self, key: bytes, value: bytes, is_ipv6: bool) -> None:
        if len(self._begun) >= MOST_TOLD:
            self.untold += 1
        elif not (one := decode(key, value, is_ipv6)).is_answer:
            self._begun.append(one)

    def ended(self) -> Iterator[Pair]:
        """Directions that were removed together are one connection."""
        while self._ended:
            _, one = self._ended.popitem()
            its_partner = partner_key(one)
            other = self._ended.pop(its_partner, None) if its_partner is not None else None
            if one.is_answer and other is not None:
                one, other = other, one
            if not one.is_answer:
                yield Pair(one, other)

    def begun(self, table: FlowTable) -> Iterator[Pair]:
        return (Pair(one, partner(table, one)) for one in self._begun)


def partner(table: FlowTable, one: Direction) -> Direction | None:
    """The other direction, as it is now."""
    is_ipv6 = one.source.version == 6
    key = partner_key(one)
    value = table.lookup(key, is_ipv6) if key is not None else None
    return decode(key, value, is_ipv6) if key is not None and value is not None else None


def _key(batch: Batch, at: int, is_ipv6: bool) -> bytes:
    size = flow_table.KEY_SIZES[is_ipv6]
    return bytes(batch.keys[at * size : (at + 1) * size])


def _value(batch: Batch, at: int) -> bytes:
    size = flow_table.VALUE_SIZE
    return bytes(batch.values[at * size : (at + 1) * size])
