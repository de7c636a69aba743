"""Machines, whom they reach, and what all of them share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from weft.model.addresses import IPAddress, IPNetwork, ip_network
from weft.model.choices import EncryptionStage
from weft.model.ids import HostId
from weft.model.records.base import Part, Record
from weft.model.service_addresses import is_of_weft
from weft.model.values import (
    Id,
    MtuBytes,
    PathMtuBytes,
    PortNumber,
    PublicKey,
    Text,
    UnixSeconds,
)

MAX_ADDRESSES = 64
MAX_PREFIXES = 256
"""Of a host's links, and of its routes."""
"""Of a host, each a row or several on all others."""


class Host(Record, frozen=True, kw_only=True):
    """A machine that runs weftd. It alone writes its record."""

    KIND = "host"
    INDEXED = ("underlay_links",)
    id: HostId
    name: Text
    underlay: Annotated[tuple[IPAddress, ...], Meta(max_length=MAX_ADDRESSES)] = ()
    """Addresses under which other hosts reach it."""
    mtu_bytes: MtuBytes = 1500
    """Of the underlay device: the largest IP packet it carries."""
    network_mtu_bytes: MtuBytes = 1450
    """For networks that name none: what fits into an underlay packet once encapsulated."""
    resolvers: Annotated[tuple[IPAddress, ...], Meta(max_length=MAX_ADDRESSES)] = ()
    """DNS servers that this host uses; queries of its workloads to them are Weft's to answer."""
    former_resolvers: Annotated[tuple[IPAddress, ...], Meta(max_length=MAX_ADDRESSES)] = ()
    """DNS servers that it used and workloads may still ask: queries to them are Weft's as well."""
    version: Text = ""
    mesh_port: PortNumber = 6783
    """TCP port of its links to other hosts."""
    secret_id: Text = ""
    """Names the cluster's secret that it has confirmed: a hash, nothing to hide."""

    @property
    def underlay_links(self) -> tuple[IPNetwork, ...]:
        """On which links it is, by which others on the same find it: see `link_of`."""
        return tuple(map(link_of, self.underlay))

    def check(self) -> None:
        """See `Record.check`."""
        for address in self.underlay:
            if address.is_multicast or address.is_unspecified or is_of_weft(address):
                raise ValueError(f"underlay {address}: no host can have this address")


def link_of(address: IPAddress) -> IPNetwork:
    """The prefix that hosts on one link have in common, as links mostly are."""
    return ip_network((address, 24 if address.version == 4 else 64), strict=False)


class HostKeys(Record, frozen=True, kw_only=True):
    """A host's end of the encrypted underlay. Written by that host alone; its id is the host's. A
    host without one cannot encrypt."""

    KIND = "host-keys"
    id: HostId
    host_id: HostId
    public_key: PublicKey
    """Of WireGuard: base64, as wg(8) shows it."""
    port: PortNumber
    """UDP, on the addresses of the host's underlay."""
    stage: EncryptionStage = EncryptionStage.OFF
    """What the host does, or is about to do."""
    in_force: EncryptionStage = EncryptionStage.OFF
    """What its kernel does for sure; `stage` once that is through."""
    follows: Text = ""
    """`Cluster.encryption_id` of the settings that are in force on it; empty: none ever were."""


class Neighbour(Part, frozen=True, kw_only=True):
    """A host to which another has a link, or whose data path answers."""

    host_id: HostId
    address: IPAddress
    """Of the neighbour, as it is reached."""
    path_mtu_bytes: PathMtuBytes = 0
    """Largest underlay packet that passes in both directions; 0: not known yet."""
    is_path_broken: bool = False
    """What the data path sends does not arrive."""
    has_link: bool = True
    """A link of the mesh is up. False: only what the data path is like is known."""


class Neighbours(Record, frozen=True, kw_only=True):
    """Which other hosts one can reach. Written by that host alone; its id is the host's."""

    KIND = "neighbours"
    INDEXED = ("broken",)
    id: HostId
    host_id: HostId
    neighbours: tuple[Neighbour, ...] = ()
    """By `host_id`, ascending."""

    @property
    def broken(self) -> tuple[HostId, ...]:
        """Those whose data path is broken."""
        return tuple(each.host_id for each in self.neighbours if each.is_path_broken)


class HostPrefixes(Record, frozen=True, kw_only=True):
    """Where a host sends packets by itself, beside Weft. Written by that host alone; its id is the
    host's. Of a host that has not said it, nothing is known."""

    KIND = "host-prefixes"
    id: HostId
    host_id: HostId
    links: Annotated[tuple[IPNetwork, ...], Meta(max_length=MAX_PREFIXES)] = ()
    """Prefixes of the addresses on its devices. Ascending, IPv4 first."""
    routes: Annotated[tuple[IPNetwork, ...], Meta(max_length=MAX_PREFIXES)] = ()
    """Other prefixes for which it has a route, but no default routes. Ascending, IPv4 first."""
    has_rules: bool = False
    """Rules of others ask other tables before the main one."""


class ForgottenHost(Record, frozen=True, kw_only=True):
    """A host that was removed from the cluster (`weft leave`, `weft forget`). Its certificate is
    refused, what it owned is nobody's, and its id never comes back."""

    KIND = "forgotten-host"
    id: HostId
    name: Text = ""
    at_s: UnixSeconds = 0.0
    """Wall clock, Unix time."""


class Cluster(Record, frozen=True, kw_only=True):
    """Settings that all hosts share; there is one, with the id ``cluster``."""

    KIND = "cluster"
    id: Id = "cluster"
    is_encrypted: bool = False
    """Traffic between hosts goes through WireGuard."""
    plain_underlays: tuple[IPNetwork, ...] = ()
    """With `is_encrypted`: between two hosts whose underlay addresses are both in one of these it
    does not."""
    former_plain_underlays: tuple[IPNetwork, ...] = ()
    """As they were before the last change: what was plain is taken so, until its sender follows."""
    encryption_id: Text = ""
    """Another one with every change of the above, so that hosts can say which they follow."""
