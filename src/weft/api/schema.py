"""What the API answers: one struct an answer, of its own, so that records may change beneath it.

These forms are stable: fields are added, never renamed, removed or given another meaning
(docs/json.md). Addresses and prefixes are text. Times are Unix seconds. Lists come inside an
object, so that facts about the list can be added. What the API is asked is `weft.control.specs`
and, where a request has no spec of its own, the structs at the end of this module.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from weft.control.specs import Spec
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import MacAddress
from weft.model.records import AllowedAddress, PublishedPort

Scalar = str | int | float | bool | None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is answered."""


class HostInfo(Answer, frozen=True, kw_only=True):
    """A machine that runs weftd."""

    id: str
    name: str
    underlay: tuple[str, ...]
    """Addresses under which other hosts reach it."""
    mtu_bytes: int
    """Of the underlay device."""
    network_mtu_bytes: int
    """For networks that name none: what the underlay carries, less the encapsulation."""
    resolvers: tuple[str, ...]
    """DNS servers whose queries from workloads weftd answers."""
    version: str
    is_local: bool
    """Whether it is the host that answers."""
    mesh_port: int = 6783
    """TCP port of its links to other hosts."""
    state: Literal["local", "connected", "indirect", "lost"] = "local"
    """local: the host that answers. connected: a link is up. indirect: no link, but other hosts
    reach it. lost: nobody who is reached reaches it."""
    since_s: float | None = None
    """Since when it is connected, reached or lost, as far as this weftd has seen; null: not known,
    or the host that answers."""
    address: str | None = None
    """Under which this host reaches it, or tries to."""
    path: Literal["direct", "relayed", "broken"] | None = None
    """How packets of networks get there; null: nothing is known."""
    relayed_by: str | None = None
    """Name of the host that takes them first."""
    path_mtu_bytes: int | None = None
    """Largest underlay packet that passes both ways; null: not measured."""
    rtt_s: float | None = None
    """Round trip over the link."""
    encryption: Literal["plain", "encrypted", "none"] | None = None
    """How packets are sent there; none: one of the two hosts must encrypt and the other cannot."""
    clock_offset_s: float | None = None
    """How far its clock is ahead of that of the host that answers."""
    reason: str = ""
    """Why there is no link, or what else is wrong."""
    fix: str = ""
    """What to do."""


class AttemptInfo(Answer, frozen=True, kw_only=True):
    """An attempt to link that failed or was refused, of no host that is known."""

    address: str
    """That was dialed, or from which somebody came."""
    host_id: str | None
    """null: it was not learnt."""
    is_outgoing: bool
    """Whether the host that answers made it."""
    is_clone: bool
    """Whether two live machines have the host id."""
    at_s: float
    """The last time."""
    reason: str
    fix: str


class HostList(Answer, frozen=True, kw_only=True):
    """All hosts, by name."""

    hosts: tuple[HostInfo, ...]
    attempts: tuple[AttemptInfo, ...] = ()
    """The latest first."""
    is_removed: bool = False
    """Whether the host that answers was removed from its cluster, as far as it has heard."""


class LeaveInfo(Answer, frozen=True, kw_only=True):
    """A host that has given up its place in the cluster."""

    host: str
    """Its name."""
    is_confirmed: bool
    """Whether another host has confirmed that it heard of it; false also when there is none."""


class RotationInfo(Answer, frozen=True, kw_only=True):
    """The cluster's token, without the token."""

    secret_id: str
    """Names the newest secret: a hash, nothing to hide."""
    is_rotating: bool
    """Whether the one before counts as well, until all hosts have confirmed this one."""
    unconfirmed: tuple[str, ...]
    """Names of hosts that have not confirmed it."""


class EncryptedHostInfo(Answer, frozen=True, kw_only=True):
    """How far a host is."""

    id: str
    name: str
    is_able: bool
    """Whether it has WireGuard at all."""
    stage: str
    """``off``: sends and takes plain. ``accepts``: sends plain, takes both. ``sends``: sends
    encrypted, takes both. ``refuses``: sends encrypted, and takes nothing else."""
    is_in_force: bool
    """Whether its kernel has followed."""
    public_key: str | None
    """Base64, as wg(8) shows it."""
    port: int | None
    """UDP."""


class EncryptionInfo(Answer, frozen=True, kw_only=True):
    """How traffic between hosts is encrypted."""

    is_encrypted: bool
    """What is wanted."""
    is_settled: bool
    """Whether all hosts are there."""
    plain: tuple[str, ...]
    """Between two hosts with underlay addresses in one of these it is not encrypted."""
    hosts: tuple[EncryptedHostInfo, ...]
    """All hosts, by name."""
    waits_for: tuple[str, ...]
    """What the host that answers waits for before its next step, in words."""
    obstacle: str
    """Why the host that answers cannot encrypt; empty: it can."""
    key_made_s: float | None
    """When the keys of the host that answers were made; null: it has none."""
    problem: str
    """Why these keys are older than they should be; empty: they are not."""


class KeyInfo(Answer, frozen=True, kw_only=True):
    """New keys."""

    public_key: str
    """Base64, as wg(8) shows it."""


class RangeInfo(Answer, frozen=True, kw_only=True):
    """All addresses from `first` to `last`, both included."""

    first: str
    last: str


class SubnetInfo(Answer, frozen=True, kw_only=True):
    """An address prefix on a network."""

    id: str
    cidr: str
    gateway: str | None
    ranges: tuple[RangeInfo, ...]
    """Addresses are given only from these; empty: from all of the prefix."""
    excludes: tuple[RangeInfo, ...]
    """Never given, unless asked for by name."""
    allocator: Literal["weft", "docker"]
    """Who hands out addresses."""
    is_forced: bool
    """Whether an overlap with a route of the host was accepted."""


class SubnetList(Answer, frozen=True, kw_only=True):
    """The subnets of a network, in the order of their prefixes."""

    subnets: tuple[SubnetInfo, ...]


class NetworkInfo(Answer, frozen=True, kw_only=True):
    """A network."""

    id: str
    name: str
    tenant: str
    vni: int
    is_internal: bool
    """Whether nothing leads from it to the outside of the host."""
    is_exposed: bool
    """Whether this host itself has a place on it (`weft expose`)."""
    mtu_bytes: int | None
    """null: what the underlay carries, less the encapsulation."""
    effective_mtu_bytes: int
    """The MTU that ports on this host get."""
    labels: dict[str, str]
    subnets: tuple[SubnetInfo, ...]
    port_count: int
    """Ports on this host, the host's own place not counted."""
    total_port_count: int = 0
    """Ports on all hosts, the hosts' own places not counted."""


class NetworkList(Answer, frozen=True, kw_only=True):
    """All networks, by tenant and name."""

    networks: tuple[NetworkInfo, ...]


class AllowedInfo(Answer, frozen=True, kw_only=True):
    """A source prefix that a port may use beside its own addresses."""

    cidr: str
    mac: str | None
    """null: the port's own."""


class DeviceInfo(Answer, frozen=True, kw_only=True):
    """The veth pair of a port."""

    ifname: str
    """The host's end."""
    peer_ifname: str
    """The workload's end."""
    netns: str | None
    """Path of the workload's network namespace; null: somebody else moved the peer."""


class OwnerInfo(Answer, frozen=True, kw_only=True):
    """For whom a port exists."""

    frontend: Literal["docker", "cli", "host"]
    reference: str
    """The frontend's own id: Docker's endpoint id, the attach request's target."""
    container_id: str
    container_name: str


class PublishedInfo(Answer, frozen=True, kw_only=True):
    """A port of the host that leads to a port of the workload."""

    protocol: Literal["tcp", "udp", "sctp"]
    host_port: int
    port: int
    host_address: str | None
    """null: every address of the host."""


class PortInfo(Answer, frozen=True, kw_only=True):
    """A workload's place on a network."""

    id: str
    network: str
    """The network's name."""
    network_id: str
    host: str
    """The name of the host that it lives on."""
    host_id: str
    mac: str
    addresses: tuple[str, ...]
    names: tuple[str, ...]
    allowed: tuple[AllowedInfo, ...]
    is_spoof_checked: bool
    device: DeviceInfo | None
    """null: nothing is plugged in, or it is the host's own place."""
    owner: OwnerInfo
    published: tuple[PublishedInfo, ...]
    problems: tuple[str, ...]
    """What of it the kernel refused, and why; empty when all is well."""


class PortList(Answer, frozen=True, kw_only=True):
    """Ports of all hosts, by network, name and host."""

    ports: tuple[PortInfo, ...]


class WhyInfo(Answer, frozen=True, kw_only=True):
    """How a host or a port is reached from the host that answers, link by link."""

    host: HostInfo
    port: PortInfo | None
    """null: it was asked for a host."""
    is_reachable: bool
    """Whether packets should get there, as far as is known."""
    explanation: tuple[str, ...]
    """In sentences, the most telling first."""
    fix: str


class NameInfo(Answer, frozen=True, kw_only=True):
    """A name that DNS answers."""

    name: str
    network: str
    """The network's name."""
    network_id: str
    fqdn: str
    """With network and domain: ``db.foo.weft.internal``."""
    addresses: tuple[str, ...]
    services: tuple[str, ...]
    """``PRIORITY WEIGHT PORT TARGET`` each (RFC 2782)."""
    source: Literal["added", "port"]
    """Whether somebody added it by hand or ports carry it."""


class NameList(Answer, frozen=True, kw_only=True):
    """Names, by network and name."""

    names: tuple[NameInfo, ...]


class NetworkDetail(NetworkInfo, frozen=True, kw_only=True):
    """A network with all that is on it."""

    ports: tuple[PortInfo, ...]
    names: tuple[NameInfo, ...]


class LookupRecord(Answer, frozen=True, kw_only=True):
    """One record of a DNS answer."""

    name: str
    type: str
    ttl_s: int
    data: str


class LookupInfo(Answer, frozen=True, kw_only=True):
    """What DNS answers to a question."""

    name: str
    """The full name that was asked for."""
    type: str
    rcode: str
    """``NOERROR``, ``NXDOMAIN``, ``SERVFAIL`` …"""
    records: tuple[LookupRecord, ...]


class CountersInfo(Answer, frozen=True, kw_only=True):
    """What a port received and sent, as its workload sees it, since its device was made."""

    port_id: str
    network: str
    names: tuple[str, ...]
    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    drops: dict[str, int]
    """Packets dropped, by reason; reasons that never happened are left out."""


class CountersList(Answer, frozen=True, kw_only=True):
    """Counters of the ports of this host, by network and name."""

    counters: tuple[CountersInfo, ...]
    wire_drops: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Packets dropped that other hosts sent, or that claimed so: by device, and by reason."""


class Problem(Answer, frozen=True, kw_only=True):
    """Something that is wanted and could not be made true."""

    kind: str
    """Of the record: ``port``, ``network``, ``host`` …; ``dns`` for a socket of the DNS server,
    ``database`` for the records as a whole; empty when it belongs to no record."""
    id: str
    name: str
    reason: str
    fix: str
    """What to do about it."""


class ProblemList(Answer, frozen=True, kw_only=True):
    """What is not as it should be."""

    problems: tuple[Problem, ...]


class ConflictInfo(Answer, frozen=True, kw_only=True):
    """Records that contradict each other, made by hosts that did not know of each other."""

    kind: Literal["name", "subnet", "address", "lost-network"]
    """``name``: networks that are called alike; ``subnet``: subnets of networks of one tenant that
    overlap; ``address``: ports of a network that have one address; ``lost-network``: ports on a
    network that was removed."""
    ids: tuple[str, ...]
    """Of the networks, or for ``address`` of the ports."""
    subject: str
    """What they share: the name, the prefix, the address."""
    reason: str
    fix: str
    """What to do about it."""


class ConflictList(Answer, frozen=True, kw_only=True):
    """What hosts did apart that does not go together. All of it works on as it is."""

    conflicts: tuple[ConflictInfo, ...]


class StatusInfo(Answer, frozen=True, kw_only=True):
    """The state of weftd on this host."""

    version: str
    is_ready: bool
    """Whether the kernel holds what the records say, as far as it can, and DNS is served."""
    pid: int
    started_s: float
    host: HostInfo
    settings: dict[str, Scalar]
    network_count: int
    port_count: int
    problem_count: int
    host_count: int = 1
    """Hosts of the cluster, this one included."""
    lost_host_count: int = 0
    """Those that are not reached."""
    is_removed: bool = False
    """Whether this host was removed from its cluster, as far as it has heard."""
    conflict_count: int = 0
    """Records of several hosts that contradict each other."""


class ReconcileInfo(Answer, frozen=True, kw_only=True):
    """Looks at whether the kernel still holds what it should, since weftd started."""

    run_count: int
    repaired_count: int
    """Rows that had to be put right."""
    failed_count: int
    """Rows that cannot be put right now."""


class FactsInfo(Answer, frozen=True, kw_only=True):
    """What only the daemon knows, for `weft doctor`."""

    resident_bytes: int
    cpu_s: float
    """User and system time of all threads since the start."""
    memlock_bytes: int | None
    """null: unlimited."""
    resolvers: tuple[str, ...]
    """Where queries for other domains are sent."""
    reconcile: ReconcileInfo
    dns: dict[str, int]
    """Counts of the DNS server, by name."""


class Accepted(Answer, frozen=True, kw_only=True):
    """The request was taken; what it asks for happens after this answer."""

    pid: int


class ShareInfo(Answer, frozen=True, kw_only=True):
    """What one host owns of a subnet. Counts beyond 2**63 - 1 are said as that."""

    host_id: str
    host: str
    """Its name."""
    blocks: tuple[str, ...]
    """``FIRST-LAST`` or one address each; what is never given (network, gateway) is in them too."""
    address_count: int
    """Addresses that can be given."""
    free_count: int
    """Of these, those that nobody has."""
    reserve_count: int
    """Of `address_count`, those that are never taken from the host unless it is forgotten."""
    coming_count: int
    """Of `address_count`, those that it was given and has not taken up yet."""


class SubnetShares(Answer, frozen=True, kw_only=True):
    """Who owns what of a subnet."""

    subnet_id: str
    cidr: str
    network: str | None
    """Name; null: a pool that waits for its network."""
    shares: tuple[ShareInfo, ...]
    """By host name."""


class LeaseInfo(Answer, frozen=True, kw_only=True):
    """How a host holds its blocks."""

    host_id: str
    host: str
    """Its name."""
    is_local: bool
    """Whether it is the host that answers."""
    quorum: tuple[str, ...]
    """Names of the hosts of its lease quorum, itself among them."""
    state: Literal["held", "fenced", "returning", "lost", "given-up"]
    """held: as it should be. fenced: it reaches no majority of its quorum and gives only what is in
    its reserve. returning: restored from a backup, it has not heard yet what it gave away since.
    lost: not reached. given-up: its quorum has decided who takes its leased blocks."""
    since_s: float | None
    """Since when; null: not known, or held."""
    until_s: float | None
    """When its leased blocks are taken if it is not back; null: not at any set time."""
    reason: str
    """What it means and what ends it; empty: held."""


class IpamInfo(Answer, frozen=True, kw_only=True):
    """Who owns which addresses."""

    subnets: tuple[SubnetShares, ...]
    leases: tuple[LeaseInfo, ...]
    """The host that answers comes first."""


class PortRequest(Spec, frozen=True, kw_only=True):
    """A port with every field explicit. Without a target it waits for its device."""

    network: str
    """Name, ``tenant/name``, id, or the unambiguous beginning of an id."""
    target: str | None = None
    """A container's name or id, a pid, or the path of a network namespace, to plug it into."""
    addresses: tuple[IPAddress, ...] = ()
    """Families of the network that none is named for get one each."""
    mac: MacAddress | None = None
    names: tuple[str, ...] = ()
    ifname: str | None = None
    """Needs a target. null: the first free of eth0, eth1, …"""
    allowed: tuple[AllowedAddress, ...] = ()
    is_spoof_checked: bool = True
    is_default_route: bool = True
    published: tuple[PublishedPort, ...] = ()


class RenameRequest(Spec, frozen=True, kw_only=True):
    """Another name for a network."""

    name: str


class ExposeRequest(Spec, frozen=True, kw_only=True):
    """Give the host itself a place on a network."""

    addresses: tuple[IPAddress, ...] = ()
    """Families of the network that none is named for get one each."""


class EncryptRequest(Spec, frozen=True, kw_only=True):
    """How it shall be."""

    is_encrypted: bool
    plain: tuple[IPNetwork, ...] | None = None
    """Exceptions; null: as they are."""


class ForceQuery(Spec, frozen=True, kw_only=True):
    """Says that somebody insists."""

    force: bool = False


class Empty(Spec, frozen=True, kw_only=True):
    """A query without parameters."""


class NetworkQuery(Spec, frozen=True, kw_only=True):
    """Limits a list to one network."""

    network: str | None = None


class DetachQuery(Spec, frozen=True, kw_only=True):
    """Says what to unplug from where."""

    target: str
    network: str


class RemoveNameQuery(Spec, frozen=True, kw_only=True):
    """Limits a removal to some addresses of the name."""

    address: tuple[IPAddress, ...] = ()


class LookupQuery(Spec, frozen=True, kw_only=True):
    """A DNS question."""

    name: str
    """An address stands for its reverse name when the type is PTR."""
    type: str | None = None
    """null: PTR for an address, A for anything else."""
    network: str | None = None
    """Ask as a workload of this network would; null: as the host would."""
