"""Mends what several hosts did without knowing of each other.

Every host looks at the same records and comes to the same changes. So that not all of them write
these changes, one of the hosts that are reached goes first (`topology.first`), and the others only
when it did not. A conflict that cannot be mended without asking somebody is in `conflicts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

import structlog

from weft.cancellation import raise_if_cancelled
from weft.control.context import Context
from weft.control.vnis import renumbered
from weft.errors import WeftError
from weft.model.ids import GroupId, NetworkId, RuleId, SubnetId
from weft.model.records import (
    Network,
    Port,
    Reservation,
    SecurityGroup,
    SecurityRule,
    Subnet,
)
from weft.store.interface import Change, Changed, Delete, Put
from weft.topology.first import goes_first

PATIENCE_S = 5.0
"""For how long a host leaves to the first one a change that any host could write; and between two
tries."""
log = structlog.get_logger()


class Healer:
    """A long-lived part. Hears of every change from the moment it is made."""

    def __init__(self, context: Context, clock: Callable[[], float]) -> None:
        self._context = context
        self._clock = clock
        self._due = asyncio.Event()
        self._removed: dict[NetworkId, Network] = {}
        self._removed_subnets: dict[SubnetId, Subnet] = {}
        self._removed_groups: set[GroupId] = set()
        self._waiting_since_s: float | None = None
        self._due.set()
        context.store.watch(self._hear)

    async def run(self) -> None:
        """Mend until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            again_s = await self._try()
            if again_s is not None:
                asyncio.get_running_loop().call_later(again_s, self._due.set)

    async def heal(self) -> float | None:
        """Mend everything that can be mended now; returns after how many seconds to look again, if
        at all."""
        async with self._context.lock:
            changes = [*self._put_back(), *self._leftovers()]
            shared = renumbered(self._context.view)
            orphans = list(self._orphans())
            is_waiting = bool(shared or orphans)
            is_first = goes_first(self._context.host_id, self._context.view)
            is_mine = is_first or self._is_out_of_patience(is_waiting)
            if is_mine:
                changes += [Put(network) for network in shared]
                changes += [Delete(SecurityRule, id) for id in orphans]
            if changes:
                await self._context.store.write(changes)
            self._removed.clear()
            self._removed_subnets.clear()
            if is_mine or not orphans:
                self._removed_groups.clear()
        for network in shared if is_mine else ():
            log.warning("network has another VNI, its own was taken", network=network.name)
        return PATIENCE_S if is_waiting and not is_mine else None

    async def _try(self) -> float | None:
        try:
            return await self.heal()
        except WeftError as error:
            log.warning("records not mended", reason=str(error))
            raise_if_cancelled()
            return PATIENCE_S

    def _hear(self, changes: Sequence[Changed]) -> None:
        for old, new in changes:
            if isinstance(new, Network):
                if len(tuple(self._context.view.by(Network, "vni", new.vni))) > 1:
                    self._due.set()
            elif isinstance(old, Network):
                self._removed[old.id] = old
                self._due.set()
            elif isinstance(old, SecurityGroup) and new is None:
                self._removed_groups.add(old.id)
                self._due.set()
            elif isinstance(old, Subnet) and new is None:
                self._removed_subnets[old.id] = old
                self._due.set()

    def _put_back(self) -> Iterator[Change]:
        """A network that was removed elsewhere while something of this host came to be on it is in
        use, so it is not removed."""
        view = self._context.view
        for id, network in self._removed.items():
            if view.get(Network, id) is not None or not self._is_used_here(id):
                continue
            log.warning("network put back, it is in use here", network=network.name)
            yield Put(network)
            for subnet in self._removed_subnets.values():
                if subnet.network_id == id and view.get(Subnet, subnet.id) is None:
                    yield Put(subnet)

    def _is_used_here(self, id: NetworkId) -> bool:
        here = self._context.host_id
        ports = self._context.view.by(Port, "network_id", id)
        return any(port.host_id == here and not port.is_host for port in ports)

    def _leftovers(self) -> Iterator[Change]:
        """The changes that remove records of this host alone from a network that another host
        removed."""
        view, here = self._context.view, self._context.host_id
        for id in self._removed:
            if view.get(Network, id) is None and not self._is_used_here(id):
                for port in view.by(Port, "network_id", id):
                    if port.host_id == here:
                        yield Delete(Port, port.id)
        for subnet_id, subnet in self._removed_subnets.items():
            is_back = subnet.network_id is not None and self._is_used_here(subnet.network_id)
            if view.get(Subnet, subnet_id) is None and not is_back:
                for reservation in view.by(Reservation, "subnet_id", subnet_id):
                    if reservation.host_id == here:
                        yield Delete(Reservation, reservation.id)

    def _orphans(self) -> Iterator[RuleId]:
        """Rules that a host has added to a group while another host removed the group."""
        view = self._context.view
        for id in self._removed_groups:
            if view.get(SecurityGroup, id) is None:
                yield from (rule.id for rule in view.by(SecurityRule, "group_id", id))

    def _is_out_of_patience(self, is_waiting: bool) -> bool:
        if not is_waiting:
            self._waiting_since_s = None
            return False
        if self._waiting_since_s is None:
            self._waiting_since_s = self._clock()
        return self._clock() - self._waiting_since_s >= PATIENCE_S
