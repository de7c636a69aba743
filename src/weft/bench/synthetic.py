"""Records of a large cluster that does not exist, as hosts with Docker would have written them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network

from weft.model import codec
from weft.model.ids import (
    HostId,
    NetworkId,
    PortId,
    SubnetId,
    Vni,
    derived_mac,
    new_host_id,
    new_id,
)
from weft.model.records import Host, Network, Owner, Port, Record, Subnet, Veth
from weft.store.draft import Draft
from weft.store.ownership import owner_of

PORTS_PER_NETWORK = 1000
_POOL = IPv4Network("10.0.0.0/8")
_UNDERLAY = IPv4Address("198.18.0.1")
_FIRST_VNI = 100
_SUBNET_BITS = 20
_SUBNET_SIZE = 1 << (32 - _SUBNET_BITS)


class SyntheticCluster:
    """So many hosts, and ports spread evenly over them and over networks of a thousand."""

    def __init__(
        self, hosts: int, ports: int, hosts_a_network: int | None = None, seed: int = 1
    ) -> None:
        """hosts_a_network: None: each network is on all."""
        self.ports = ports
        self._hosts_a_network = min(hosts_a_network or hosts, hosts)
        self.random_bytes: Callable[[int], bytes] = random.Random(seed).randbytes
        self.hosts = [new_host_id(self.random_bytes) for _ in range(hosts)]
        self._places = {host: place for place, host in enumerate(self.hosts)}
        self._numbers: list[list[int]] = [[] for _ in self.hosts]
        for number in range(ports):
            self._numbers[self._place_of(number)].append(number)
        self.networks = [
            NetworkId(new_id(self.random_bytes))
            for _ in range(max(1, -(-ports // PORTS_PER_NETWORK)))
        ]

    def records(self) -> Iterator[Record]:
        """Everything."""
        yield from self.shared_records()
        for host in self.hosts:
            yield from self.records_of(host)

    def shared_records(self) -> Iterator[Record]:
        """Networks and their subnets."""
        for number, network in enumerate(self.networks):
            yield Network(id=network, name=f"network{number}", vni=Vni(_FIRST_VNI + number))
            cidr = IPv4Network((self._prefix(number), _SUBNET_BITS))
            yield Subnet(
                id=SubnetId(new_id(self.random_bytes)),
                cidr=cidr,
                network_id=network,
                gateway=cidr[1],
            )

    def records_of(self, host: HostId) -> Iterator[Record]:
        """What one host owns."""
        place = self._places[host]
        yield Host(
            id=host,
            name=f"host{place}",
            underlay=(_UNDERLAY + place,),
            version="0.1.0",
            resolvers=(IPv4Address("192.0.2.53"),),
        )
        for number in self._numbers[place]:
            yield self._port(host, number)

    def _place_of(self, number: int) -> int:
        """On which host a port is; networks are on neighbouring ones."""
        network, index = divmod(number, PORTS_PER_NETWORK)
        span = self._hosts_a_network
        return (network * span + index % span) % len(self.hosts)

    def _port(self, host: HostId, number: int) -> Port:
        """The port with a number, on a host: a container of Docker's."""
        id = PortId(new_id(self.random_bytes))
        on, index = divmod(number, PORTS_PER_NETWORK)
        network = self.networks[on]
        endpoint = self.random_bytes(32).hex()
        digits = id.replace("-", "")[:11]
        return Port(
            id=id,
            network_id=network,
            host_id=host,
            mac=derived_mac(id),
            slot=index // self._hosts_a_network,
            addresses=(IPv4Address(self._prefix(on) + 2 + index),),
            names=(f"container-{number}", endpoint[:12]),
            device=Veth(ifname=f"weft{digits}", peer_ifname=f"wefc{digits}"),
            owner=Owner(
                frontend="docker",
                reference=endpoint,
                container_id=self.random_bytes(32).hex(),
                container_name=f"container-{number}",
                sandbox=f"/var/run/docker/netns/{endpoint[-12:]}",
            ),
        )

    @staticmethod
    def _prefix(number: int) -> int:
        return int(_POOL.network_address) + number * _SUBNET_SIZE


def draft(record: Record) -> Draft:
    """A record as a write of the host that it belongs to."""
    return Draft(record.KIND, record.id, codec.encode(record), owner_of(record) is not None)
