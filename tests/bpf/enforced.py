"""Security groups as records in the world of `world.py`: compiled, and written by the drivers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from msgspec.structs import replace

from tests.bpf import wire
from tests.bpf.judged import framed, segment
from tests.bpf.overlay import FAR, HUGO, WAYS, coming, connect, vxlan
from tests.bpf.world import ANN, BOB, CYD, EVE, HOST_TAG, RED, SUBNETS, Workload, World
from weft.engine.compiler import Compiler
from weft.engine.difference import Difference, difference
from weft.engine.ebpf.compile import functions
from weft.engine.ebpf.drivers.maps import MapDriver
from weft.engine.ebpf.drivers.sources import SourceDriver
from weft.engine.ebpf.enforcement import Enforcement
from weft.engine.ebpf.map_table import MapTable, Names
from weft.engine.ebpf.tables import TABLES
from weft.engine.ebpf.tables.flood import FLOOD
from weft.engine.ebpf.tables.networks import NETWORKS
from weft.engine.ebpf.tables.ports import PORTS
from weft.engine.plumbing.devices import Devices
from weft.engine.rows import RowFailure
from weft.engine.steps import additions, leavings, removals
from weft.errors import NotFoundError
from weft.model.addresses import IPAddress, ip_address
from weft.model.choices import Direction
from weft.model.ids import HostId, MacAddress, NetworkId, PortId, SubnetId, Vni
from weft.model.records import Host, Network, Owner, Port, Record, Subnet, Veth
from weft.semantics.policy import Packet, Remote, is_let_through
from weft.store.interface import Change, Put
from weft.store.memory import MemoryStore

HERE = HostId(f"{HOST_TAG:08x}00000000")
THERE = HostId(f"{HUGO.tag:08x}00000000")
NET = NetworkId("00000000-0000-4000-8000-0000000000aa")
LOCAL = (ANN, BOB, CYD, EVE)
EVERYBODY = (*LOCAL, FAR)
ARRAYS = (
    *("port_rules_v1", "generations_v1", "current_v1", "subjects_v1", "spans_v1"),
    *("identities_v1", "atom_sets_v1", "rules_v1", "rule_counts_v1"),
)
"""That drivers write, and that are not looked through before a test."""
Rows = dict[str, dict[Hashable, Hashable]]


class WorldDevices(Devices):
    """Those of the world, and no kernel."""

    def __init__(self, world: World) -> None:
        self._world = world

    def ifindex(self, name: str) -> int:
        try:
            return self._world.ifindexes[name]
        except KeyError:
            raise NotFoundError(f"device {name}: there is none") from None

    def name(self, ifindex: int) -> str:
        return self._world.names.get(ifindex, f"#{ifindex}")


def port_of(workload: Workload, **facts: object) -> Port:
    """The record of a workload."""
    at = EVERYBODY.index(workload)
    is_here = workload in LOCAL
    known = Port(
        id=PortId(f"00000000-0000-4000-8000-00000000010{at}"),
        network_id=NET,
        host_id=HERE if is_here else THERE,
        mac=MacAddress(workload.mac),
        slot=at,
        addresses=(ip_address(workload.ipv4), ip_address(workload.ipv6)),
        is_spoof_checked=workload is not EVE,
        device=Veth(ifname=workload.device or "weft1234567890", peer_ifname="eth0"),
        owner=Owner(frontend="cli"),
    )
    return replace(known, **facts)


def first_records() -> list[Record]:
    """A network with all ports, and no rules."""
    subnets = [(cidr, gateway) for (vni, cidr), gateway in SUBNETS.items() if vni == RED]
    return [
        Host(id=HERE, name="here"),
        Host(id=THERE, name="there"),
        Network(id=NET, name="net", vni=Vni(RED)),
        *(
            Subnet(
                id=SubnetId(f"subnet{number}"),
                cidr=ip_network(cidr),
                network_id=NET,
                gateway=ip_address(gateway) if gateway else None,
            )
            for number, (cidr, gateway) in enumerate(subnets)
        ),
        *(port_of(workload) for workload in EVERYBODY),
    ]


class Enforced:
    """What weftd does about records of policy, but for the devices."""

    plain: Sequence[MapTable[Any, Any]] = (NETWORKS, FLOOD)
    """Tables whose rows become entries one by one."""

    def __init__(self, world: World, records: Iterable[Record] | None = None) -> None:
        """With these records, or with `first_records`."""
        connect(world)
        self.world = world
        self.store = MemoryStore(first_records() if records is None else records)
        self.compiler = Compiler(functions(HERE), self.store)
        self.start()

    def start(self) -> None:
        """As a weftd that starts: it knows nothing but what is in the maps."""
        world = self.world
        self.enforcement = Enforcement(world.plane.maps.__getitem__, WorldDevices(world), WAYS)
        names = self.enforcement.names
        plain = [self._plain(each, names) for each in self.plain]
        changing = self.enforcement.port_changing
        ports = SourceDriver(PORTS, lambda: world.ports, names, changing)
        drivers = (*plain, ports, *self.enforcement.drivers)
        self.drivers = {driver.name: driver for driver in drivers}
        self.tables = [table for table in TABLES if table.name in self.drivers]

    def _plain(self, table: MapTable[Any, Any], names: Names) -> MapDriver:
        return MapDriver(table, lambda: self.world.plane.maps[table.map_name], names)

    def look(self) -> Difference:
        """Compare and mend; what was written and deleted, by table."""
        desired = {
            name: rows for name, rows in self.compiler.rows().items() if name in self.drivers
        }
        self.enforcement.begin_look()
        actual = {
            table.name: self.drivers[table.name].read(desired.get(table.name, {}))
            for table in self.tables
        }
        self.enforcement.end_look()
        changes = difference(desired, actual)
        assert self.apply(changes.upserts, changes.deletes) == []
        return changes

    def change(self, *changes: Change) -> list[RowFailure]:
        """Records are written, and become true."""
        rows = self.compiler.update(self.store.apply(changes))
        assert not self.compiler.faults, self.compiler.faults
        upserts: Rows = {}
        deletes: dict[str, set[Hashable]] = {}
        for row, value in rows.upserts.items():
            upserts.setdefault(row.table, {})[row.key] = value
        for row in rows.deletes:
            deletes.setdefault(row.table, set()).add(row.key)
        return self.apply(upserts, deletes)

    def put(self, *records: Record) -> None:
        """Records that must come into force."""
        failures = self.change(*map(Put, records))
        assert not failures, failures

    def apply(
        self,
        upserts: Mapping[str, Mapping[Hashable, Hashable]],
        deletes: Mapping[str, Iterable[Hashable]],
    ) -> list[RowFailure]:
        """As the sink does."""
        gone = {table: list(keys) for table, keys in deletes.items()}
        failures: list[RowFailure] = []
        for step in removals(self.tables, gone):
            failures += self.drivers[step.table.name].write({}, step.deletes)
        for step in additions(self.tables, upserts, gone):
            self.enforcement.before(step, upserts, gone)
            failures += self.drivers[step.table.name].write(step.upserts, step.deletes)
        for step in leavings(self.tables, gone):
            failures += self.drivers[step.table.name].write({}, step.deletes)
        self.enforcement.finish()
        return failures

    def is_let_through(self, sender: Workload, target: Workload, packet: Packet, v: int) -> bool:
        """What the specification says of a new flow between two ports."""
        addresses = [ip_address(each.ipv4 if v == 4 else each.ipv6) for each in (sender, target)]
        one, other = (self.store.get(Port, port_of(each).id) for each in (sender, target))
        assert one is not None and other is not None
        is_out = sender not in LOCAL or self.says(
            one, Direction.EGRESS, Remote(addresses[1], NET, other), packet
        )
        is_in = target not in LOCAL or self.says(
            other, Direction.INGRESS, Remote(addresses[0], NET, one), packet
        )
        return is_out and is_in

    def says(self, port: Port, direction: Direction, remote: Remote, packet: Packet) -> bool:
        return is_let_through(self.store, port, direction, remote, packet)

    def is_sent(self, sender: Workload, target: Workload, packet: bytes) -> bool:
        """What the kernel does with it."""
        if sender in LOCAL:
            outcome = self.world.send(sender, packet)
            wanted = target.device if target in LOCAL else "uplink"
        else:
            outcome = self.world.arrive(coming(HUGO, 4, vxlan(RED, packet)))
            wanted = target.device
        if outcome.target == wanted:
            return True
        is_refused = outcome.reason in ("policy", "spoofed_address")
        assert is_refused or outcome.target == sender.device, outcome[:2]
        return False

    def is_open(self, sender: Workload, target: Workload, port: int = 80, v: int = 4) -> bool:
        """Whether a new connection gets there, of which both say the same."""
        self._last = getattr(self, "_last", 10000) + 1
        ports = (self._last, port)
        sent = self.is_sent(sender, target, segment(sender, target, ports=ports, version=v))
        assert sent == self.is_let_through(sender, target, Packet(6, *ports), v)
        return sent


def empty(world: World) -> None:
    """Arrays that are not looked through before a test, which drivers have written."""
    for name in ARRAYS:
        each = world.plane.maps[name]
        each.delete(list(each.read()))


def to_outside(sender: Workload, gateway_mac: str, address: str, ports: tuple[int, int]) -> bytes:
    """TCP by way of the gateway."""
    source = sender.ipv6 if ":" in address else sender.ipv4
    payload = wire.tcp(source, address, ports, b"", 2)
    return framed(sender, gateway_mac, source, address, wire.TCP, payload)


def as_address(text: str) -> IPAddress:
    return ip_address(text)
