"""Everything a frontend may ask for, in one place: one method per intent, the only way in.

All methods run on the event loop. A method that changes something returns when the change is
durable and, where it touches forwarding, in force in the kernel; it raises an error of
`weft.errors` with nothing half done otherwise. All are idempotent in the sense each says.
References (`network: str`, `port: str`) are a name, ``tenant/name``, an id, or the unambiguous
beginning of an id; NotFoundError lists near names.

Tests take `Control` itself, over a memory store and an engine that has everything in force at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from weft.cluster.standing import Members
from weft.control.addresses import Addresses
from weft.control.answers.conflict import Conflict
from weft.control.answers.conflicts import conflicts
from weft.control.context import Context
from weft.control.encryption import Encryption
from weft.control.followers import Followers
from weft.control.groups import Groups
from weft.control.host_access import HostAccess
from weft.control.hosts import Hosts, Records
from weft.control.multicast import Multicast
from weft.control.names import Names
from weft.control.networks import Networks
from weft.control.notices import Notices
from weft.control.pools import Pools
from weft.control.ports import Ports
from weft.control.rehearsal import NothingFollows, Rehearsal, RehearsedSpace
from weft.control.reservations import Reservations
from weft.control.routers import Routers
from weft.control.subnets import Subnets
from weft.control.tenants import Tenants
from weft.model.addresses import IPAddress
from weft.model.ids import BindingId
from weft.model.records import Binding, Host, Network, Record
from weft.store.interface import Changed, Delete, Listener, Put, View
from weft.store.overlay import Overlay


class Control:
    """Everything a frontend may ask for."""

    def __init__(self, context: Context, members: Members, records: Records) -> None:
        self._context = context
        self._parts = members, records
        self.addresses = Addresses(context)
        self.reservations = Reservations(context, self.addresses)
        subnets = Subnets(context)
        self.pools = Pools(context, subnets, self.reservations)
        self.tenants = Tenants(context)
        self.networks = Networks(context, subnets, self.reservations)
        self.routers = Routers(context, self.addresses)
        self.ports = Ports(context, self.addresses, self.reservations)
        self.names = Names(context)
        self.groups = Groups(context)
        self.host_access = HostAccess(context, self.ports)
        self.encryption = Encryption(context)
        self.multicast = Multicast(context)
        self.hosts = Hosts(context, members, records)
        self.notices = Notices()
        self.followers = Followers()
        self._conflicts: Sequence[Conflict] | None = None
        context.store.watch(self._forget_conflicts)

    @property
    def view(self) -> View:
        """The records, to read."""
        return self._context.view

    @property
    def host(self) -> Host:
        """This host's own record."""
        return self._context.host

    def conflicts(self) -> Sequence[Conflict]:
        """What hosts made without knowing of each other that does not go together. Linear in the
        records, if any has changed since the last time."""
        if self._conflicts is None:
            self._conflicts = conflicts(self._context.view)
        return self._conflicts

    def watch(self, listener: Listener) -> Callable[[], None]:
        """See `Store.watch`."""
        return self._context.store.watch(listener)

    @contextlib.asynccontextmanager
    async def rehearse(self) -> AsyncIterator[Rehearsal]:
        """Several intents that shall be done together; see `control.rehearsal`. Nothing else is
        done meanwhile, so nobody must be waited for inside."""
        async with self._context.lock:
            overlay = Overlay(self._context.view)
            space = RehearsedSpace(self._context.space, self._context.view)
            over = self._context.over(overlay, NothingFollows(), space)
            yield Rehearsal(self._context, overlay, Control(over, *self._parts))

    async def bind(self, record: Binding) -> None:
        """Remember which record an object of another system is."""
        async with self._context.lock:
            await self._context.commit([Put(record)])

    async def unbind(self, binding_id: BindingId) -> None:
        """Forget it."""
        async with self._context.lock:
            await self._context.commit([Delete(Binding, binding_id)])

    def holders(self, address: IPAddress, network: Network) -> Sequence[Record]:
        """Ports and reservations that hold an address."""
        return self.addresses.holders(address, network)

    def _forget_conflicts(self, _: Sequence[Changed]) -> None:
        self._conflicts = None
