"""Sweeps the tables of flows, remembers what ended, and tells what is there.

The programs need nobody for flows that go on; without weftd none ends, and the tables fill. A weftd
that starts finds all of them in the kernel, but for those that had ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from weft.cluster.inquiry import Cut, Terms
from weft.errors import KernelError
from weft.kernel.bpf import features, flow_table
from weft.kernel.bpf.flow_limits import FlowLimits
from weft.kernel.bpf.flow_table import FlowTable
from weft.model.records import Network, Port, SecurityGroup, SecurityRule
from weft.observers.flows.choosing import Choice
from weft.observers.flows.entries import Place
from weft.observers.flows.following import FollowedFlows, Followers
from weft.observers.flows.history import History
from weft.observers.flows.interface import News, RuleCount, Table, Told
from weft.observers.flows.pace import rest_s
from weft.observers.flows.rule_log import FlowLog, RuleLog
from weft.observers.flows.scope import Scope, scope_of
from weft.observers.flows.screen import Screen
from weft.observers.flows.seen import FlowsAsked, FlowSeen
from weft.observers.flows.sweep import FULL, Pair, Sweeper, Swept, partner
from weft.observers.flows.telling import Moment, Rules, Telling, rule_id, rules_of
from weft.store.interface import View

AGAIN_S = 1.0
"""Until the programs are looked for again."""
TOGETHER = 256
"""Flows that are told before others get their turn."""

log = structlog.get_logger()


class _Look(NamedTuple):
    """What of the table is asked for."""

    pairs: list[Pair]
    is_whole: bool
    moment: Moment
    rules: Rules


class Collector:
    """Of the programs that are pinned below a directory. Implements `interface.Flows`."""

    def __init__(
        self,
        view: View,
        bpffs_dir: Path,
        limits: FlowLimits,
        port_of: Callable[[int], Port | None],
        flow_log: FlowLog,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """port_of: the port behind a device of this host, by its ifindex; from any thread."""
        self._flow_log = flow_log
        self._rule_log = RuleLog(view)
        self._view = view
        self._bpffs_dir = bpffs_dir
        self._limits = limits
        self._port_of = port_of
        self._wall_s = wall_s
        self._history = History()
        self._followers = Followers()
        self._due = asyncio.Event()
        self._sweeper: Sweeper | None = None
        self.table = Table()
        self._ended = 0
        self._was_full = False

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._due.clear()
                rest = await self._sweep()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest):
                        await self._due.wait()
        finally:
            self._followers.end()

    async def told(self, asked: FlowsAsked) -> Told:
        """See `interface.Flows`. Reading is done in a thread, and its cost bounded by the table."""
        scope = scope_of(self._view, asked.network_ids)
        choice = Choice(asked, scope, self._networks_of(scope))
        look = await asyncio.to_thread(self._look, choice)
        flows = await self._tell(look.moment, look.rules, look.pairs)
        is_whole = look.is_whole
        if choice.wants_ended:
            now_s = self._wall_s()
            flows += [each for each in self._history.latest() if choice.is_wanted(each, now_s)]
        flows.sort(key=lambda flow: -flow.began_s)
        return Told(flows[: asked.most], is_whole and len(flows) <= asked.most)

    async def answer(self, asked: FlowsAsked, terms: Terms) -> AsyncGenerator[FlowSeen, None]:
        """Handler of `seen.FLOWS`."""
        told = await self.told(asked)
        for flow in told.flows:
            yield flow
        if not told.is_whole:
            raise Cut

    async def rule_counts(self) -> Sequence[RuleCount]:
        """See `interface.Flows`."""
        rules = sum(1 for _ in self._view.list(SecurityRule))
        groups = sum(1 for _ in self._view.list(SecurityGroup))
        try:
            return await asyncio.to_thread(self._read_rule_counts, 2 * (rules + groups) + 64)
        except KernelError:
            return ()

    def follow(self) -> FollowedFlows:
        """See `interface.Flows`."""
        follower = self._followers.add()
        self._due.set()
        return follower

    async def _sweep(self) -> float:
        """How long to rest afterwards."""
        logs = self._rule_log.is_wanted()
        try:
            swept, moment, rules = await asyncio.to_thread(self._swept, logs)
        except KernelError as error:
            log.debug("no flows are looked at", reason=str(error))
            return AGAIN_S
        ended = await self._tell(moment, rules, swept.ended, is_ended=True)
        begun = await self._tell(moment, rules, swept.begun)
        for flow in ended:
            self._history.add(flow, moment.wall_s)
        self._ended += swept.removed
        self.table = _table(swept, self._ended)
        self._tell_fullness(swept)
        if self._followers:
            self._followers.tell(News(begun, ended, swept.untold))
        self._flow_log.write(list(self._rule_log.lines(begun, time.monotonic())))
        return rest_s(
            swept.cost_s,
            is_followed=bool(self._followers) or logs,
            is_crowded=swept.fullness >= FULL,
        )

    def _swept(self, logs: bool) -> tuple[Swept, Moment, Rules]:
        """In a thread."""
        if self._sweeper is None:
            self._sweeper = Sweeper(Screen(self._limits, features.jiffies_per_s()))
        with FlowTable(self._bpffs_dir) as table:
            swept = self._sweeper.sweep(table, tells_begun=bool(self._followers) or logs)
            return swept, self._moment(swept.now), rules_of(table, swept.ended, swept.begun)

    def _read_rule_counts(self, most: int) -> Sequence[RuleCount]:
        """In a thread."""
        with FlowTable(self._bpffs_dir) as table:
            counts = table.rule_counts(most)
            ids = {number: rule_id(table, number) for number in counts}
        return [RuleCount(ids[number], *count) for number, count in counts.items()]

    def _look(self, choice: Choice) -> _Look:
        """In a thread."""
        with FlowTable(self._bpffs_dir) as table:
            moment = self._moment(flow_table.now())
            chosen = choice.of_table(table, moment.clock, features.jiffies_per_s())
            pairs = [Pair(one, partner(table, one)) for one in chosen.directions]
            return _Look(pairs, chosen.is_whole, moment, rules_of(table, pairs))

    def _moment(self, clock: int) -> Moment:
        return Moment(clock, self._wall_s(), features.jiffies_per_s())

    async def _tell(
        self, moment: Moment, rules: Rules, pairs: Sequence[Pair], *, is_ended: bool = False
    ) -> list[FlowSeen]:
        """In the words of the records, which only the event loop may read."""
        telling = Telling(self._view, self._port_of, rules, moment)
        flows: list[FlowSeen] = []
        for pair in pairs:
            flows.append(telling.flow(pair, is_ended=is_ended))
            if len(flows) % TOGETHER == 0:
                await asyncio.sleep(0)
        return flows

    def _networks_of(self, scope: Scope) -> Callable[[Place], str | None]:
        """On which network of a scope a place is, if on any; for any thread."""
        found = (self._view.get(Network, id) for id in scope.networks | scope.near)
        by_vni: dict[int, str] = {
            network.vni: network.id for network in found if network is not None
        }

        def network_of(place: Place) -> str | None:
            if not place.is_port:
                return by_vni.get(place.number)
            port = self._port_of(place.number)
            return port.network_id if port is not None else None

        return network_of

    def _tell_fullness(self, swept: Swept) -> None:
        is_full = swept.fullness >= FULL
        if is_full and not self._was_full:
            log.warning(
                "table of flows nearly full, what nobody answers is forgotten after 5 s",
                fullness=round(swept.fullness, 2),
            )
        self._was_full = is_full


def _table(swept: Swept, ended: int) -> Table:
    return Table(
        entries={6 if is_ipv6 else 4: count for is_ipv6, count in swept.entries.items()},
        room={6 if is_ipv6 else 4: count for is_ipv6, count in swept.room.items()},
        made=swept.counts.made,
        refused=swept.counts.refused,
        over_share=sum(hold.refused for hold in swept.holds.values()),
        ended=ended,
    )
