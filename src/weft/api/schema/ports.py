"""Ports, and what is asked about them."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from weft.api.schema.base import Answer
from weft.control.specs import Spec
from weft.model.addresses import IPAddress
from weft.model.choices import TransportProtocol
from weft.model.ids import MacAddress
from weft.model.records import AllowedAddress
from weft.model.values import PortCount, PortNumber, Words


class AllowedInfo(Answer, frozen=True, kw_only=True):
    """A source prefix that a port may use beside its own addresses."""

    cidr: str
    mac: str | None
    """null: the port's own."""


class DeviceInfo(Answer, frozen=True, kw_only=True):
    """How a port is plugged in."""

    kind: str = "veth"
    """A pair of devices that Weft made."""
    ifname: str
    """The host's end."""
    peer_ifname: str
    """The workload's end."""
    netns: str | None
    """Path of the workload's network namespace; null: somebody else moved the peer."""


class OwnerInfo(Answer, frozen=True, kw_only=True):
    """For whom a port exists."""

    frontend: str
    """``docker``, ``cli``, ``host`` (the host's own place), or another way in."""
    reference: str
    """The frontend's own id: Docker's endpoint id, the attach request's target."""
    container_id: str
    container_name: str


class PublishedInfo(Answer, frozen=True, kw_only=True):
    """Ports of the host, in a row, that lead to as many of the workload."""

    protocol: TransportProtocol
    host_port: int
    """The first of them."""
    port: int
    """Where the first leads; the next leads to the next."""
    host_address: str | None
    """null: every address of the host."""
    count: int = 1
    """How many there are."""


class PortInfo(Answer, frozen=True, kw_only=True):
    """A workload's place on a network."""

    id: str
    network: str
    """The network's name."""
    network_id: str
    host: str | None
    """The name of the host that it lives on; null: it is on none (yet)."""
    host_id: str | None
    mac: str
    addresses: tuple[str, ...]
    names: tuple[str, ...]
    labels: dict[str, str]
    groups: tuple[str, ...]
    """Security groups of which it is a member, by name: those that it names, and those that select
    its labels."""
    allowed: tuple[AllowedInfo, ...]
    is_spoof_checked: bool
    admits_host: bool = False
    """Whether what its host sends from its own place on the network gets in, whatever rules say;
    so also if the network admits hosts."""
    device: DeviceInfo | None
    """null: nothing is plugged in, or it is the host's own place."""
    owner: OwnerInfo
    published: tuple[PublishedInfo, ...]
    problems: tuple[str, ...]
    """What of it the kernel refused, and why; empty when all is well."""


class PortList(Answer, frozen=True, kw_only=True):
    """Ports of all hosts, by network, name and host."""

    ports: tuple[PortInfo, ...]


class PublishRequest(Spec, frozen=True, kw_only=True):
    """Ports of the host, in a row, that shall lead to as many of the workload."""

    protocol: Literal["tcp", "udp", "sctp"]
    host_port: PortNumber
    """The first of them."""
    port: PortNumber
    """Where the first leads; the next leads to the next."""
    host_address: IPAddress | None = None
    """null: on every address of the host."""
    count: PortCount = 1


class PortRequest(Spec, frozen=True, kw_only=True):
    """A port with every field explicit. Without a target it waits for its device."""

    network: str
    """Name, ``tenant/name``, id, or the unambiguous beginning of an id."""
    target: str | None = None
    """A container's name or id, a pid, or the path of a network namespace, to plug it into."""
    addresses: tuple[IPAddress, ...] | UnsetType = UNSET
    """Families of the network that none is named for get one each; but an empty list is no address
    at all."""
    mac: MacAddress | None = None
    names: tuple[str, ...] = ()
    labels: tuple[tuple[Words, Words], ...] = ()
    groups: tuple[str, ...] = ()
    """Security groups of the network's tenant, of which it is a member."""
    ifname: str | None = None
    """Needs a target. null: the first free of eth0, eth1, …"""
    allowed: tuple[AllowedAddress, ...] = ()
    is_spoof_checked: bool = True
    admits_host: bool = False
    """What its host sends from its own place on the network gets in, whatever rules say."""
    is_default_route: bool = True
    is_static: bool = False
    """It is on no host until something of its name, which it needs, is plugged in."""
    published: tuple[PublishRequest, ...] = ()


class DetachQuery(Spec, frozen=True, kw_only=True):
    """Says what to unplug from where."""

    target: str
    network: str
