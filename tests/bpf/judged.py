"""Judged ports in the world of `world.py`: their rules, and what programs know of their flows."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from tests.bpf import wire
from tests.bpf.rules import TENANT, Model, Rule, addresses_of
from tests.bpf.world import RED, WORKLOADS, Workload, World
from weft.engine.ebpf.policy.slots import slot_of
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import (
    EndpointFlag,
    FloodFlag,
    FlowFlag,
    FlowState,
    NetworkFlag,
    PortFlag,
    RulesFlag,
)

NETWORK_SLOT = 5000
FIRST_PORT_SLOT = 6000
ALLOW_ALL = RulesFlag.RULES_ALLOW_INGRESS | RulesFlag.RULES_ALLOW_EGRESS
NONE = RulesFlag(0)
SYN, ACK, FIN, RST = 0x02, 0x10, 0x01, 0x04
SYN_ACK = SYN | ACK


class Flow(layouts.Flow):
    """One direction of a connection."""

    @property
    def is_denied(self) -> bool:
        return bool(self.flags & FlowFlag.FLOW_DENIED)

    @property
    def is_answer(self) -> bool:
        return bool(self.flags & FlowFlag.FLOW_ANSWERS)


class Judged:
    """Ports of RED, or of other networks, that have rules."""

    def __init__(self, world: World, *vnis: int) -> None:
        self.world = world
        self.vnis = vnis or (RED,)
        self.model = Model()
        self._ports: dict[Workload, tuple[list[int], RulesFlag]] = {}

    def judge(
        self, workload: Workload, subjects: Iterable[int] = (), flags: RulesFlag = NONE
    ) -> None:
        """From now on the port has the rules of these subjects."""
        self._ports[workload] = (list(subjects), flags)

    def spare(self, workload: Workload) -> None:
        """From now on the port has no rules."""
        self._ports.pop(workload, None)

    def apply(self, *rules: Rule, is_told: bool = True) -> None:
        """The maps as ports, groups and these rules say; then `is_told`: decisions made before hold
        no more."""
        self.model.rules = list(rules)
        image = self.model.image(each for its, _ in self._ports.values() for each in its)
        for workload, (subjects, flags) in self._ports.items():
            image.add_port(
                self.row(workload),
                subjects,
                flags,
                tenant=TENANT,
                network_slot=NETWORK_SLOT,
                port_slot=self.port_slot(workload),
            )
        identities = self.model.fill(self.world, image)
        for workload in WORKLOADS:
            if workload.vni in self.vnis:
                self._write_port(workload, identities)
        for vni in self.vnis:
            self.world.set_network(vni, NetworkFlag.NETWORK_JUDGES)
        if is_told:
            self.tell(NETWORK_SLOT)

    def tell(self, slot: int) -> None:
        """Raise a number."""
        key = struct.pack("<I", slot)
        raw = self.world.plane.maps["generations_v1"].lookup(key)
        number = layouts.Generation.decode(raw).number if raw else 0
        self.world.put("generations_v1", key, layouts.Generation(number + 1).encode())

    def row(self, workload: Workload) -> int:
        return WORKLOADS.index(workload) + 1

    def port_slot(self, workload: Workload) -> int:
        return FIRST_PORT_SLOT + self.row(workload)

    def address_slot(self, address: str) -> int:
        return slot_of(ip_address(address))

    def rule_counts(self, number: int) -> tuple[int, ...]:
        """(flows, drops) since the last time that it was asked."""
        counts = self.world.plane.maps["rule_counts_v1"]
        key = struct.pack("<I", number)
        raw = counts.lookup(key) or bytes(counts.value_size)
        counts.delete([key])
        numbers = struct.unpack(f"<{len(raw) // 8}Q", raw)
        return sum(numbers[::2]), sum(numbers[1::2])

    def flows(self) -> dict[str, Flow]:
        """By what their packets show: ``leaves 10.1.0.11:4000 > 10.1.0.12:80``."""
        maps = self.world.plane.maps
        four = (
            (layouts.FlowKey4.decode(key), raw) for key, raw in maps["flows4_v1"].read().items()
        )
        six = ((layouts.FlowKey6.decode(key), raw) for key, raw in maps["flows6_v1"].read().items())
        found = {_shown4(key): layouts.Flow.decode(raw) for key, raw in four}
        found |= {_shown6(key): layouts.Flow.decode(raw) for key, raw in six}
        return {shown: Flow._make(flow) for shown, flow in found.items()}

    def states(self) -> dict[str, FlowState]:
        """Of flows that are not denied."""
        return {
            shown: FlowState(flow.state)
            for shown, flow in self.flows().items()
            if not flow.is_denied
        }

    def void(self) -> None:
        """All entries as they are while a program changes them."""
        for name in ("flows4_v1", "flows6_v1"):
            each = self.world.plane.maps[name]
            changed = {
                key: layouts.Flow.decode(raw)._replace(generation=0).encode()
                for key, raw in each.read().items()
            }
            assert not each.update(changed)

    def age(self, seconds: int) -> None:
        """Let time pass for all flows."""
        past = seconds * self.world.jiffies_per_s
        for name in ("flows4_v1", "flows6_v1"):
            each = self.world.plane.maps[name]
            flows = {key: layouts.Flow.decode(raw) for key, raw in each.read().items()}
            older = {
                key: flow._replace(
                    seen=(flow.seen - past) % 2**32, created=(flow.created - past) % 2**32
                ).encode()
                for key, flow in flows.items()
            }
            assert not each.update(older)

    def _write_port(self, workload: Workload, identities: dict[frozenset[int], int]) -> None:
        is_judged = workload in self._ports
        flag = PortFlag.PORT_JUDGED if is_judged else PortFlag(0)
        rules = self.row(workload) if is_judged else 0
        self.world.set_port(workload, flags=workload.flags | flag, rules=rules)
        endpoint = self.world.endpoint(workload)
        if is_judged:
            endpoint = endpoint._replace(flags=EndpointFlag.ENDPOINT_JUDGED)
        for address in addresses_of(workload):
            groups = frozenset(self.model.groups.get(address, ()))
            group = identities.get(groups, 0) if address in self.model.groups else 0
            self.world.add_address(workload.vni, str(address), endpoint._replace(group=group))
        key = layouts.MacKey(workload.vni, wire.mac_bytes(workload.mac)).encode()
        self.world.put("macs_v1", key, endpoint.encode())
        flood = FloodFlag.FLOOD_JUDGED if is_judged else FloodFlag(0)
        key = layouts.FloodKey(workload.vni, WORKLOADS.index(workload)).encode()
        row = layouts.Flood(self.world.ifindexes[workload.device], flood)
        self.world.put("flood_v1", key, row.encode())


_KINDS = {1: "leaves", 2: "arrives", 3: "enters"}


def _shown4(key: layouts.FlowKey4) -> str:
    source, destination = IPv4Address(key.source_be), IPv4Address(key.destination_be)
    return _shown(key, f"{source}", f"{destination}")


def _shown6(key: layouts.FlowKey6) -> str:
    source, destination = IPv6Address(key.source), IPv6Address(key.destination)
    return _shown(key, f"[{source}]", f"[{destination}]")


def _shown(key: layouts.FlowKey4 | layouts.FlowKey6, source: str, destination: str) -> str:
    ports = (int.from_bytes(each) for each in (key.source_port_be, key.destination_port_be))
    one, other = ports
    return f"{_KINDS[key.kind]} {source}:{one} > {destination}:{other}"


def segment(
    sender: Workload,
    target: Workload,
    flags: int = SYN,
    ports: tuple[int, int] = (4000, 80),
    *,
    version: int = 4,
    mac: str = "",
) -> bytes:
    """TCP, to the target's MAC or another one."""
    source, destination = (each.ipv4 if version == 4 else each.ipv6 for each in (sender, target))
    payload = wire.tcp(source, destination, ports, b"", flags)
    return framed(sender, mac or target.mac, source, destination, wire.TCP, payload)


def datagram(
    sender: Workload,
    target: Workload,
    ports: tuple[int, int] = (4000, 53),
    *,
    version: int = 4,
    mac: str = "",
) -> bytes:
    """UDP."""
    source, destination = (each.ipv4 if version == 4 else each.ipv6 for each in (sender, target))
    payload = wire.udp(source, destination, ports)
    return framed(sender, mac or target.mac, source, destination, wire.UDP, payload)


def echo(sender: Workload, target: Workload, *, version: int = 4, is_answer: bool = False) -> bytes:
    source, destination = (each.ipv4 if version == 4 else each.ipv6 for each in (sender, target))
    if version == 4:
        payload, protocol = wire.icmp(0 if is_answer else 8), wire.ICMP
    else:
        payload = wire.echo6(source, destination, 129 if is_answer else 128)
        protocol = wire.ICMPV6
    return framed(sender, target.mac, source, destination, protocol, payload)


def framed(
    sender: Workload, mac: str, source: str, destination: str, protocol: int, payload: bytes
) -> bytes:
    if ":" in source:
        packet = wire.ipv6(source, destination, protocol, payload)
        return wire.ether(mac, sender.mac, wire.IPV6, packet)
    packet = wire.ipv4(source, destination, protocol, payload)
    return wire.ether(mac, sender.mac, wire.IPV4, packet)


def unreachable(
    sender: Workload, target: Workload, quoted: bytes, *, source: str = "", code: int = 1
) -> bytes:
    """An ICMP error about a whole frame that `target` has sent."""
    packet = quoted[14:]
    version = packet[0] >> 4
    source = source or (sender.ipv4 if version == 4 else sender.ipv6)
    destination = target.ipv4 if version == 4 else target.ipv6
    if version == 4:
        body = struct.pack(">BBHI", 3, code, 0, 0) + packet[:28]
        payload = body[:2] + struct.pack(">H", wire.checksum(body)) + body[4:]
        return framed(sender, target.mac, source, destination, wire.ICMP, payload)
    payload = wire.icmpv6(source, destination, 1, bytes(4) + packet[:60], code=code)
    return framed(sender, target.mac, source, destination, wire.ICMPV6, payload)


def pieces(
    sender: Workload, target: Workload, version: int, size: int = 48, identity: int = 7
) -> list[bytes]:
    """A UDP datagram in three."""
    ends = (sender.ipv4, target.ipv4) if version == 4 else (sender.ipv6, target.ipv6)
    whole = wire.udp(*ends, (4000, 53), bytes(3 * size - 8))
    made = []
    for at in range(0, len(whole), size):
        part, more = whole[at : at + size], at + size < len(whole)
        if version == 4:
            packet = wire.ipv4(
                *ends, wire.UDP, part, fragment=at // 8 | (0x2000 if more else 0), identity=identity
            )
        else:
            header = struct.pack(">BBHI", wire.UDP, 0, at | more, identity)
            packet = wire.ipv6(*ends, wire.FRAGMENT, header + part)
        made.append(
            wire.ether(target.mac, sender.mac, wire.IPV4 if version == 4 else wire.IPV6, packet)
        )
    return made
