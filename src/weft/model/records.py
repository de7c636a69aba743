"""Records: all state that Weft keeps, one frozen struct a kind.

A record says what somebody wants, never what the kernel happens to hold (no ifindex, no program
id). A host alone writes the records that it owns (those with a `host_id`); the rest are
last-writer-wins. Versions live beside the record in the store's `Entry`, for nothing that reads
records may depend on them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Literal, NamedTuple

import msgspec

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import (
    HostId,
    MacAddress,
    NameId,
    NetworkId,
    PortId,
    ReservationId,
    SubnetId,
    Vni,
)


class Part(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    omit_defaults=True,
    forbid_unknown_fields=False,
):
    """A piece of a record."""


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What the store keeps: an id and facts. `KIND` names the kind on disk and on the wire.

    Nothing in it leads back to it, so the garbage collector need not look at it.

    A field that has its default is left out there, so a default is never changed: a host that runs
    another version would read something else.
    """

    KIND: ClassVar[str]
    id: str


class Host(Record, frozen=True, kw_only=True):
    """A machine that runs weftd. It alone writes its record."""

    KIND = "host"
    id: HostId
    name: str
    underlay: tuple[IPAddress, ...] = ()
    """Addresses under which other hosts reach it."""
    mtu_bytes: int = 1500
    """Of the underlay device: the largest IP packet it carries."""
    network_mtu_bytes: int = 1450
    """For networks that name none: what fits into an underlay packet once encapsulated."""
    resolvers: tuple[IPAddress, ...] = ()
    """DNS servers that this host uses; queries of its workloads to them are Weft's to answer."""
    version: str = ""
    mesh_port: int = 6783
    """TCP port of its links to other hosts."""
    secret_id: str = ""
    """Names the cluster's secret that it has confirmed: a hash, nothing to hide."""
    wireguard: WireGuardEnd | None = None
    """How others encrypt to it; None: it cannot."""


class EncryptionStage(IntEnum):
    """How far a host is with encryption; `topology.encryption` says when it goes on."""

    OFF = 0
    """Sends plain and takes plain; has no WireGuard device."""
    ACCEPTS = 1
    """Sends plain, takes both; its device knows every other host's key."""
    SENDS = 2
    """Sends encrypted, takes both."""
    REFUSES = 3
    """Sends encrypted, and takes nothing else."""


class WireGuardEnd(Part, frozen=True, kw_only=True):
    """A host's end of the encrypted underlay."""

    public_key: str
    """Base64, as wg(8) shows it."""
    port: int
    """UDP, on the addresses of the host's underlay."""
    stage: EncryptionStage = EncryptionStage.OFF
    """What the host does, or is about to do."""
    in_force: EncryptionStage = EncryptionStage.OFF
    """What its kernel does for sure; `stage` once that is through."""
    follows: str = ""
    """`Cluster.encryption_id` of the settings that are in force on it; empty: none ever were."""


class Neighbour(Part, frozen=True, kw_only=True):
    """A host to which another has a link, or whose data path answers."""

    host_id: HostId
    address: IPAddress
    """Of the neighbour, as it is reached."""
    path_mtu_bytes: int = 0
    """Largest underlay packet that passes in both directions; 0: not known yet."""
    is_path_broken: bool = False
    """What the data path sends does not arrive."""
    has_link: bool = True
    """A link of the mesh is up. False: only what the data path is like is known."""


class Neighbours(Record, frozen=True, kw_only=True):
    """Which other hosts one can reach. Written by that host alone; its id is the host's."""

    KIND = "neighbours"
    id: HostId
    host_id: HostId
    neighbours: tuple[Neighbour, ...] = ()
    """By `host_id`, ascending."""

    @property
    def broken(self) -> tuple[HostId, ...]:
        """Those whose data path is broken."""
        return tuple(each.host_id for each in self.neighbours if each.is_path_broken)


class ForgottenHost(Record, frozen=True, kw_only=True):
    """A host that was removed from the cluster (`weft leave`, `weft forget`). Its certificate is
    refused, what it owned is nobody's, and its id never comes back."""

    KIND = "forgotten-host"
    id: HostId
    name: str = ""
    at_s: float = 0.0
    """Wall clock, Unix time."""


class Cluster(Record, frozen=True, kw_only=True):
    """Settings that all hosts share; there is one, with the id ``cluster``."""

    KIND = "cluster"
    id: str = "cluster"
    is_encrypted: bool = False
    """Traffic between hosts goes through WireGuard."""
    plain_underlays: tuple[IPNetwork, ...] = ()
    """With `is_encrypted`: between two hosts whose underlay addresses are both in one of these it
    does not."""
    former_plain_underlays: tuple[IPNetwork, ...] = ()
    """As they were before the last change: what was plain is taken so, until its sender follows."""
    encryption_id: str = ""
    """Another one with every change of the above, so that hosts can say which they follow."""


class Network(Record, frozen=True, kw_only=True):
    """A logical switch: its ports share broadcast, and nothing enters or leaves but by rule."""

    KIND = "network"
    id: NetworkId
    name: str
    vni: Vni
    tenant: str = "default"
    is_internal: bool = False
    """True: no way to the outside of the host."""
    mtu_bytes: int | None = None
    """None: what the underlay carries, less the encapsulation."""
    labels: tuple[tuple[str, str], ...] = ()


class AddressRange(Part, frozen=True, kw_only=True):
    """All addresses from `first` to `last`, both included, of one family."""

    first: IPAddress
    last: IPAddress


class Subnet(Record, frozen=True, kw_only=True):
    """An address prefix on a network, or (network_id None) a pool that waits for its network."""

    KIND = "subnet"
    id: SubnetId
    cidr: IPNetwork
    network_id: NetworkId | None = None
    tenant: str = "default"
    gateway: IPAddress | None = None
    """The same address and MAC on every host. None: the subnet has no way out."""
    ranges: tuple[AddressRange, ...] = ()
    """Addresses are given only from these; empty: from all of the prefix."""
    excludes: tuple[AddressRange, ...] = ()
    """Never given, unless asked for by name."""
    allocator: Literal["weft", "docker"] = "weft"
    """Who hands out addresses. Docker counts up from the start of the prefix, so in a subnet of
    Docker's Weft gives from the end."""
    is_forced: bool = False
    """True: somebody accepted that it overlaps a route of the host."""


class AllowedAddress(Part, frozen=True, kw_only=True):
    """A prefix, and a MAC if not the port's own, that a port may use as its source as well."""

    cidr: IPNetwork
    mac: MacAddress | None = None


class PublishedPort(Part, frozen=True, kw_only=True):
    """A port of the host that leads to a port of the workload (docker -p)."""

    protocol: Literal["tcp", "udp", "sctp"]
    host_port: int
    port: int
    host_address: IPAddress | None = None
    """None: on every address of the host."""


class Device(Part, frozen=True, kw_only=True):
    """How a local port's traffic reaches its workload: a veth pair that Weft makes."""

    ifname: str
    """The host's end. Begins with ``weft``."""
    peer_ifname: str
    """The workload's end. With `netns` its final name; without, the name that it has until
    somebody else (dockerd, a CNI runtime) moves and renames it."""
    netns: str | None = None
    """Path of the workload's network namespace; Weft moves the peer there and gives it MAC,
    addresses and routes. None: the asker does so."""
    netns_inode: int | None = None
    """With `netns`: inode of the namespace that is meant, so that a path that has come to mean
    another one (a pid given again) is never plugged into."""
    is_default_route: bool = True
    """With `netns`: the subnet's gateways become default routes there, if there are none yet."""


class Owner(Part, frozen=True, kw_only=True):
    """For whom a port exists."""

    frontend: Literal["docker", "cli", "host"]
    reference: str = ""
    """The frontend's own id: Docker's endpoint id, the attach request's target."""
    container_id: str = ""
    container_name: str = ""
    sandbox: str = ""
    """Docker's name for the container's network namespace, while the port is in it."""


class Port(Record, frozen=True, kw_only=True):
    """A workload's place on a network. Written by its host alone."""

    KIND = "port"
    id: PortId
    network_id: NetworkId
    host_id: HostId
    mac: MacAddress
    slot: int
    """Smallest number that was free among the ports of this network on this host."""
    addresses: tuple[IPAddress, ...] = ()
    names: tuple[str, ...] = ()
    """DNS labels inside the network: container name, hostname, aliases."""
    allowed: tuple[AllowedAddress, ...] = ()
    is_spoof_checked: bool = True
    device: Device | None = None
    """None: nothing is plugged in (yet, or it is the host's own place, see `owner`)."""
    owner: Owner
    published: tuple[PublishedPort, ...] = ()
    replaces: tuple[PortId, ...] = ()
    """Ports of dead hosts whose addresses it took over: should they live after all, what is sent to
    these addresses is for this port."""

    @property
    def is_host(self) -> bool:
        """Whether this is the host's own place on the network (`weft expose`)."""
        return self.owner.frontend == "host"

    @property
    def place(self) -> Place:
        """By which `View.any` tells whether a host has a port on a network."""
        return Place(self.network_id, self.host_id)

    @property
    def unknown_on(self) -> tuple[NetworkId, ...]:
        """Its network, if it may hold addresses that no record names."""
        return (self.network_id,) if self.allowed or not self.is_spoof_checked else ()


class Place(NamedTuple):
    """A network on a host."""

    network_id: NetworkId
    host_id: HostId


class Name(Record, frozen=True, kw_only=True):
    """A DNS name that somebody added by hand."""

    KIND = "name"
    id: NameId
    name: str
    """Lower case, without the domain: ``db`` or ``_http._tcp.web``."""
    network_id: NetworkId
    addresses: tuple[IPAddress, ...] = ()
    services: tuple[ServiceTarget, ...] = ()
    ttl_s: int = 1


class ServiceTarget(Part, frozen=True, kw_only=True):
    """What an SRV record points to (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str
    """A label of the same network, or a full domain name when it contains a dot."""


class Reservation(Record, frozen=True, kw_only=True):
    """An address of a subnet that may not be given: held by a frontend, or at rest after use."""

    KIND = "reservation"
    id: ReservationId
    subnet_id: SubnetId
    host_id: HostId
    address: IPAddress
    reason: Literal["gateway", "docker", "rest"]
    expires_s: float | None = None
    """Wall clock, Unix time. None: until released."""


class DockerNetwork(Record, frozen=True, kw_only=True):
    """Says which Weft network a network of this host's Docker engine is."""

    KIND = "docker-network"
    id: str
    """Docker's network id, 64 hexadecimal digits."""
    network_id: NetworkId
    host_id: HostId
    name: str = ""
    """Docker's name for it, learnt from its event stream; empty until then."""
    engine: str = ""
    """Tells the engine that had it from one that was set up anew; empty: not known."""
    is_name_awaited: bool = False
    """It was taken for this Weft network by its subnets alone; its name will tell."""
    contradiction: str = ""
    """Why nothing may be put on it: its name is that of another network, from which it differs."""


class Block(Part, frozen=True, kw_only=True):
    """Addresses of a subnet that belong to one host."""

    first: IPAddress
    last: IPAddress
    epoch: int
    """Of two statements about an address the one with the greater epoch holds. A gift adds one; a
    takeover goes to the next multiple of 2**32, past all that the former owner may have said."""
    owner: HostId
    is_reserve: bool = False
    """Never taken from its owner while that is not forgotten."""
    since: int = 0
    """Revision of the writer's statements from which on this may be used: once a majority of its
    lease quorum knows them. 0: at once, for nobody else ever had it."""


class AddressBlocks(Record, frozen=True, kw_only=True):
    """What one host says about a subnet's blocks: those that it owns, and those that it gave away
    until their new owner says the same. `ipam.blocks` finds the one owner of every address."""

    KIND = "address-blocks"
    id: str
    """Derived from subnet and host."""
    subnet_id: SubnetId
    host_id: HostId
    blocks: tuple[Block, ...] = ()
    """Disjoint, ascending."""


class BlockRequest(Record, frozen=True, kw_only=True):
    """A host asks another for addresses of a subnet. It goes when the asker has taken them."""

    KIND = "block-request"
    id: str
    """Derived from subnet and asker."""
    subnet_id: SubnetId
    host_id: HostId
    owner: HostId
    """Who is asked."""
    count: int = 1
    address: IPAddress | None = None
    """This one and no other."""
    is_urgent: bool = False
    """Somebody waits: even the owner's last ones are wanted."""


class LeaseMember(Part, frozen=True, kw_only=True):
    """A host of a lease quorum."""

    host_id: HostId
    generation: int
    """Of `Lease`: after a restored backup a host's votes count no more until it is asked anew."""


class LeaseAck(Part, frozen=True, kw_only=True):
    """A member of a host's lease quorum holds all that the host has stated."""

    host_id: HostId
    """Whose statements."""
    term: int
    revision: int
    generation: int
    digest: str = ""
    """To a host that returns: of its statements, as they are known here."""


class Lease(Record, frozen=True, kw_only=True):
    """How a host holds its leased blocks, and what it acknowledges to others."""

    KIND = "lease"
    id: HostId
    host_id: HostId
    generation: int
    """Another one each time the host was restored from a backup."""
    term: int
    """How often this host's lease quorum has decided about it, and one."""
    members: tuple[LeaseMember, ...]
    """Its lease quorum in this term, itself among them; by `host_id`, ascending."""
    revision: int
    """Counts the changes of its statements (`AddressBlocks`)."""
    digest: str
    """Of its statements at `revision`: who holds others has not heard all of them yet."""
    floor: int = 0
    """Up to this revision a majority of the quorum of an earlier term knew."""
    acks: tuple[LeaseAck, ...] = ()
    """By `host_id`, ascending."""


class Ballot(Part, frozen=True, kw_only=True, order=True):
    """One attempt at a decision; a greater one overtakes a smaller."""

    number: int
    host_id: HostId
    generation: int


class LeaseDecision(Part, frozen=True, kw_only=True):
    """What a lease quorum decides at the end of a term."""

    members: tuple[LeaseMember, ...]
    """The lease quorum of the next term."""
    revision: int
    """Of the host's statements: nothing later counts, unless the host goes on."""
    heir: HostId | None = None
    """Who takes the leased blocks. None: the host goes on."""


class LeaseVote(Record, frozen=True, kw_only=True):
    """One host's part in deciding how another's (or its own) term ends. See `ipam.ballots`."""

    KIND = "lease-vote"
    id: str
    """Derived from subject and voter."""
    host_id: HostId
    subject: HostId
    """About whose lease."""
    generation: int
    """The voter's."""
    term: int
    members: tuple[LeaseMember, ...]
    """The subject's lease quorum in this term."""
    floor: int = 0
    """Of this term, see `Lease`."""
    promised: Ballot | None = None
    """Takes part in no smaller one."""
    revision: int = 0
    """Of the subject's statements, as the voter knew them when it promised."""
    is_released: bool = False
    """Has promised a ballot of somebody else than the subject, which may not use any more what
    this voter has not acknowledged yet, in this term."""
    accepted: Ballot | None = None
    decision: LeaseDecision | None = None
    """What it accepted."""
    proposed: Ballot | None = None
    """A ballot of the voter's own, and what it proposes once a majority has promised."""
    proposal: LeaseDecision | None = None


class LeaseReturn(Record, frozen=True, kw_only=True):
    """A host that was restored from a backup asks what it has stated and forgotten since."""

    KIND = "lease-return"
    id: HostId
    host_id: HostId
    generation: int
    """The one that it will go on under."""


KINDS: tuple[type[Record], ...] = (
    Host,
    Neighbours,
    ForgottenHost,
    Cluster,
    Network,
    Subnet,
    Port,
    Name,
    Reservation,
    DockerNetwork,
    AddressBlocks,
    BlockRequest,
    Lease,
    LeaseVote,
    LeaseReturn,
)
"""Every kind, in the order in which they refer to each other."""
