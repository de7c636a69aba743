"""Hosts on underlays that a test lays as it needs them, each with an engine on the same records.

No weftd: the records are in memory and written to all hosts alike, so a test says what a host knows
and when. What forwards is the kernel's, in one network namespace a host.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from tests.own_addresses import await_addresses
from tests.system.overlay_host import OverlayHost
from tests.system.overlay_workload import Workload, sh
from weft.kernel import netns
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import HostId, MacAddress, NetworkId, PortId, SubnetId, Vni
from weft.model.records import (
    Host,
    Neighbour,
    Neighbours,
    Network,
    Owner,
    Port,
    Record,
    Subnet,
    Veth,
)
from weft.store.interface import Delete, Put

_numbers = count(1)
FOO = Network(id=NetworkId("f" * 16), name="foo", vni=Vni(77))
SUBNETS = tuple(
    Subnet(
        id=SubnetId(f"{number:016x}"),
        cidr=ip_network(cidr),
        network_id=FOO.id,
        gateway=ip_network(cidr)[1],
    )
    for number, cidr in enumerate(("10.5.0.0/24", "10.6.0.0/24", "fd05::/64"))
)


class Overlay:
    """All that a test lays out; it goes with the test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._namespaces: list[str] = []
        self.hosts: list[OverlayHost] = []
        self.shared: dict[tuple[type[Record], str], Record] = {}
        self._links: set[frozenset[HostId]] = set()
        self._switches: dict[str, str] = {}
        for record in (FOO, *SUBNETS):
            self.shared[type(record), record.id] = record

    def namespace(self, what: str) -> str:
        """A new one, with its loopback up."""
        name = f"ovl-{os.getpid()}-{next(_numbers)}-{what}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        self._namespaces.append(name)
        sh(name, "ip link set lo up")
        return name

    def switch(self) -> str:
        """A namespace with a bridge ``sw`` to plug into."""
        name = self.namespace("switch")
        sh(name, "ip link add sw type bridge mcast_snooping 0; ip link set sw mtu 9000 up")
        return name

    def switch_of(self, host: OverlayHost) -> str:
        """Into which its ``up0`` is plugged."""
        return self._switches[host.name]

    def host(self, switch: str, *addresses: str, mtu_bytes: int = 1500) -> OverlayHost:
        """A host with these addresses on ``up0``; not started."""
        number = len(self.hosts) + 1
        host = OverlayHost(self.namespace(f"h{number}"), number, self._directory / f"h{number}")
        host.addresses = list(addresses)
        host.mtu_bytes = mtu_bytes
        self.plug(host.name, switch, "up0", *addresses, mtu_bytes=mtu_bytes)
        self._switches[host.name] = switch
        self.hosts.append(host)
        return host

    def plug(
        self, name: str, switch: str, ifname: str, *addresses: str, mtu_bytes: int = 1500
    ) -> str:
        """A cable from a namespace to a switch; gives the switch's end."""
        port = f"p{next(_numbers)}"
        sh(switch, f"ip link add {port} mtu {mtu_bytes} type veth peer {ifname} netns {name}")
        sh(switch, f"ip link set {port} master sw up")
        for address in addresses:
            sh(name, f"ip addr add {address} dev {ifname} {'nodad' if ':' in address else ''}")
        sh(name, f"ip link set {ifname} mtu {mtu_bytes} up")
        await_addresses(f"/run/netns/{name}")
        return port

    def probe(self, *links: tuple[OverlayHost, OverlayHost]) -> None:
        """Have all hosts probe, and publish what they find and these links of the mesh."""
        self._links = {frozenset((one.id, other.id)) for one, other in links}
        for host in self.hosts:
            host.publish = self._publish
            self._publish(host)

    def _publish(self, host: OverlayHost) -> None:
        states = dict(host.prober.states()) if host.prober is not None else {}
        found = []
        for other in sorted(self.hosts, key=lambda other: other.id):
            state, has_link = states.get(other.id), {host.id, other.id} in self._links
            if state is not None or has_link:
                found.append(
                    Neighbour(
                        host_id=other.id,
                        address=state.address if state else other.record.underlay[0],
                        path_mtu_bytes=state.mtu_bytes if state else 0,
                        is_path_broken=state is not None and state.is_broken,
                        has_link=has_link,
                    )
                )
        record = Neighbours(id=host.id, host_id=host.id, neighbours=tuple(found))
        self.shared[Neighbours, host.id] = record
        for each in self.hosts:
            each.told(record)

    def start(self) -> None:
        """All hosts know each other, and their engines run."""
        for host in self.hosts:
            self.shared[Host, host.id] = host.record
        for host in self.hosts:
            host.write(*(Put(record) for record in self.shared.values()))
            host.start()

    def write(self, *records: Record) -> None:
        """All hosts know these from now on."""
        for record in records:
            self.shared[type(record), record.id] = record
        for host in self.hosts:
            host.write(*(Put(record) for record in records))

    def delete(self, *records: Record) -> None:
        """And these no more."""
        for record in records:
            del self.shared[type(record), record.id]
        for host in self.hosts:
            host.write(*(Delete(type(record), record.id) for record in records))

    def workload(self, host: OverlayHost, number: int, **fields: object) -> Workload:
        """A workload on FOO at 10.5.0.NUMBER, known to all."""
        name = self.namespace(f"w{number}")
        workload = Workload(name, port_on(host, name, number, **fields))
        self.write(workload.port)
        return workload

    def close(self) -> None:
        """Stop and remove everything."""
        with contextlib.ExitStack() as stack:
            for name in self._namespaces:
                stack.callback(subprocess.run, ["ip", "netns", "del", name], check=True)
            for host in self.hosts:
                stack.callback(host.purge)
                stack.callback(host.stop)


def port_on(host: OverlayHost, name: str, number: int, **fields: object) -> Port:
    """The port of a namespace on a host."""
    path = f"/run/netns/{name}"
    values: dict[str, object] = {
        "id": PortId(f"{number:016x}"),
        "network_id": FOO.id,
        "host_id": host.id,
        "mac": MacAddress(f"02:00:00:00:05:{number:02x}"),
        "slot": number,
        "addresses": (ip_address(f"10.5.0.{number}"), ip_address(f"fd05::{number:x}")),
        "owner": Owner(frontend="cli"),
        "device": Veth(
            ifname=f"weft{number:011x}",
            peer_ifname="eth0",
            netns=path,
            netns_inode=netns.inode(path),
        ),
    }
    return Port(**(values | fields))  # type: ignore[arg-type]


@contextlib.contextmanager
def made(directory: Path) -> Iterator[Overlay]:
    """An overlay for one test."""
    overlay = Overlay(directory)
    try:
        yield overlay
    finally:
        overlay.close()
