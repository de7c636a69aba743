"""Everything a frontend may ask for, in one place. See `interface` for the contracts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weft.cluster.standing import Members
from weft.control.addresses import Addresses
from weft.control.conflicts import Conflict, conflicts
from weft.control.context import Context
from weft.control.encryption import Encryption
from weft.control.followers import Followers
from weft.control.host_access import HostAccess
from weft.control.hosts import Hosts, Records
from weft.control.multicast import Multicast
from weft.control.names import Names
from weft.control.networks import Networks
from weft.control.notices import Notices
from weft.control.ports import Ports
from weft.model.addresses import IPAddress
from weft.model.records import DockerNetwork, Host, Network, Record
from weft.store.interface import Delete, Listener, Put, View


class Control:
    """See `interface.Control`."""

    def __init__(
        self,
        context: Context,
        members: Members | None = None,
        records: Records | None = None,
    ) -> None:
        """members: None: there are no other hosts."""
        self._context = context
        self.addresses = Addresses(context)
        self.networks = Networks(context, self.addresses)
        self.ports = Ports(context, self.addresses)
        self.names = Names(context)
        self.host_access = HostAccess(context, self.ports)
        self.encryption = Encryption(context)
        self.multicast = Multicast(context)
        self.hosts = Hosts(context, members, records)
        self.notices = Notices()
        self.followers = Followers()

    @property
    def view(self) -> View:
        """The records, to read."""
        return self._context.view

    @property
    def host(self) -> Host:
        """This host's own record."""
        return self._context.host

    def conflicts(self) -> Sequence[Conflict]:
        """See `interface.Control.conflicts`."""
        return conflicts(self._context.view)

    def watch(self, listener: Listener) -> Callable[[], None]:
        """See `interface.Control.watch`."""
        return self._context.store.watch(listener)

    async def put_docker_network(self, record: DockerNetwork) -> None:
        """See `interface.Control.put_docker_network`."""
        async with self._context.lock:
            await self._context.commit([Put(record)])

    async def remove_docker_network(self, docker_id: str) -> None:
        """See `interface.Control.remove_docker_network`."""
        async with self._context.lock:
            await self._context.commit([Delete(DockerNetwork, docker_id)])

    def holders(self, address: IPAddress, network: Network) -> Sequence[Record]:
        """See `interface.Control.holders`."""
        return self.addresses.holders(address, network)
