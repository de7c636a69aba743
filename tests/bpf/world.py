"""A small world in the maps: three networks, their ports on real devices, and the programs."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from weft.engine.ebpf.edition import OF_MACS, OF_ROUTES
from weft.engine.ebpf.map_table import encode_address
from weft.kernel.bpf import berths, counters, features, layouts, syscall
from weft.kernel.bpf.counters import DROP_REASONS, PortCounters
from weft.kernel.bpf.layouts import Berth, EndpointFlag, PortFlag, Trace, Trial
from weft.kernel.bpf.maps import BpfMap
from weft.kernel.bpf.programs import DataPlane, HostDevices
from weft.model.addresses import link_local_from_mac
from weft.model.service_addresses import GATEWAY_MAC

REDIRECT, SHOT, PASS = 7, 2, 2**32 - 1
_CB = 48
"""Offset of `cb` in struct __sk_buff."""
_MARK = 8
_IFINDEX = 40
_GSO_SIZE = 176

RED, BLUE, INTERNAL = 10, 20, 30
"""VNIs. RED and INTERNAL have overlapping subnets."""


class Workload(NamedTuple):
    """A port. `device` is the host's end."""

    device: str
    vni: int
    mac: str
    ipv4: str
    ipv6: str
    flags: PortFlag = PortFlag.PORT_OUTSIDE

    @property
    def link_local(self) -> str:
        return str(link_local_from_mac(self.mac))


UNCHECKED = PortFlag.PORT_OUTSIDE | PortFlag.PORT_ANY_SOURCE
ANN = Workload("p1", RED, "02:00:00:00:00:01", "10.1.0.11", "fd00:1::11")
BOB = Workload("p2", RED, "02:00:00:00:00:02", "10.1.0.12", "fd00:1::12")
CYD = Workload("p3", RED, "02:00:00:00:00:03", "10.1.1.13", "fd00:1:1::13")
DAN = Workload("p4", BLUE, "02:00:00:00:00:04", "10.2.0.14", "fd00:2::14")
EVE = Workload("p5", RED, "02:00:00:00:00:05", "10.1.0.15", "fd00:1::15", UNCHECKED)
INA = Workload(
    "p6",
    INTERNAL,
    "02:00:00:00:00:06",
    "10.1.0.12",
    "fd00:3::16",
    PortFlag(0),
)
WORKLOADS = (ANN, BOB, CYD, DAN, EVE, INA)
WITHOUT_BERTH = (CYD, EVE)
"""Whose devices others made, or Weft before there were berths."""


def index_option(workload: Workload) -> str:
    """For `ip link add`: with the device's berth, if it has one."""
    if workload in WITHOUT_BERTH:
        return ""
    return f"index {Berth.FIRST_IFINDEX + 1 + WORKLOADS.index(workload)}"


HOST_MAC, HOST4, HOST6 = "02:00:00:00:00:99", "10.1.0.99", "fd00:1::99"
"""The host's own place on RED."""
EXTRA4, EXTRA6 = "10.1.0.50", "fd00:1::50"
"""More addresses of Ann's."""
SHARED, SHARED_MAC = "10.1.0.60", "00:00:5e:00:01:01"
"""An address that Ann may use with this MAC only."""
ROUTED = "10.1.64.0/24"
"""A prefix that Ann may use."""
RESOLVER4, RESOLVER6 = "192.0.2.53", "2001:db8::53"
WEFT0_MAC = "0a:57:45:46:54:00"
HOST_TAG = 0xA1B2C3D4
MTU = 1450
SUBNETS: Mapping[tuple[int, str], str] = {
    (RED, "10.1.0.0/24"): "10.1.0.1",
    (RED, "10.1.1.0/24"): "10.1.1.1",
    (RED, "10.1.64.0/24"): "",
    (RED, "fd00:1::/64"): "fd00:1::1",
    (RED, "fd00:1:1::/64"): "fd00:1:1::1",
    (BLUE, "10.2.0.0/24"): "10.2.0.1",
    (BLUE, "fd00:2::/64"): "fd00:2::1",
    (INTERNAL, "10.1.0.0/24"): "10.1.0.1",
    (INTERNAL, "fd00:3::/64"): "fd00:3::1",
}
HOST_PREFIXES = {
    "10.1.0.0/24": RED,
    "10.1.1.0/24": RED,
    "fd00:1::/64": RED,
    "fd00:1:1::/64": RED,
    "10.2.0.0/24": BLUE,
    "fd00:2::/64": BLUE,
    "fd00:3::/64": INTERNAL,
}


KEPT = frozenset({"macs_v1", "addresses_v1", "subnets_v1", "routes_v1", "routers_v1"})
"""Maps of which programs keep what they have found."""


class Outcome(NamedTuple):
    """What became of a packet: a target device, or a reason for its end."""

    target: str
    """Name of the device that it was redirected to; ``kernel``: the stack's; empty: dropped."""
    reason: str
    """Why it was dropped; empty: it was not, or there was nothing wrong with it."""
    packet: bytes


class World:
    """Loaded programs, with devices of the calling thread's network namespace."""

    def __init__(self, plane: DataPlane, ifindexes: Mapping[str, int]) -> None:
        self.plane = plane
        self.ports = berths.ports(plane.maps)
        self.ifindexes = ifindexes
        self.names = {ifindex: name for name, ifindex in ifindexes.items()}
        self.mark = 0
        """Of the last packet, as its program left it."""
        self.is_trial = False
        """Whether packets are made ones, of which nothing is to be remembered."""
        self.edition = 0
        """Of the maps `KEPT`."""
        self._put: dict[str, set[bytes]] = {}
        self.jiffies_per_s = features.jiffies_per_s()

    def fill(self) -> None:
        """The maps as at the start of every test."""
        for name, each in self.plane.maps.items():
            self._empty(name, each)
        counters.begin(self.plane.maps, self.ifindexes.values())
        for workload in WORKLOADS:
            self._add_port(workload)
        for (vni, cidr), gateway in SUBNETS.items():
            self.put("subnets_v1", self._subnet_key(vni, cidr), _subnet(gateway))
            if gateway:
                self.add_address(
                    vni, gateway, layouts.Endpoint(flags=_GATEWAY, mac=_mac(GATEWAY_MAC))
                )
        for cidr, vni in HOST_PREFIXES.items():
            key = layouts.HostPrefixKey(*_prefix(cidr)).encode()
            self.put("host_prefixes_v1", key, layouts.HostPrefix(vni).encode())
        for vni in (RED, BLUE, INTERNAL):
            self.set_network(vni)
        for address in (EXTRA4, EXTRA6):
            self.allow(ANN, address)
            self.add_address(RED, address, self.endpoint(ANN))
        self.allow(ANN, SHARED, SHARED_MAC)
        self.allow(ANN, ROUTED)
        for address in (RESOLVER4, RESOLVER6):
            self.put("resolvers_v1", encode_address(ip_address(address)), bytes(8))
        host = layouts.Endpoint(flags=EndpointFlag.ENDPOINT_HOST, mac=_mac(HOST_MAC))
        self.put("macs_v1", layouts.MacKey(RED, _mac(HOST_MAC)).encode(), host.encode())
        for address in (HOST4, HOST6):
            self.add_address(RED, address, host)

    def check_beginnings(self) -> None:
        """Nothing has been written where `fill` does not look."""
        for name, count in _FIRST.items():
            rows = {int.from_bytes(key, "little") for key in self.plane.maps[name].read()}
            assert max(rows, default=0) < count, name

    def set_network(self, vni: int, flags: int = 0) -> None:
        value = layouts.Network(flags, len(WORKLOADS)).encode()
        self.put("networks_v1", struct.pack("<I", vni), value)

    def set_port(self, workload: Workload, **changes: object) -> None:
        value = self._port(workload)._replace(**changes).encode()  # type: ignore[arg-type]
        assert not self.ports.update({self._key(workload): value})

    def remove_port(self, workload: Workload) -> None:
        assert not self.ports.delete([self._key(workload)])

    def _key(self, workload: Workload) -> bytes:
        return struct.pack("<I", self.ifindexes[workload.device])

    def allow(self, workload: Workload, cidr: str, mac: str = "") -> None:
        bits, address = _prefix(cidr)
        key = layouts.AllowedKey(32 + bits, self.ifindexes[workload.device], address).encode()
        self.put("allowed_v1", key, layouts.Allowed(_mac(mac)).encode())

    def add_address(self, vni: int, address: str, endpoint: layouts.Endpoint) -> None:
        key = layouts.AddressKey(vni, encode_address(ip_address(address))).encode()
        self.put("addresses_v1", key, endpoint.encode())

    def send(self, workload: Workload, packet: bytes, gso_size: int = 0) -> Outcome:
        """What from_port makes of a packet that a workload sends."""
        return self._run("from_port", workload.device, packet, gso_size)

    def send_from_host(self, packet: bytes) -> Outcome:
        """What from_host makes of a packet that the host sends through weft0."""
        return self._run("from_host", "weft1", packet)

    def arrive(self, packet: bytes, gso_size: int = 0) -> Outcome:
        """What from_wire makes of a packet that comes by the underlay."""
        return self._run("from_wire", "uplink", packet, gso_size)

    def counters(self, device: str) -> PortCounters:
        found = counters.read(self.plane.maps)
        return found.get(self.ifindexes[device], PortCounters())

    def ports_of(self, vni: int) -> set[str]:
        return {workload.device for workload in WORKLOADS if workload.vni == vni}

    def _run(self, role: str, device: str, packet: bytes, gso_size: int = 0) -> Outcome:
        context = bytearray(192)
        struct.pack_into("<I", context, _IFINDEX, self.ifindexes[device])
        struct.pack_into("<I", context, _GSO_SIZE, gso_size)
        struct.pack_into("<I", context, _CB + 4 * Trace.TRACE_TRIAL, Trial.TRIAL * self.is_trial)
        result = syscall.run_program(self.plane.programs[role].fd, packet, bytes(context))
        target, reason = struct.unpack_from("<II", result.context, _CB)
        (self.mark,) = struct.unpack_from("<I", result.context, _MARK)
        if role == "from_wire" and result.verdict == PASS:
            return Outcome("kernel", "", result.packet)
        assert result.verdict in (REDIRECT, SHOT), "a program lets the host's stack decide"
        assert (result.verdict == REDIRECT) == (target != 0)
        return Outcome(
            self.names[target] if target else "",
            DROP_REASONS[reason] if reason else "",
            result.packet,
        )

    def _empty(self, name: str, each: BpfMap) -> None:
        """Large arrays are not looked through: of those that programs do not write it is known what
        was put, and of the others only the beginning is used."""
        if name in _LARGE:
            each.delete(self._put.pop(name, ()))
        elif name in _FIRST:
            each.delete(list(each.read_first(_FIRST[name])))
        else:
            each.delete(list(each.read()))
            assert not each.read(), name

    def _add_port(self, workload: Workload) -> None:
        ifindex = self.ifindexes[workload.device]
        slot = WORKLOADS.index(workload)
        self.set_port(workload)
        endpoint = self.endpoint(workload)
        for address in (workload.ipv4, workload.ipv6):
            self.add_address(workload.vni, address, endpoint)
        mac_key = layouts.MacKey(workload.vni, _mac(workload.mac)).encode()
        self.put("macs_v1", mac_key, endpoint.encode())
        flood_key = layouts.FloodKey(workload.vni, slot).encode()
        self.put("flood_v1", flood_key, layouts.Flood(ifindex).encode())

    def _port(self, workload: Workload) -> layouts.Port:
        return layouts.Port(
            workload.vni,
            workload.flags,
            _mac(workload.mac),
            MTU,
            WORKLOADS.index(workload),
            encode_address(ip_address(workload.ipv4)),
            encode_address(ip_address(workload.ipv6)),
        )

    def endpoint(self, workload: Workload) -> layouts.Endpoint:
        return layouts.Endpoint(self.ifindexes[workload.device], mac=_mac(workload.mac))

    def _subnet_key(self, vni: int, cidr: str) -> bytes:
        bits, address = _prefix(cidr)
        return layouts.SubnetKey(32 + bits, vni, address).encode()

    def put(self, name: str, key: bytes, value: bytes) -> None:
        self._put.setdefault(name, set()).add(key)
        failures = self.plane.maps[name].update({key: value})
        assert not failures, failures
        if name in KEPT:
            self.tell_edition()

    def tell_edition(self) -> None:
        """A map has changed of which programs keep what they have found."""
        self.edition = (self.edition + 2) % 2**32
        edition = layouts.Edition(self.edition).encode()
        for name in (OF_MACS, OF_ROUTES):
            assert not self.plane.maps[name].update({bytes(4): edition})


QUERIES_PER_S = 50
"""Of one port."""
_GATEWAY = EndpointFlag.ENDPOINT_GATEWAY
_LARGE = {
    f"{name}_v1"
    for name in (
        *("port_rules", "generations", "current", "subjects", "spans", "identities"),
        "atom_sets",
    )
}
_DEVICES = 256
_FIRST = {
    "rule_counts_v1": 512,
    "rules_v1": 4096,
    "ports_v2": _DEVICES,
    "counters_v2": _DEVICES,
    "flow_holds_v1": _DEVICES,
}
"""How many rows of large arrays tests use, from the beginning."""


def host_devices(ifindexes: Mapping[str, int]) -> HostDevices:
    return HostDevices(
        ifindexes["weft0"],
        WEFT0_MAC,
        ifindexes["weft1"],
        host_tag=HOST_TAG,
        weftx_ifindex=ifindexes.get("weftx", 0),
        query_every_ns=1_000_000_000 // QUERIES_PER_S,
    )


def _mac(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", "")) if mac else bytes(6)


def _prefix(cidr: str) -> tuple[int, bytes]:
    network = ip_network(cidr)
    bits = network.prefixlen + (96 if network.version == 4 else 0)
    return bits, encode_address(network.network_address)


def _subnet(gateway: str) -> bytes:
    return layouts.Subnet(encode_address(ip_address(gateway) if gateway else None)).encode()
