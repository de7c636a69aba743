"""Several hosts for real, joined by veths.

Each has a namespace, the programs and maps of its own, and two workloads in namespaces of theirs,
in two subnets of one network.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.bpf import streams, wire
from tests.bpf.namespaces import Namespace
from tests.bpf.overlay import endpoint_at, put_tunnel, set_peer
from tests.bpf.streams import SMALL_BUFFERS
from tests.bpf.world import KEPT
from tests.own_addresses import await_addresses
from weft.engine.ebpf.edition import OF_MACS, OF_ROUTES
from weft.engine.ebpf.map_table import encode_address
from weft.kernel.bpf import berths, counters, layouts, programs
from weft.kernel.bpf.counters import PortCounters
from weft.kernel.bpf.layouts import Berth, EndpointFlag, PortFlag, TunnelFlag
from weft.kernel.bpf.programs import DataPlane, HostDevices
from weft.model.service_addresses import GATEWAY_MAC

VNI = 10
SUBNETS = {"10.1.0.0/24": "10.1.0.1", "10.1.1.0/24": "10.1.1.1"} | {
    "fd00:1::/64": "fd00:1::1",
    "fd00:1:1::/64": "fd00:1:1::1",
}
OVERHEAD = {4: 50, 6: 70}
UNDERLAY_MTU = 1500


class Place(NamedTuple):
    """A workload: the only one of its host in its subnet."""

    host: int
    subnet: int

    @property
    def device(self) -> str:
        return f"p{self.subnet}"

    @property
    def mac(self) -> str:
        return f"02:00:00:00:{self.subnet:02x}:{self.host:02x}"

    @property
    def ipv4(self) -> str:
        return f"10.1.{self.subnet}.{10 + self.host}"

    @property
    def ipv6(self) -> str:
        return ("fd00:1::" if not self.subnet else "fd00:1:1::") + f"{10 + self.host}"

    def address(self, version: int) -> str:
        return self.ipv4 if version == 4 else self.ipv6


class Link(NamedTuple):
    """A wire between two hosts, seen from one of them."""

    number: int
    near: int
    far: int

    @property
    def device(self) -> str:
        return f"up{self.number}"

    @property
    def ends(self) -> tuple[int, int]:
        return self.near, self.far

    def seen_from(self, host: int) -> Link:
        return self if host == self.near else Link(self.number, self.far, self.near)

    def mac(self, host: int) -> str:
        return f"02:aa:00:00:{self.number:02x}:{host:02x}"

    def address(self, host: int, version: int) -> str:
        return f"172.31.{self.number}.{host}" if version == 4 else f"fd31:{self.number}::{host}"


def mtu_of(version: int) -> int:
    """What fits into the underlay's packets."""
    return UNDERLAY_MTU - OVERHEAD[version]


def tag(host: int) -> int:
    return 0xC0FFEE00 + host


def outside(host: int, version: int) -> str:
    """A host's own address, which belongs to no network."""
    return f"198.51.100.{host}" if version == 4 else f"2001:db8::{host}"


class WireHost:
    """One host."""

    def __init__(self, number: int, folder: Path, objects: Path, links: Sequence[Link]) -> None:
        self.number, self.folder, self.links = number, folder, links
        self.stack = ExitStack()
        programs.mount_bpffs(folder)
        self.stack.callback(programs.purge, folder)
        self.namespace = self.stack.enter_context(Namespace())
        self.places = [Place(number, subnet) for subnet in (0, 1)]
        self.insides = [self.stack.enter_context(Namespace()) for _ in self.places]
        self._objects = objects

    def prepare(self, mtu: int) -> None:
        """Devices but those of the underlay."""
        run = self.namespace.run
        run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        run("ip link add weft0 mtu 65535 address 0a:57:45:46:54:00 type veth peer name weft1")
        run("ip link set weft1 mtu 65535")
        run("ip link set weft0 arp off")
        run("ip link add weftx mtu 65485 type vxlan external dstport 4789 udp6zerocsumrx")
        for place, inside in zip(self.places, self.insides):
            index = Berth.FIRST_IFINDEX + 1 + place.subnet
            run(
                f"ip link add {place.device} index {index} mtu {mtu} type veth peer name eth0 "
                f"mtu {mtu} address {place.mac} netns {path(inside)}"
            )
        for name in ("weft0", "weft1", "weftx", *(place.device for place in self.places)):
            run(f"ip link set {name} addrgenmode none up")

    def load(self) -> None:
        """Programs and maps; all devices are there."""
        output = self.namespace.run("ip -o link show")
        self.ifindexes = {
            line.split(":")[1].split("@")[0].strip(): int(line.split(":")[0])
            for line in output.splitlines()
        }
        self.edition = 0
        self.devices = HostDevices(
            self.ifindexes["weft0"],
            "0a:57:45:46:54:00",
            self.ifindexes["weft1"],
            host_tag=tag(self.number),
            weftx_ifindex=self.ifindexes["weftx"],
        )
        self.plane = self.stack.enter_context(
            DataPlane.load(self.folder, self.devices, self._objects)
        )
        counters.begin(self.plane.maps, self.ifindexes.values())

    def attach(self, underlays: Sequence[str]) -> None:
        # The wires first: of what they have not marked, `from_overlay` believes nothing.
        roles = {name: "from_wire" for name in underlays}
        roles |= {"weft1": "from_host", "weftx": "from_overlay"}
        roles |= {place.device: "from_port" for place in self.places}
        for name, role in roles.items():
            self.namespace.run(f"tc qdisc add dev {name} clsact", check=False)
            self.namespace.run(
                f"env TC_BPF_MNT={self.folder} tc filter replace dev {name} ingress prio 1 "
                f"handle 1 bpf direct-action object-pinned {self.folder}/programs/{role}"
            )

    def configure(self) -> None:
        """Addresses and routes of the workloads and of the host."""
        run = self.namespace.run
        run(f"ip address add {outside(self.number, 4)}/32 dev lo")
        run(f"ip -6 address add {outside(self.number, 6)}/128 dev lo")
        for cidr in SUBNETS:
            run(f"ip route add {cidr} dev weft0")
        for place, inside in zip(self.places, self.insides):
            inside.run("ip link set eth0 up")
            inside.run(f"ip address add {place.ipv4}/24 dev eth0")
            inside.run(f"ip -6 address add {place.ipv6}/64 dev eth0 nodad")
            inside.run(f"ip route add default via {list(SUBNETS.values())[place.subnet]}")
            inside.run(f"ip -6 route add default via {list(SUBNETS.values())[2 + place.subnet]}")
        for namespace in (self.namespace, *self.insides):
            await_addresses(path(namespace))

    def put(self, name: str, key: bytes, value: bytes) -> None:
        failures = self.plane.maps[name].update({key: value})
        assert not failures, failures
        if name in KEPT:
            self.edition += 2
            edition = layouts.Edition(self.edition).encode()
            for kept in (OF_MACS, OF_ROUTES):
                assert not self.plane.maps[kept].update({bytes(4): edition})

    def fill(self, everywhere: Sequence[Place], mtu: int) -> None:
        """The network and all its ports, here and elsewhere."""
        for cidr, gateway in SUBNETS.items():
            network = ip_network(cidr)
            bits = network.prefixlen + (96 if network.version == 4 else 0)
            raw = encode_address(network.network_address)
            value = layouts.Subnet(encode(gateway)).encode()
            self.put("subnets_v1", layouts.SubnetKey(32 + bits, VNI, raw).encode(), value)
            prefix = layouts.HostPrefix(VNI).encode()
            self.put("host_prefixes_v1", layouts.HostPrefixKey(bits, raw).encode(), prefix)
            flags = EndpointFlag.ENDPOINT_GATEWAY
            self.add_address(gateway, layouts.Endpoint(flags=flags, mac=mac(GATEWAY_MAC)))
        for place in everywhere:
            self.add_place(place)
        for slot, place in enumerate(self.places):
            port = layouts.Port(
                VNI,
                PortFlag.PORT_OUTSIDE,
                mac(place.mac),
                mtu,
                slot,
                encode(place.ipv4),
                encode(place.ipv6),
            )
            ifindex = self.ifindexes[place.device]
            berths.ports(self.plane.maps).update({struct.pack("<I", ifindex): port.encode()})
            self.put(
                "flood_v1", layouts.FloodKey(VNI, slot).encode(), layouts.Flood(ifindex).encode()
            )
        self.set_replicas(sorted({each.host for each in everywhere} - {self.number}))

    def start(self, version: int, links: Sequence[Link], everywhere: Sequence[Place]) -> None:
        """Programs, maps and all that they need; the underlay is there."""
        mtu = mtu_of(version)
        self.load()
        self.fill(everywhere, mtu)
        for link in links:
            for number in link.ends:
                for family in (4, 6):
                    self.add_peer(number, link.address(number, family))
        for link in self.links:
            self.set_tunnel(link.far, link, version, mtu)
        self.attach([link.device for link in self.links])
        self.configure()

    def set_replicas(self, hosts: Sequence[int]) -> None:
        for after, following in pairwise([0, *sorted(map(tag, hosts))]):
            key = layouts.ReplicaKey(VNI, after).encode()
            self.put("replicas_v2", key, layouts.Replica(following).encode())
        value = layouts.Network(0, len(self.places)).encode()
        self.put("networks_v1", struct.pack("<I", VNI), value)

    def add_place(self, place: Place, flags: int = 0) -> None:
        if place.host == self.number:
            endpoint = layouts.Endpoint(self.ifindexes[place.device], flags, mac(place.mac))
        else:
            endpoint = endpoint_at(tag(place.host), place.mac)
        for address in (place.ipv4, place.ipv6):
            self.add_address(address, endpoint)
        self.put("macs_v1", layouts.MacKey(VNI, mac(place.mac)).encode(), endpoint.encode())

    def add_address(self, address: str, endpoint: layouts.Endpoint) -> None:
        key = layouts.AddressKey(VNI, encode(address)).encode()
        self.put("addresses_v1", key, endpoint.encode())

    def add_peer(self, host: int, address: str, flags: int = 0) -> None:
        peer = layouts.Peer(tag(host), flags)
        set_peer(self.plane.maps, encode(address), peer, tag(self.number))

    def set_tunnel(self, host: int, link: Link, version: int, mtu: int, **more: object) -> None:
        """The way to `host` leads over `link`, whose far end relays if it is another one."""
        flags = TunnelFlag.TUNNEL_IPV6 if version == 6 else TunnelFlag(0)
        if link.far != host:
            flags |= TunnelFlag.TUNNEL_RELAY
        tunnel = layouts.Tunnel(
            self.ifindexes[link.device],
            flags,
            next_hop=mac(link.mac(link.far)),
            source_mac=mac(link.mac(link.near)),
            local=encode(link.address(link.near, version)),
            remote=encode(link.address(link.far, version)),
            destination_tag=tag(host) if link.far != host else 0,
            mtu=mtu,
        )
        more = {"flags": flags | int(str(more.pop("add_flags", 0)))} | more
        value = tunnel._replace(**more)  # type: ignore[arg-type]
        put_tunnel(self.plane.maps, tag(host), value)

    def counters(self, device: str) -> PortCounters:
        found = counters.read(self.plane.maps)
        return found.get(self.ifindexes[device], PortCounters())

    def drops(self) -> dict[str, Mapping[str, int]]:
        """By device."""
        return {name: each for name in self.ifindexes if (each := self.counters(name).drops)}


class Fabric:
    """All hosts, by number, and where each workload is."""

    def __init__(self, hosts: dict[int, WireHost], version: int) -> None:
        self.hosts = hosts
        self.version = version
        self.insides = {
            place: inside
            for host in hosts.values()
            for place, inside in zip(host.places, host.insides)
        }

    def use_device(self, *, is_device: bool) -> None:
        """Which way all hosts encapsulate what goes along the first link of each."""
        flag = TunnelFlag.TUNNEL_DEVICE if is_device else 0
        for host in self.hosts.values():
            link = host.links[0]
            mtu = mtu_of(self.version)
            host.set_tunnel(link.far, link, self.version, mtu, add_flags=int(flag))

    def at(self, place: Place, command: str, *, check: bool = True) -> str:
        return self.insides[place].run(command, check=check)

    def pings(self, place: Place, target: str, *options: str) -> bool:
        command = " ".join(["ping -c 3 -i 0.05 -W 2 -q", *options, target])
        return " 0% packet loss" in self.at(place, command, check=False)


@contextmanager
def made(
    folder: Path, objects: Path, version: int, wires: Sequence[tuple[int, int]]
) -> Iterator[Fabric]:
    """Hosts joined by these wires; hosts that share one have a direct tunnel over it."""
    links = [Link(index, *ends) for index, ends in enumerate(wires)]
    with ExitStack() as stack:
        hosts: dict[int, WireHost] = {}
        for number in sorted({number for ends in wires for number in ends}):
            own = [link.seen_from(number) for link in links if number in link.ends]
            hosts[number] = WireHost(number, folder / f"h{number}", objects, own)
            stack.push(hosts[number].stack)
            hosts[number].prepare(mtu_of(version))
        for link in links:
            join(hosts[link.near].namespace, hosts[link.far].namespace, link)
        everywhere = [place for host in hosts.values() for place in host.places]
        for host in hosts.values():
            host.start(version, links, everywhere)
        yield Fabric(hosts, version)


@contextmanager
def made_beside(
    folder: Path, objects: Path, version: int, other: Namespace, place: Place
) -> Iterator[Fabric]:
    """One host of Weft's, and a wire to another one, which has one workload."""
    link = Link(0, 1, place.host)
    host = WireHost(1, folder, objects, [link])
    with host.stack:
        host.prepare(mtu_of(version))
        join(host.namespace, other, link)
        host.start(version, [link], [*host.places, place])
        fabric = Fabric({1: host}, version)
        fabric.insides[place] = other
        yield fabric


def stream(
    fabric: Fabric, sender: Place, target: Place, to: int | str, options: str = SMALL_BUFFERS
) -> None:
    """See `streams.stream`; `to`: family, or address."""
    address = target.address(to) if isinstance(to, int) else to
    streams.stream(fabric.insides[sender], fabric.insides[target], address, options)


def join(near: Namespace, far: Namespace, link: Link, mtu: int = UNDERLAY_MTU) -> None:
    """A wire with addresses, whose neighbours are known."""
    name = link.device
    near.run(
        f"ip link add {name} mtu {mtu} address {link.mac(link.near)} type veth "
        f"peer name {name} mtu {mtu} address {link.mac(link.far)} netns {path(far)}"
    )
    for namespace, own, other in ((near, link.near, link.far), (far, link.far, link.near)):
        namespace.run(f"ip link set {name} addrgenmode none up")
        namespace.run(f"ip address add {link.address(own, 4)}/24 dev {name}")
        namespace.run(f"ip -6 address add {link.address(own, 6)}/64 dev {name} nodad")
        await_addresses(path(namespace))
        for version in (4, 6):
            far_address = link.address(other, version)
            neighbour = f"{far_address} lladdr {link.mac(other)} dev {name}"
            namespace.run(f"ip neighbour replace {neighbour}")
            namespace.run(f"ip route replace {outside(other, version)} via {far_address}")


def path(namespace: Namespace) -> str:
    return f"/proc/{os.getpid()}/fd/{namespace.fd}"


def encode(address: str) -> bytes:
    return encode_address(ip_address(address))


def mac(text: str) -> bytes:
    return wire.mac_bytes(text)
