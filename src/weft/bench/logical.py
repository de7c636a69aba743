"""Records of a large logical network that does not exist: networks, ports and security groups.

Each group selects its members by a label, denies what comes in, and lets in the members of one
other group, ping, and a prefix: three rules, as of an application in tiers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from weft.model.choices import Action, Direction, PeerKind
from weft.model.ids import (
    GroupId,
    HostId,
    NetworkId,
    PortId,
    RuleId,
    SubnetId,
    Vni,
    derived_mac,
    new_host_id,
    new_id,
)
from weft.model.records import (
    Host,
    Network,
    Owner,
    Peer,
    Port,
    Record,
    Requirement,
    SecurityGroup,
    SecurityRule,
    Selector,
    Subnet,
    Veth,
)

LABEL = "app"
_POOL = IPv4Network("10.0.0.0/8")
_UNDERLAY = IPv4Address("198.18.0.1")
_OUTSIDE = IPv4Network("172.16.0.0/12")
_FIRST_VNI = 100
_SUBNET_BITS = 18
_TCP, _ICMP = 6, 1
_APART = 37


class Size(NamedTuple):
    """How much there is."""

    networks: int
    ports: int
    groups: int


class LogicalCluster:
    """So many hosts. Ports are spread evenly over networks, groups and hosts, and each network is
    on all hosts, if it has so many ports. Used as `synthetic.SyntheticCluster` is."""

    def __init__(self, size: Size, hosts: int, seed: int = 1) -> None:
        self.size = size
        self.ports = size.ports
        self.random_bytes: Callable[[int], bytes] = random.Random(seed).randbytes
        self.hosts = [new_host_id(self.random_bytes) for _ in range(hosts)]
        self.networks = [NetworkId(new_id(self.random_bytes)) for _ in range(size.networks)]
        self.groups = [GroupId(new_id(self.random_bytes)) for _ in range(size.groups)]

    def records(self) -> Iterator[Record]:
        """Everything."""
        yield from self.shared_records()
        for host in self.hosts:
            yield from self.records_of(host)

    def shared_records(self) -> Iterator[Record]:
        """Networks, subnets, groups and rules."""
        for number, network in enumerate(self.networks):
            yield Network(id=network, name=f"network{number}", vni=Vni(_FIRST_VNI + number))
            cidr = IPv4Network((self._prefix(number), _SUBNET_BITS))
            yield Subnet(
                id=SubnetId(new_id(self.random_bytes)),
                cidr=cidr,
                network_id=network,
                gateway=cidr[1],
            )
        for number in range(len(self.groups)):
            yield self._group(number)
            yield from self._rules(number)

    def records_of(self, host: HostId) -> Iterator[Record]:
        """What one host owns."""
        place = self.hosts.index(host)
        yield Host(
            id=host,
            name=f"host{place}",
            underlay=(_UNDERLAY + place,),
            version="0.1.0",
            resolvers=(IPv4Address("192.0.2.53"),),
        )
        for number in range(place, self.ports, len(self.hosts)):
            yield self.port(number)

    def port(self, number: int) -> Port:
        """The port with a number, another one each time."""
        id = PortId(new_id(self.random_bytes))
        # Ports whose numbers follow each other are on one network, and on hosts in turn.
        a_network = -(-self.ports // len(self.networks))
        on, index = divmod(number, a_network)
        digits = id.replace("-", "")[:11]
        label = (LABEL, self.label(number)) if self.groups else None
        return Port(
            id=id,
            network_id=self.networks[on % len(self.networks)],
            host_id=self.hosts[number % len(self.hosts)],
            mac=derived_mac(id),
            slot=index // len(self.hosts),
            addresses=(IPv4Address(self._prefix(on) + 2 + index),),
            names=(f"workload-{number}",),
            labels=() if label is None else (label, ("team", f"team{number % 7}")),
            device=Veth(ifname=f"weft{digits}", peer_ifname=f"wefc{digits}"),
            owner=Owner(frontend="docker", reference=self.random_bytes(32).hex()),
        )

    def label(self, number: int) -> str:
        """By which a group selects the port with a number. Each host has ports of all groups, if it
        has so many, and the ports of a network are of different ones."""
        turn, host = divmod(number, len(self.hosts))
        return f"{LABEL}{(turn + _APART * host) % len(self.groups)}"

    def _group(self, number: int) -> SecurityGroup:
        value = Requirement(key=LABEL, values=(f"{LABEL}{number}",))
        return SecurityGroup(
            id=self.groups[number],
            name=f"group{number}",
            selector=Selector(requirements=(value,)),
            denied=(Direction.INGRESS,),
        )

    def _rules(self, number: int) -> Iterator[SecurityRule]:
        before = self.groups[number - 1]
        office = IPv4Network((int(_OUTSIDE.network_address) + (number << 8), 24))
        for protocol, port, peer in (
            (_TCP, 8000 + number % 1000, Peer(kind=PeerKind.GROUP, group_id=before)),
            (_ICMP, None, Peer()),
            (_TCP, 22, Peer(kind=PeerKind.CIDR, cidr=office)),
        ):
            yield SecurityRule(
                id=RuleId(new_id(self.random_bytes)),
                group_id=self.groups[number],
                direction=Direction.INGRESS,
                action=Action.ALLOW,
                peer=peer,
                protocol=protocol,
                first_port=port,
                last_port=port,
            )

    @staticmethod
    def _prefix(number: int) -> int:
        return int(_POOL.network_address) + (number << (32 - _SUBNET_BITS))
