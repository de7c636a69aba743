"""Control: one method per intent. The only way in for every frontend.

All methods run on the event loop. A method that changes something returns when the change is
durable and, where it touches forwarding, in force in the kernel; it raises an error of
`weft.errors` with nothing half done otherwise. All are idempotent in the sense each says.
References (`network: str`, `port: str`) are a name, ``tenant/name``, an id, or the unambiguous
beginning of an id; NotFoundError lists near names.

Implemented by `weft.control.control.Control`. A fake is not needed: `Control` over a memory
store and an empty engine is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from weft.control.address_report import LeaseReport, SubnetReport
from weft.control.cluster_interface import Encryption, Hosts
from weft.control.conflicts import Conflict
from weft.control.followers import Followers
from weft.control.multicast import GroupReport
from weft.control.notices import Notices
from weft.control.specs import (
    AttachSpec,
    MulticastWord,
    NameSpec,
    NetworkSpec,
    PortSpec,
    SubnetSpec,
)
from weft.model.addresses import IPAddress
from weft.model.choices import ReservationReason
from weft.model.ids import NetworkId, PortId, SubnetId
from weft.model.records import (
    Device,
    DockerNetwork,
    Host,
    Name,
    Network,
    Owner,
    Port,
    PublishedPort,
    Record,
    Reservation,
    Subnet,
)
from weft.store.interface import Listener, View


class Networks(Protocol):
    """Networks and their subnets."""

    def find(self, reference: str) -> Network:
        """The network that a reference names; NotFoundError."""
        ...

    def list(self) -> Sequence[Network]:
        """All networks, by name."""
        ...

    def subnets(self, network: Network) -> Sequence[Subnet]:
        """Its subnets, IPv4 first."""
        ...

    async def create(self, spec: NetworkSpec, adopt: Sequence[SubnetId] = ()) -> Network:
        """Make a network. `adopt` names pools (subnets without a network) that become its.

        ConflictError: the name is taken, a subnet overlaps another network's or a host's route.
        """
        ...

    async def rename(self, reference: str, name: str, labels: Mapping[str, str] = ...) -> Network:
        """Give a network another name, and labels beside those that it has; ConflictError when the
        name is taken. Nothing new: nothing happens."""
        ...

    async def set_multicast(self, reference: str, multicast: MulticastWord) -> Network:
        """Say to whom multicast goes on a network, on all hosts."""
        ...

    async def remove(self, reference: str) -> Network:
        """Remove a network with its subnets, names and reservations, on all hosts; InUseError names
        the workloads on it and their hosts.

        The hosts' own places (expose) go with it, and what it is in other systems.
        """
        ...

    def users(self, network: Network) -> Sequence[Port]:
        """Ports of all hosts that keep a network from being removed."""
        ...

    async def merge(self, network_id: NetworkId, into: NetworkId) -> Network:
        """Remove a network that nobody uses, in favour of another: what this host's Docker calls so
        is the other from then on, and subnets that it lacks become its. InUseError."""
        ...


class Ports(Protocol):
    """Ports of this host."""

    def find(self, reference: str) -> Port:
        """By id, beginning of an id, or one of its names (``NAME`` or ``NAME.NETWORK``)."""
        ...

    def list(self, network: str | None = None) -> Sequence[Port]:
        """All ports, or those of one network, by id."""
        ...

    async def add(self, spec: PortSpec) -> Port:
        """Make a port, addresses and all; with a device it is plugged in when this returns."""
        ...

    async def add_with_id(self, spec: PortSpec, port_id: PortId) -> Port:
        """Like `add`, for a port whose id follows from something known beforehand.

        The same id again returns the port as it is.
        """
        ...

    async def plug(self, port_id: PortId, device: Device) -> Port:
        """Give a port its device. The same device again changes nothing."""
        ...

    async def unplug(self, port_id: PortId, *, is_awaited: bool = True) -> Port:
        """Take the device away; the port keeps its addresses.

        Not `is_awaited`: return when it is durable; the device goes soon after (the kernel takes
        tens of milliseconds to remove one).
        """
        ...

    async def update(
        self,
        port_id: PortId,
        *,
        names: Iterable[str] | None = None,
        owner: Owner | None = None,
        published: Sequence[PublishedPort] | None = None,
    ) -> Port:
        """Change what may change in a living port."""
        ...

    async def remove(self, port_id: PortId, *, is_awaited: bool = True) -> None:
        """Remove a port; its addresses go to rest. Nothing happens if it is gone already.

        `is_awaited` as for `unplug`.
        """
        ...

    async def attach(self, spec: AttachSpec) -> Port:
        """Plug in something that runs; the same target and network again returns the port."""
        ...

    async def detach(self, target: str, network: str) -> None:
        """Undo `attach`. Nothing happens if it is not attached."""
        ...

    def device_names(self, port_id: PortId) -> tuple[str, str]:
        """Names for a port's two device ends, derived from its id: (host's, peer's)."""
        ...


class Addresses(Protocol):
    """Pools and single addresses, for frontends with an IPAM of their own."""

    async def request_pool(
        self, spec: SubnetSpec, *, family: int, tenant: str = "default"
    ) -> Subnet:
        """A subnet that waits for its network. The same cidr again, while it waits here or while
        it belongs to a network, returns the one that is there when ranges agree; else
        ConflictError.
        """
        ...

    def is_anothers(self, subnet: Subnet) -> bool:
        """Whether it waits for a network that another host is about to make. It is no pool of
        this host: made from one, two networks would take it away from each other."""
        ...

    async def release_pool(self, subnet_id: SubnetId) -> None:
        """Remove a waiting pool. Nothing happens if it is gone or belongs to a network."""
        ...

    async def reserve(
        self,
        subnet_id: SubnetId,
        address: IPAddress | None,
        reason: ReservationReason,
        lifetime_s: float | None = None,
    ) -> Reservation:
        """Take one address (None: any free one) out of a subnet until it is released, or until
        `lifetime_s` is over.

        `reason`: ``gateway`` or ``docker``. ConflictError names the holder of a taken one.
        A later `Ports.add` with this address takes the reservation over.
        """
        ...

    async def release(self, subnet_id: SubnetId, address: IPAddress) -> None:
        """Give a reservation back; the address goes to rest. Nothing happens if it is not held,
        or held by a port."""
        ...

    def subnet_reports(self) -> Sequence[SubnetReport]:
        """Who owns which addresses. Linear in ports and blocks."""
        ...

    def lease_reports(self) -> Sequence[LeaseReport]:
        """How each host holds its blocks, this one first."""
        ...


class Names(Protocol):
    """DNS names added by hand."""

    def list(self, network: str | None = None) -> Sequence[Name]:
        """All names, or those of one network."""
        ...

    async def add(self, spec: NameSpec) -> Name:
        """Add addresses or targets to a name; what is there already stays."""
        ...

    async def remove(self, name: str, network: str, addresses: Sequence[IPAddress] = ()) -> None:
        """Remove a name, or only some of its addresses."""
        ...


class HostAccess(Protocol):
    """The host's own place on a network."""

    async def expose(self, network: str, addresses: Sequence[IPAddress] = ()) -> Port:
        """Give the host a place (one address a family). Again: the place that it has."""
        ...

    async def hide(self, network: str) -> None:
        """Undo `expose`. Nothing happens if the host has no place there."""
        ...


class Multicast(Protocol):
    """Who gets multicast."""

    def groups(self, reference: str | None = None) -> Sequence[GroupReport]:
        """Groups with members, of all networks or one, by network. Linear in their ports."""
        ...

    def group_counts(self) -> Mapping[Network, int]:
        """How many groups have members, for each network that has such."""
        ...

    async def add(self, network: str, group: IPAddress, port: str | None = None) -> None:
        """Make a port of this host a member of a group, whatever it reports; None: all ports of
        the network, on all hosts. Again: nothing happens."""
        ...

    async def remove(self, network: str, group: IPAddress, port: str | None = None) -> None:
        """Undo `add`; what a port has joined by itself stays. NotFoundError: nobody added it."""
        ...


class Control(Protocol):
    """Everything a frontend may ask for."""

    @property
    def networks(self) -> Networks:
        """Networks and their subnets."""
        ...

    @property
    def ports(self) -> Ports:
        """Ports of this host."""
        ...

    @property
    def addresses(self) -> Addresses:
        """Pools and single addresses."""
        ...

    @property
    def names(self) -> Names:
        """DNS names added by hand."""
        ...

    @property
    def host_access(self) -> HostAccess:
        """The host's own place on a network."""
        ...

    @property
    def multicast(self) -> Multicast:
        """Who gets multicast."""
        ...

    @property
    def hosts(self) -> Hosts:
        """The hosts of the cluster, and how one leaves it."""
        ...

    @property
    def encryption(self) -> Encryption:
        """Encryption between all hosts."""
        ...

    @property
    def view(self) -> View:
        """The records, to read."""
        ...

    @property
    def host(self) -> Host:
        """This host's own record."""
        ...

    @property
    def notices(self) -> Notices:
        """What frontends cannot make true in the systems that they serve."""
        ...

    @property
    def followers(self) -> Followers:
        """Other systems that follow the records."""
        ...

    def conflicts(self) -> Sequence[Conflict]:
        """What hosts made without knowing of each other that does not go together. Linear in the
        records."""
        ...

    def watch(self, listener: Listener) -> Callable[[], None]:
        """See `Store.watch`."""
        ...

    async def put_docker_network(self, record: DockerNetwork) -> None:
        """Remember which network one of Docker's is."""
        ...

    async def remove_docker_network(self, docker_id: str) -> None:
        """Forget it."""
        ...

    def holders(self, address: IPAddress, network: Network) -> Sequence[Record]:
        """Ports and reservations that hold an address."""
        ...
