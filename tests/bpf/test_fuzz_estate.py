"""Hostile packets on two tenants with the same addresses, with routers and rules that change: none
gets to anybody, out of this host or back to its sender, but as the specification lets it.

A failure prints rows for `FOUND`: what was sent to which estate, as little of it as fails.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import pytest

from tests.bpf import fuzzing, wire
from tests.bpf.enforced import HERE, THERE, empty
from tests.bpf.estate import AWAY, Chance, Estate, address
from tests.bpf.hostile_packets import Cast, Forge
from tests.bpf.overlay import HUGO, IDA, OWN4, OWN6, coming, vxlan
from tests.bpf.permission import Permission, at_port, is_on
from tests.bpf.readings import Tuple, read
from tests.bpf.world import RESOLVER4, RESOLVER6, WORKLOADS, Outcome, World
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Berth
from weft.model.addresses import ip_address, link_local_from_mac
from weft.model.choices import Direction
from weft.model.ids import HostId, MacAddress, Vni
from weft.model.records import Network, Port
from weft.model.records.security import ICMP, ICMPV6, TCP, UDP
from weft.model.service_addresses import ALIAS4, ALIAS6, DNS4, DNS6, GATEWAY_MAC
from weft.semantics.policy import Remote, judge
from weft.semantics.routers import port_at
from weft.semantics.routing import End, Way

STEPS = 1000
"""Volleys at one estate."""
SHORTENING_S = 40
"""Of a failure that is told."""
HOSTS = {THERE: HUGO, AWAY: IDA}
PORTS = (22, 53, 67, 68, 80, 81, 500, 546, 547, 4000, 4001)
FIRST_FRESH = 20000
"""From here on source ports are those of flows whose fate is known exactly."""
ANSWERS = {4: {ICMP, TCP}, 6: {ICMPV6, TCP}}


class Step(NamedTuple):
    """Something that is done to an estate."""

    program: str
    """Or ``change``, whose number is `at`; or ``open``: the first packet of a flow of its own."""
    at: Hashable
    """The sender's device; of what comes from the underlay the other host's address and the VNI."""
    frame: bytes = b""
    gso_size: int = 0


FOUND: list[tuple[int, list[Step]]] = [
    # TCP to many, as if amidst a connection: it passed the sender's side as an answer, and the
    # receiver's as a question.
    (
        3812880740,
        [
            Step(
                "from_port",
                "p1",
                bytes.fromhex(
                    "ffffffffffff02000000000f86dd60000000001c0602fd640000000000000000000000000001"
                    "fd6100000000000000000000000000c80fa00fa100000001000000025003020019bf0000a68e"
                    "dd9f11c1e357"
                ),
            )
        ],
    ),
    # From the host to a MAC of many, which says nothing there: it was not judged.
    (
        9,
        [
            Step(
                "from_host",
                "",
                bytes.fromhex(
                    "ffffffffffff02000000000186dd6000000000503a40fe80000000000000000000fffe00000c"
                    "fd61000000000000000000000000000b010263b4000005006000000000203afffd6100000000"
                    "0000000000000000000bfe80000000000000000000fffe00000c8201dd1f741c9f3efd610000"
                    "0000000000000000000000c90101020000009103"
                ),
            )
        ],
    ),
]
"""(seed of the estate, what was done to it): each has failed once."""


class Leak(AssertionError):
    """Something is where it must not be."""


class Siege:
    """An estate, and what is sent there."""

    def __init__(self, world: World, seed: int) -> None:
        world.fill()
        empty(world)
        self.estate = Estate(world, seed)
        self.world = world
        self.permission = Permission(self.estate)
        self.here = dict(self.estate.ports_here())
        self.by_device = {each.device: port for each, port in self.here.items()}
        self.outcomes: dict[str, int] = {}

    def take(self, step: Step) -> None:
        """Do it, and look at what comes of it."""
        match step.program:
            case "change":
                assert isinstance(step.at, int)
                self.estate.change_something(step.at)
                self.permission.changed()
                self.here = dict(self.estate.ports_here())
                self.by_device = {each.device: port for each, port in self.here.items()}
            case "from_port":
                self._from_port(str(step.at), step)
            case "from_wire":
                self._from_wire(step)
            case "from_host":
                self._from_host(step)
            case "open":
                self._open(step)
            case "from_overlay":
                outcome = self._run(step, "weftx")
                self._expect(not outcome.target, "nothing has come by the tunnel")
            case other:
                raise ValueError(f"no program {other}")

    def _run(self, step: Step, device: str) -> Outcome:
        program = "from_port" if step.program == "open" else step.program
        outcome = self.world._run(program, device, step.frame, step.gso_size)
        key = outcome.reason or outcome.target or "absorbed"
        self.outcomes[key] = self.outcomes.get(key, 0) + 1
        self.outcome = outcome
        return outcome

    def _expect(self, is_right: bool, what: str) -> None:
        if not is_right:
            raise Leak(f"{what}: {self.outcome.target} {self.outcome.packet.hex()}")

    # What ports send

    def _from_port(self, device: str, step: Step) -> None:
        sender, place = self.by_device[device], at_port(self.by_device[device])
        self.permission.note(place, step.frame)
        vni = self.estate.network_of(sender).vni
        before = self._received() if step.frame[0] & 1 else {}
        outcome = self._run(step, device)
        if before:
            self._check_copies(place, step.frame, sender, vni, before)
        if outcome.target == device:
            self._check_answer(step.frame, sender)
        elif outcome.target == "weft0":
            self._check_source(step.frame, sender)
            self._check_leaving(step.frame, sender)
        elif outcome.target in ("uplink", "weftx"):
            self._check_source(step.frame, sender)
            self._check_sent(place, step.frame, sender)
        elif outcome.target:
            self._check_source(step.frame, sender)
            receiver = self.by_device[outcome.target]
            may = self.permission.may_reach(sender, step.frame, receiver)
            self._expect(may, "no way leads there")
            may = self.permission.may_pass(place, step.frame, sender, receiver, vni)
            self._expect(may, "no rule lets it")

    def _open(self, step: Step) -> None:
        """What becomes of it is what the specification says, and nothing else."""
        device, way_to = str(step.at), read(step.frame)
        sender, found = self.by_device[device], way_to
        assert found is not None
        self._from_port(device, step)
        flow = found.flow
        there = port_at(self.estate.store, sender.network_id, flow.destination)
        if there is not None:
            led = [Way(End.PORT, (), sender.network_id, there)]
        else:
            led = list(self.permission.ways(sender, found, MacAddress(GATEWAY_MAC)))
        if not led or any(way.end is not End.PORT for way in led):
            return
        fates = {self._fate(flow, sender, way) for way in led}
        fate = self.outcome.target
        if fate == device or (fate == "" and self.outcome.reason == "policy"):
            fate = ""
        elif not fate:
            fate = self.outcome.reason
        self._expect(fate in fates, f"not what was to be: {sorted(fates)}")

    def _fate(self, flow: Tuple, sender: Port, way: Way) -> str:
        """Where it is to be; empty: nowhere, by a rule."""
        receiver, id = way.port, way.network_id
        assert receiver is not None and id is not None
        if receiver == sender:
            return ""
        view, packet = self.estate.store, flow.packet()
        holder = port_at(view, id, flow.destination)
        remote = Remote(flow.destination, id, holder)
        if not judge(view, sender, Direction.EGRESS, remote, packet).is_allowed:
            return ""
        if receiver.host_id != HERE:
            return "uplink"
        remote = Remote(flow.source, sender.network_id, sender)
        if not judge(view, receiver, Direction.INGRESS, remote, packet).is_allowed:
            return ""
        assert receiver.ifname is not None
        return receiver.ifname

    def _check_source(self, frame: bytes, sender: Port) -> None:
        """A port whose source is checked sends as itself alone."""
        if not sender.is_spoof_checked:
            return
        own = {*sender.addresses, link_local_from_mac(sender.mac)}
        self._expect(frame[6:12] == wire.mac_bytes(sender.mac), "another MAC")
        kind, found = frame[12:14], read(frame)
        if kind == b"\x08\x06":
            says = ip_address(frame[28:32])
            self._expect(says in own or int(says) == 0, "another address in ARP")
        elif found is not None:
            source = found.flow.source
            is_free = int(source) == 0 and (found.is_upkeep or found.is_dhcp)
            self._expect(source in own or is_free, "another address")

    def _check_answer(self, frame: bytes, sender: Port) -> None:
        """To whoever has sent the frame: about it, or an answer to it; or it is for himself."""
        answer = self.outcome.packet
        if answer[12:14] == b"\x08\x06":
            self._expect(answer[20:22] == b"\0\x02" and frame[12:14] == b"\x08\x06", "no reply")
            return
        got, found = read(answer), read(frame)
        self._expect(got is not None and found is not None, "what is no IP is answered")
        assert got is not None and found is not None
        is_led_back = self.permission.may_reach(sender, frame, sender)
        if got.flow == found.flow and (found.flow.destination in sender.addresses or is_led_back):
            return
        self._expect(got.flow.protocol in ANSWERS[got.flow.version], "no answer")

    def _check_leaving(self, frame: bytes, sender: Port) -> None:
        """To this host: a report or a query, or what has a way out."""
        got = self.outcome.packet
        if got[12:14] == b"\x88\xb6":
            self._expect(got[14:] == frame[14:], "another report")
            return
        network = self.estate.network_of(sender)
        found, original = read(got), read(frame)
        assert found is not None and original is not None
        if found.flow.destination in (DNS4, DNS6):
            is_alias = found.flow.source in ALIAS4 or found.flow.source in ALIAS6
            self._expect(is_alias, "a query of somebody else")
            return
        self._expect(is_on(self.estate, network, found.flow.source), "from another network")
        self._expect(self.permission.may_leave(sender, frame), "no way out")
        place = at_port(sender)
        may = self.permission.may_pass(place, frame, sender, None, network.vni)
        self._expect(may, "no rule lets it out")

    def _check_sent(self, place: Any, frame: bytes, sender: Port) -> None:
        """To another host, for a port there. What weftx packs shows the receiver's MAC alone."""
        host, vni, inner = self._opened()
        own = self.estate.network_of(sender).vni
        receivers = self._ports_there(host, vni, inner)
        self._expect(bool(receivers), "nobody is there")
        led = [each for each in receivers if self.permission.may_reach(sender, frame, each)]
        self._expect(bool(led), "no way leads there")
        may = any(self.permission.may_pass(place, frame, sender, each, own) for each in led)
        self._expect(may, "no rule lets it")

    def _ports_there(self, host: HostId | None, vni: int | None, inner: bytes) -> list[Port]:
        """Of other hosts, as far as known, those that a frame is for."""
        return [
            port
            for port in self.estate.store.list(Port)
            if port.host_id != HERE
            and host in (None, port.host_id)
            and vni in (None, self.estate.network_of(port).vni)
            and wire.mac_bytes(port.mac) == inner[:6]
        ]

    def _opened(self) -> tuple[HostId | None, int | None, bytes]:
        """Of an underlay packet: the host that it is for, the VNI, and what is inside."""
        packet = self.outcome.packet
        if self.outcome.target == "weftx":
            return None, None, packet
        is_ipv4 = packet[12:14] == b"\x08\x00"
        own, other = (packet[26:30], packet[30:34]) if is_ipv4 else (packet[22:38], packet[38:54])
        at = 42 if is_ipv4 else 62
        self._expect(ip_address(own) in map(ip_address, (OWN4, OWN6)), "from another host")
        to = ip_address(other)
        hosts = [id for id, peer in HOSTS.items() if to in map(ip_address, (peer.ipv4, peer.ipv6))]
        self._expect(bool(hosts), "to a stranger")
        return hosts[0], int.from_bytes(packet[at + 4 : at + 7], "big"), packet[at + 8 :]

    # What comes from elsewhere

    def _from_wire(self, step: Step) -> None:
        assert isinstance(step.at, tuple)
        source, vni = step.at
        place = ("wire", vni)
        self.permission.note(place, step.frame)
        peer = next(each for each in HOSTS.values() if each.ipv4 == source)
        arriving = coming(peer, 4, vxlan(vni, step.frame))
        before = self._received() if step.frame[0] & 1 else {}
        outcome = self._run(step._replace(frame=arriving), "uplink")
        if before:
            self._check_copies(place, step.frame, None, vni, before)
        if outcome.target == "uplink":
            host, back_vni, inner = self._opened()
            is_back = host is not None and HOSTS[host] == peer and back_vni == vni
            got = read(inner)
            self._expect(is_back and got is not None, "to another one")
            assert got is not None
            self._expect(got.flow.protocol in ANSWERS[got.flow.version], "no answer")
        elif outcome.target not in ("", "kernel", "weft0"):
            receiver = self.by_device[outcome.target]
            network = self.estate.network_of(receiver)
            self._expect(network.vni == vni, "to another network")
            found = read(step.frame)
            is_his = step.frame[:6] == wire.mac_bytes(receiver.mac) or (
                found is not None and found.flow.destination in receiver.addresses
            )
            self._expect(is_his, "it is another one's")
            may = self.permission.may_pass(place, step.frame, None, receiver, vni)
            self._expect(may, "no rule lets it in")

    def _from_host(self, step: Step) -> None:
        found = read(step.frame)
        vnis = [each.vni for each in self.estate.store.list(Network)]
        for vni in vnis:
            self.permission.note(("host", vni), step.frame)
        outcome = self._run(step, "weft1")
        if outcome.target in ("", "weft0"):
            return
        self._expect(found is not None, "what is no IP")
        assert found is not None
        if outcome.target in ("uplink", "weftx"):
            is_his = any(
                found.flow.destination in each.addresses
                for each in self._ports_there(*self._opened())
            )
            self._expect(is_his, "it is another one's")
            return
        receiver = self.by_device[outcome.target]
        self._expect(found.flow.destination in receiver.addresses, "it is another one's")
        vni = self.estate.network_of(receiver).vni
        may = self.permission.may_pass(("host", vni), step.frame, None, receiver, vni)
        self._expect(may, "no rule lets it in")

    # Copies

    def _received(self) -> dict[str, int]:
        """Packets that each port has been given."""
        maps, found = self.world.plane.maps, {}
        for workload in WORKLOADS:
            ifindex = self.world.ifindexes[workload.device]
            berth = ifindex - Berth.FIRST_IFINDEX
            name, key = ("counters_v2", berth)
            if not 0 <= berth < Berth.BERTHS:
                name, key = ("other_counters_v1", ifindex)
            raw = maps[name].lookup(struct.pack("<I", key)) or b""
            size = len(layouts.Counters().encode())
            found[workload.device] = sum(
                layouts.Counters.decode(raw[at : at + size]).rx_packets
                for at in range(0, len(raw), size)
            )
        return found

    def _check_copies(
        self, place: Any, frame: bytes, sender: Port | None, vni: int, before: dict[str, int]
    ) -> None:
        """Of a flooded frame: for ports of its network that may have it, and one each."""
        for device, count in self._received().items():
            more = count - before[device]
            if not more or device == self.outcome.target:
                continue
            receiver = self.by_device[device]
            self._expect(more == 1, f"{device} has got {more}")
            is_there = self.estate.network_of(receiver).vni == vni
            self._expect(is_there, f"{device} of another network has got one")
            if sender is not None:
                self._check_source(frame, sender)
            may = self.permission.may_pass(place, frame, sender, receiver, vni)
            self._expect(may, f"no rule lets one to {device}")


class Attacker:
    """Chooses steps."""

    def __init__(self, siege: Siege, chance: Chance) -> None:
        self.siege = siege
        self._chance = chance
        view = siege.estate.store
        macs = {*(each.mac for each in view.list(Port)), GATEWAY_MAC}
        addresses = {each for port in view.list(Port) for each in port.addresses}
        addresses |= {
            address(n, last, v) for n in range(5) for last in (1, 99, 200, 201) for v in (4, 6)
        }
        known = sorted(map(str, addresses))
        cast = Cast(
            [
                *sorted(macs),
                *(f"02:00:00:00:9{r}:0{n}" for r in range(2) for n in range(5)),
                *(GATEWAY_MAC, GATEWAY_MAC, GATEWAY_MAC, wire.BROADCAST, "33:33:00:00:00:01"),
                *("01:00:5e:01:01:01", "02:00:00:00:00:66"),
            ],
            [
                *(each for each in known if ":" not in each),
                *(RESOLVER4, str(DNS4), "198.51.100.7", "192.0.2.9", "127.0.0.1", "0.0.0.0"),
                *("255.255.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.3"),
            ],
            [
                *(each for each in known if ":" in each),
                *(str(link_local_from_mac(each)) for each in sorted(macs)),
                *(RESOLVER6, str(DNS6), "ff02::1", "ff05::1", "::", "::1", "2001:db8::7"),
                "::ffff:10.60.0.11",
            ],
            PORTS,
        )
        self._forge = Forge(chance, cast)
        self._changes = 0
        self._last = FIRST_FRESH

    def steps(self) -> list[Step]:
        """What is done next."""
        chance = self._chance
        (kind,) = chance.choices(
            ["from_port", "from_wire", "from_host", "from_overlay", "open", "change"],
            [30, 12, 4, 1, 20, 3],
        )
        if kind == "open":
            return [self._opening()]
        if kind == "change":
            self._changes += 1
            return [Step("change", self._changes)]
        if kind == "from_port":
            workload, port = chance.choice(list(self.siege.here.items()))
            frames = self._forge.volley(port.mac, [str(each) for each in port.addresses])
            gso = chance.choice([0, 0, 0, 0, 500, 1400])
            return [Step(kind, workload.device, each, gso) for each in frames]
        if kind == "from_wire":
            far = [port for port in self.siege.estate.store.list(Port) if port.host_id in HOSTS]
            port = chance.choice(far)
            assert port.host_id is not None
            vni = self.siege.estate.network_of(port).vni
            if chance.random() < 0.3:
                vni = Vni(chance.choice([100, 101, 102, 103, 104, 1, 7]))
            frames = self._forge.volley(port.mac, [str(each) for each in port.addresses])
            return [Step(kind, (HOSTS[port.host_id].ipv4, vni), each) for each in frames]
        frames = self._forge.volley(WORKLOADS[0].mac)
        return [Step(kind, "", each) for each in frames]

    def _opening(self) -> Step:
        """A flow that nobody else has anything to do with."""
        chance, view = self._chance, self.siege.estate.store
        workload, sender = chance.choice(list(self.siege.here.items()))
        self._last += 1
        version = chance.choice([4, 6])
        (source,) = (each for each in sender.addresses if each.version == version)
        everybody = [each for port in view.list(Port) for each in port.addresses]
        destination = chance.choice(
            [each for each in everybody if each.version == version and each != source]
        )
        ends, ports = (str(source), str(destination)), (self._last, chance.choice([22, 80, 300]))
        protocol = chance.choice([TCP, UDP, ICMP])
        if protocol == TCP:
            payload = wire.tcp(*ends, ports, b"", 2)
        elif protocol == UDP:
            payload = wire.udp(*ends, ports)
        elif version == 4:
            payload = wire.icmp(8, identifier=self._last)
        else:
            protocol, payload = ICMPV6, wire.echo6(*ends, identifier=self._last)
        there = port_at(view, sender.network_id, destination)
        to = GATEWAY_MAC if there is None else there.mac
        make, kind = (wire.ipv4, wire.IPV4) if version == 4 else (wire.ipv6, wire.IPV6)
        packet = make(*ends, protocol, payload)
        return Step("open", workload.device, wire.ether(to, sender.mac, kind, packet))


def besiege(world: World, seed: int) -> Siege:
    """All steps of a seed."""
    siege = Siege(world, seed)
    attacker = Attacker(siege, Chance(f"attacker {seed}"))
    done: list[Step] = []
    for _ in range(STEPS):
        for step in attacker.steps():
            done.append(step)
            try:
                siege.take(step)
            except AssertionError as error:
                raise AssertionError(reported(world, seed, done, error)) from error
    return siege


def reported(world: World, seed: int, done: Sequence[Step], error: AssertionError) -> str:
    """A row with few steps: mostly the last one is enough, and else each is tried whether it fails
    without."""

    def fails(steps: Sequence[Step]) -> bool:
        try:
            siege = Siege(world, seed)
            for step in steps:
                siege.take(step)
        except AssertionError:
            return True
        return False

    if fails(done[-1:]):
        return row(seed, done[-1:], error)
    steps, size = list(done), max(1, len(done) // 2)
    end = time.monotonic() + SHORTENING_S
    while size and time.monotonic() < end:
        at = 0
        while at < len(steps) and time.monotonic() < end:
            fewer = steps[:at] + steps[at + size :]
            if fewer and fails(fewer):
                steps = fewer
            else:
                at += size
        size //= 2
    return row(seed, steps, error)


def row(seed: int, steps: Sequence[Step], error: AssertionError) -> str:
    lines = "".join(
        f"        Step({each.program!r}, {each.at!r}, bytes.fromhex({each.frame.hex()!r}), "
        f"{each.gso_size}),\n"
        for each in steps
    )
    return f"seed {seed}: {error}; to be kept in FOUND:\n    ({seed}, [\n{lines}    ]),"


def test_nothing_gets_where_no_rule_and_no_way_leads(loaded: World, host: Any) -> None:
    outcomes: dict[str, int] = {}
    with host.entered():
        for seed in fuzzing.seeds(4):
            for key, count in besiege(loaded, seed).outcomes.items():
                outcomes[key] = outcomes.get(key, 0) + count
    everywhere = {each.device for each in WORKLOADS} | {"uplink", "weft0", "policy", "malformed"}
    everywhere |= {"ttl", "isolated", "no_route", "spoofed_address", "fragment_lost", "no_flow"}
    assert everywhere <= outcomes.keys() or fuzzing.is_one_seed(), outcomes


@pytest.mark.parametrize(("seed", "steps"), FOUND)
def test_what_was_found_once(loaded: World, host: Any, seed: int, steps: list[Step]) -> None:
    with host.entered():
        siege = Siege(loaded, seed)
        for step in steps:
            siege.take(step)
