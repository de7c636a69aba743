"""Workloads' places on networks."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.choices import LivesWith, TransportProtocol
from weft.model.ids import GroupId, HostId, MacAddress, NetworkId, PortId
from weft.model.multicast_groups import check_multicast_groups
from weft.model.records.base import Part, Record
from weft.model.records.devices import Device, Veth
from weft.model.records.multicast import MulticastPlace
from weft.model.values import (
    Label,
    LongText,
    PortCount,
    PortNumber,
    Slot,
    Text,
    Word,
    Words,
)

LAST_PORT = 65535


class AllowedAddress(Part, frozen=True, kw_only=True):
    """A prefix, and a MAC if not the port's own, that a port may use as its source as well."""

    cidr: IPNetwork
    mac: MacAddress | None = None


class PublishedPort(Part, frozen=True, kw_only=True):
    """Ports of the host, in a row, that lead to as many of the workload (docker -p)."""

    protocol: TransportProtocol
    host_port: PortNumber
    """The first of them."""
    port: PortNumber
    """Where the first leads; the next leads to the next."""
    host_address: IPAddress | None = None
    """None: on every address of the host."""
    count: PortCount = 1

    def __post_init__(self) -> None:
        """Raise ValueError for a row that goes past the last port."""
        if max(self.host_port, self.port) + self.count - 1 > LAST_PORT:
            first = max(self.host_port, self.port)
            raise ValueError(f"{self.count} ports from {first} on: the last port is {LAST_PORT}")

    @property
    def host_ports(self) -> range:
        """All of the host's."""
        return range(self.host_port, self.host_port + self.count)

    def one(self, number: int) -> PublishedPort:
        """What port `number` of the host leads to."""
        return replace(self, host_port=number, port=self.port + number - self.host_port, count=1)


class Owner(Part, frozen=True, kw_only=True):
    """For whom a port exists."""

    frontend: Word
    """Who made it: ``docker``, ``cli``, ``host`` (the host's own place), or one that only a newer
    weft has."""
    lives_with: LivesWith = LivesWith.FRONTEND
    takes_reservations: bool = False
    """Its frontend hands out addresses itself: one that is reserved may have been so for this very
    port."""
    reference: LongText = ""
    """The frontend's own id: Docker's endpoint id, the attach request's target."""
    container_id: Text = ""
    container_name: Text = ""
    sandbox: LongText = ""
    """Docker's name for the container's network namespace, while the port is in it."""


class Port(Record, frozen=True, kw_only=True):
    """A workload's place on a network. Written by its host alone, once it has one."""

    KIND = "port"
    INDEXED = (
        "network_id",
        "host_id",
        "place",
        "unknown_on",
        "addresses",
        "names",
        "labels",
        "groups",
        "replaces",
        "replaces_on",
        "multicast_places",
    )
    id: PortId
    network_id: NetworkId
    host_id: HostId | None = None
    """None: it is on no host (yet), and any host may write it."""
    mac: MacAddress
    slot: Slot | None = None
    """Smallest number that was free among the ports of this network on this host."""
    addresses: tuple[IPAddress, ...] = ()
    names: tuple[Label, ...] = ()
    """DNS labels inside the network: container name, hostname, aliases."""
    labels: tuple[tuple[Words, Words], ...] = ()
    """What others call it by, to choose ports: (key, value), ascending, each key once."""
    groups: tuple[GroupId, ...] = ()
    """Security groups of which it is a member, whatever its labels say. Ascending."""
    allowed: tuple[AllowedAddress, ...] = ()
    is_spoof_checked: bool = True
    admits_host: bool = False
    """What its host sends from its own place on the network gets in, whatever rules say; so also if
    the network admits hosts."""
    device: Device | None = None
    """None: nothing is plugged in (yet, or it is the host's own place, see `owner`)."""
    owner: Owner
    published: tuple[PublishedPort, ...] = ()
    replaces: tuple[PortId, ...] = ()
    """Ports of dead hosts whose addresses it took over: should they live after all, what is sent to
    these addresses is for this port."""
    multicast_groups: tuple[IPAddress, ...] = ()
    """Multicast groups of which it is a member, whatever it reports. Ascending."""

    def check(self) -> None:
        """See `Record.check`."""
        check_multicast_groups(self.multicast_groups)

    @property
    def is_host(self) -> bool:
        """Whether this is the host's own place on the network (`weft expose`)."""
        return self.owner.frontend == "host"

    @property
    def veth(self) -> Veth | None:
        """The veth pair by which it is plugged in, if that is how."""
        return self.device if isinstance(self.device, Veth) else None

    @property
    def ifname(self) -> str | None:
        """The device of its host by which it sends and receives, as far as this version of weft
        knows such devices; None: there is none."""
        return self.device.ifname if isinstance(self.device, Veth) else None

    @property
    def place(self) -> Place | None:
        """By which `View.any` tells whether a host has a port on a network."""
        return None if self.host_id is None else Place(self.network_id, self.host_id)

    @property
    def unknown_on(self) -> tuple[NetworkId, ...]:
        """Its network, if it may hold addresses that no record names."""
        return (self.network_id,) if self.allowed or not self.is_spoof_checked else ()

    @property
    def replaces_on(self) -> tuple[NetworkId, ...]:
        """Its network, if it replaces ports there."""
        return (self.network_id,) if self.replaces else ()

    @property
    def multicast_places(self) -> tuple[MulticastPlace, ...]:
        """Of `multicast_groups`, while something is plugged in."""
        host = self.host_id
        if not self.multicast_groups or self.device is None or host is None:
            return ()
        return tuple(MulticastPlace(self.network_id, each, host) for each in self.multicast_groups)


class Place(NamedTuple):
    """A network on a host."""

    network_id: NetworkId
    host_id: HostId
