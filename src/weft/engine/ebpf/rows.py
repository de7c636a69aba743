"""The ebpf engine's tables: name, key and value of each.

The first group are BPF maps (layouts in ``bpf/abi.h``; the sink turns names of devices into
ifindexes and these structs into bytes). The second are the kernel objects around them. The sink
applies tables in the order of `ORDER` and deletes in the reverse order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec

from weft.model.addresses import IPAddress, IPNetwork

WEFT0 = "weft0"
"""The host's end of the pair that joins the host to its networks; Weft's addresses live there."""
WEFT1 = "weft1"
"""The inner end, on which `from_host` runs."""
WEFTX = "weftx"
"""The VXLAN device: encapsulates where BPF does not, and `from_overlay` runs on what it unpacks."""
WEFTWG = "weftwg"
"""The WireGuard device, where this host encrypts."""


class PortValue(NamedTuple):
    """`ports`: ifname of the host's end -> what `from_port` must know of the sender."""

    vni: int
    mac: str
    slot: int
    is_spoof_checked: bool
    ipv4: IPAddress | None
    """First address of the family, checked without another lookup; the rest are in `allowed`."""
    ipv6: IPAddress | None
    is_internal: bool
    mtu_bytes: int


class _Many(msgspec.Struct, frozen=True, gc=False):
    """Of tables with hundreds of thousands of rows: half as large as a tuple."""


class AddressKey(_Many, frozen=True):
    """`addresses`: (VNI, address) -> where it lives."""

    vni: int
    address: IPAddress


class AddressValue(_Many, frozen=True):
    """Exactly one of `ifname`, `is_gateway`, `is_host`, `host` says where the address lives."""

    mac: str
    ifname: str = ""
    """A local port: the host's end of its veth."""
    is_gateway: bool = False
    is_host: bool = False
    """The host's own place on the network."""
    host: int = 0
    """Tag of another host, for `tunnels`."""


class MacKey(_Many, frozen=True):
    """`macs`: (VNI, MAC) -> where frames to it go."""

    vni: int
    mac: str


class MacValue(_Many, frozen=True):
    """A local port (`ifname`), the host's own place, or another host."""

    ifname: str = ""
    is_host: bool = False
    host: int = 0
    """Tag of another host, for `tunnels`."""


@lru_cache(maxsize=4096)
def mac_at_host(host: int) -> MacValue:
    """The same object for all MACs that are there."""
    return MacValue(host=host)


class NetworkValue(NamedTuple):
    """`networks`: VNI -> facts of the network on this host."""

    is_internal: bool
    slot_count: int
    """Highest slot in use on this host, plus one: how far a broadcast must look."""
    has_unknown: bool
    """Some port may hold addresses that no record names (spoof check off, or allowed prefixes):
    ARP and ND for unknown addresses are flooded instead of dropped."""
    is_snooping: bool = False
    """Multicast goes to members alone: `multicast_groups`."""


class FloodKey(NamedTuple):
    """`flood`: (VNI, slot) -> the port's device. A hole in the slots is skipped."""

    vni: int
    slot: int


class ReplicaKey(_Many, frozen=True):
    """`replicas`: (VNI, tag) -> tag of the next other host that gets what is flooded.

    A chain for each network that this host has ports on: it begins at tag 0, its tags rise, and
    after the last one there is no row.
    """

    vni: int
    after: int


class MulticastKey(_Many, frozen=True):
    """`multicast_groups`: (VNI, multicast address) -> a group that has members."""

    vni: int
    group: IPAddress


class MulticastValue(NamedTuple):
    """Who they are, beside those in `multicast_ports` and `multicast_hosts`."""

    is_flooded: bool = False
    """All ports of the network are members."""


class MemberKey(_Many, frozen=True):
    """`multicast_ports`: (VNI, multicast address, slot) -> device of a port that is a member.

    `multicast_hosts`: (VNI, multicast address, tag) -> that tag, of another host with members.
    """

    vni: int
    group: IPAddress
    member: int


class TunnelValue(NamedTuple):
    """`tunnels`: tag of another host -> how packets get there.

    Says nothing of next hops: the table finds them in the kernel's routes and neighbours.
    """

    remote: IPAddress
    """Outer destination: an address of the host, of the relay, or inside WireGuard."""
    sources: tuple[IPAddress, ...]
    """This host's addresses of the same family: the outer source is the one that the route to
    `remote` names if it is among them, else the first. Never empty."""
    mtu_bytes: int
    """The largest packet of a network that goes through."""
    is_device: bool = False
    """The VXLAN device encapsulates, because the setting says so."""
    destination_tag: int = 0
    """Not 0: `remote` is a relay, which is told this tag."""
    is_encrypted: bool = False
    """`remote` is inside WireGuard: packets go by its device and by no other."""


class PeerValue(NamedTuple):
    """`peers`: outer source -> whose packets come from there. This host's own addresses are here
    as well: what claims to come from them is forged."""

    tag: int
    is_encrypted: bool = False
    """An address inside WireGuard: never taken off an underlay device."""
    is_refused: bool = False
    """The plain address of a host that must encrypt: nothing is taken from it."""


class OverlayDeviceValue(NamedTuple):
    """`overlay_devices`: ``weftx`` -> the VXLAN device, on the UDP port of the settings."""


class WireValue(NamedTuple):
    """`wires`: address of this host on the underlay -> the program on the device that holds it."""

    program: str = "from_wire"


class WireGuardValue(NamedTuple):
    """`wireguard`: ``weftwg`` -> the device, its address and the route to all others'."""

    public_key: str
    """Base64. The private key is found by it in the state directory, and is in no row."""
    port: int
    """UDP."""
    address: IPAddress | None
    """This host's inside WireGuard; None, which no row ever wants: it does not reach the others."""
    mtu_bytes: int


class WireGuardPeerValue(NamedTuple):
    """`wireguard_peers`: public key of another host -> where it is."""

    address: IPAddress
    """Inside WireGuard: the one source that is taken from it."""
    endpoint: IPAddress
    """On the underlay."""
    port: int


class AllowedKey(NamedTuple):
    """`allowed`: (ifname, prefix) -> a source that this port may use; longest prefix wins."""

    ifname: str
    prefix: IPNetwork


class AllowedValue(NamedTuple):
    """The MAC that must go with the address; empty: the port's own."""

    mac: str = ""


class SubnetKey(NamedTuple):
    """`subnets`: (VNI, prefix) -> that the prefix belongs to this network; longest wins."""

    vni: int
    prefix: IPNetwork


class SubnetValue(NamedTuple):
    """`gateway` None: nothing is routed into or out of it."""

    gateway: IPAddress | None


class HostPrefixValue(NamedTuple):
    """`host_prefixes`: prefix -> the network to which the host sends what goes there."""

    vni: int


class ResolverValue(NamedTuple):
    """`resolvers`: address of a resolver of the host -> (nothing): queries to it are Weft's."""


class DeviceValue(NamedTuple):
    """`devices`: ifname of the host's end -> the veth pair of a port."""

    peer_ifname: str
    netns: str | None
    netns_inode: int | None
    """With `netns`: the namespace that is meant; another one at the same path is not it."""
    mac: str
    mtu_bytes: int
    addresses: tuple[tuple[IPAddress, int], ...]
    """(address, prefix length) to put on the peer, when `netns` is given."""
    routes: tuple[tuple[IPNetwork, IPAddress], ...]
    """(prefix, gateway) to add in `netns` unless there is a route to that prefix."""
    vni: int


class QueryRouteValue(NamedTuple):
    """`query_routes`: ifname of the host's end -> routes of its workload, for queries alone."""

    netns: str
    mac: str
    """Of the workload's end, whose name there is not Weft's to choose."""
    routes: tuple[tuple[IPNetwork, IPAddress], ...]


class FilterKey(NamedTuple):
    """`filters`: (ifname, hook) -> the program on it."""

    ifname: str
    hook: str = "ingress"


class FilterValue(NamedTuple):
    """`program`: ``from_port``, ``from_host`` or ``from_overlay``."""

    program: str


class HostAddressValue(NamedTuple):
    """`host_addresses`: address on ``weft0`` -> its prefix length."""

    prefix_length: int


class HostRouteValue(NamedTuple):
    """`host_routes`: prefix -> route through ``weft0``, with the source the host should use.

    `own_routes`: the same in a routing table of Weft's own, for prefixes for which the main one
    leads somewhere else.
    """

    source: IPAddress | None = None


class RuleValue(NamedTuple):
    """`rules`: what is looked up before the host's own rules are asked.

    Version of IP -> packets with Weft's mark, in `own_routes`.
    Prefix that is Weft's own -> what goes there, in the main table.
    """


class NftKey(NamedTuple):
    """`nftables`: one fact of Weft's own table.

    ``("masquerade", prefix)``  what leaves the host from here gets the host's address
    ``("internal", prefix)``    is never forwarded to or from the outside
    ``("exposed", prefix)``     the host itself may open connections to it
    ``("contested", prefix)``   the host's main routing table may lead somewhere else
    ``("hosts", prefix)``       another host's address on the underlay, or this one's
    ``("underlay", prefix)``    this host's own
    ``("doors", Door)``         where a host waits for others: not for workloads
    ``("gateway", prefix)``     value is the gateway: source of what is DNATed into the prefix
    ``("publish", PublishKey)`` value is PublishTarget
    ``("proxy", PublishKey)``   the same, where a process takes clients: `semantics.proxied`
    """

    set: str
    element: object


class Door(NamedTuple):
    """Where a host waits for other hosts: of the mesh, of WireGuard."""

    address: IPAddress
    protocol: str
    port: int


class PublishKey(NamedTuple):
    """Published ports of the host in a row; `host_address` None is every address of the family."""

    protocol: str
    host_port: int
    host_address: IPAddress | None
    family: int
    """4 or 6."""
    length: int = 1
    """How many, from `host_port` on."""


class PublishTarget(NamedTuple):
    """Where the first of them leads; the next leads to the next port."""

    address: IPAddress
    port: int


PORTS = "ports"
ADDRESSES = "addresses"
MACS = "macs"
NETWORKS = "networks"
FLOOD = "flood"
ALLOWED = "allowed"
SUBNETS = "subnets"
HOST_PREFIXES = "host_prefixes"
RESOLVERS = "resolvers"
DEVICES = "devices"
QUERY_ROUTES = "query_routes"
FILTERS = "filters"
HOST_ADDRESSES = "host_addresses"
HOST_ROUTES = "host_routes"
OWN_ROUTES = "own_routes"
RULES = "rules"
NFTABLES = "nftables"
TUNNELS = "tunnels"
PEERS = "peers"
REPLICAS = "replicas"
MULTICAST_GROUPS = "multicast_groups"
MULTICAST_PORTS = "multicast_ports"
MULTICAST_HOSTS = "multicast_hosts"
OVERLAY_DEVICES = "overlay_devices"
WIRES = "wires"
WIREGUARD = "wireguard"
WIREGUARD_PEERS = "wireguard_peers"

ORDER: tuple[str, ...] = (
    OVERLAY_DEVICES,
    DEVICES,
    NETWORKS,
    SUBNETS,
    HOST_PREFIXES,
    RESOLVERS,
    ALLOWED,
    PORTS,
    FLOOD,
    WIREGUARD,
    WIREGUARD_PEERS,
    PEERS,
    TUNNELS,
    REPLICAS,
    MULTICAST_PORTS,
    MULTICAST_HOSTS,
    MULTICAST_GROUPS,
    FILTERS,
    WIRES,
    ADDRESSES,
    MACS,
    HOST_ADDRESSES,
    HOST_ROUTES,
    OWN_ROUTES,
    RULES,
    NFTABLES,
    QUERY_ROUTES,
)
"""A port's device comes first and its addresses last, so nobody is sent to a port that cannot
receive; on the way out the addresses go first. So it is with the ways to other hosts."""

LAST_MAP = MACS
"""With its rows all maps are as desired. Only then do programs that are loaded anew take the place
of those that run, so that none ever runs on a map that is still to be filled."""

CHANGED_AT_ONCE = frozenset({NFTABLES, REPLICAS})
"""Their deletes wait for their upserts: nftables' table is replaced whole, and a chain must not end
where its next row has gone and the way past it is not written yet."""
