"""What the programs would do with a packet, done by themselves, without any effect.

The object files of the programs that run are loaded once more, with the constants of those and
with their maps, as far as programs only read them. What programs write is in maps of the
rehearsal's own, empty ones or copies, which go with it: counters, limits, flows, what is noted of
tunnels. So a packet that is rehearsed leaves nothing behind. Nor is anything sent:
BPF_PROG_TEST_RUN carries out no redirect, and the maps that say who gets copies are empty, too.

What programs note for themselves while they decide (struct inquiry, struct routing) tells what they
went by.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple, Self

from weft.errors import UnavailableError
from weft.kernel.bpf import syscall
from weft.kernel.bpf.layouts import (
    AddressKey,
    Constants,
    Direction,
    DropReason,
    Edition,
    Endpoint,
    Member,
    Peer,
    PeerFlag,
    Rule,
    RuleAction,
    Trace,
    Tunnel,
)
from weft.kernel.bpf.libbpf import Object, ObjectMap
from weft.kernel.bpf.maps import BpfMap
from weft.kernel.bpf.programs import OBJECTS
from weft.model.addresses import IPAddress

SHARED = frozenset(
    {
        *("ports_v2", "other_ports_v1", "allowed_v1", "subnets_v1", "host_prefixes_v1"),
        *("addresses_v1", "macs_v1", "macs_edition_v1", "networks_v1", "multicast_groups_v1"),
        *("ways_v1", "own_addresses_v1", "resolvers_v1", "routes_v1", "routers_v1"),
        *("port_rules_v1", "generations_v1", "current_v1", "subjects_v1", "heads_v1", "spans_v1"),
        *("identities_v1", "atom_sets_v1", "prefixes_v1", "unowned_v1", "rules_v1"),
        "symbols_v1",
    }
)
"""Maps of the running programs, which no program writes."""
COPIED = frozenset({"tunnels_v2", "flow_holds_v1", "peers_v1"})
"""What is in these counts, and programs write there, or a rehearsal does."""
OWN: Mapping[str, int] = {
    **dict.fromkeys(("flood_v1", "replicas_v2", "multicast_ports_v1", "multicast_hosts_v1"), 1),
    **dict.fromkeys(("counters_v2", "other_counters_v1", "rule_counts_v1", "near_macs_v1"), 0),
    **dict.fromkeys(("near_routes_v1", "routes_edition_v1"), 0),
    **dict.fromkeys(("flow_counts_v1", "lost_events_v1", "inquiries_v1", "routings_v1"), 0),
    **dict.fromkeys(("probes_v1", "answers_v1", "reports_v1", "queries_v1"), 64),
    **dict.fromkeys(("dns_flows_v1", "fragments_v1", "flows4_v1", "flows6_v1", "drops_v1"), 64),
    "events_v1": 4096,
}
"""Empty maps of a rehearsal's own, and for how many entries; 0: as the object says. Whoever gets
copies of what is flooded is in the first ones, and is nobody here."""

_REMEMBERED = frozenset(
    {
        *("flows4_v1", "flows6_v1", "fragments_v1", "dns_flows_v1", "queries_v1", "answers_v1"),
        *("reports_v1", "probes_v1", "drops_v1"),
    }
)
"""Of these, what one rehearsal writes and the next might read."""
_CONSTANTS = ".rodata.weft"
_SHOT, _REDIRECT = 2, 7
_IFINDEX_AT, _CB_AT, _CONTEXT_SIZE = 40, 48, 192
"""In struct __sk_buff."""
_FIRST = bytes(4)
_MAPPED = bytes(10) + b"\xff\xff"
_UNJUDGED = 0xFFFFFFFF


class Judged(NamedTuple):
    """What the rules of ports of this host said of a packet."""

    is_exempt: bool
    """Such packets are never judged."""
    is_known: bool
    """An entry of its flow decided: it answers a packet of the same rehearsal, or follows it."""
    asked: tuple[Direction, ...]
    """Whose rules were asked, in this order; the last one decided."""
    rules: Mapping[Direction, bytes]
    """Ids of the rules, or of the group that denies a direction; without one the port's row
    decided."""
    action: RuleAction
    """What the last one said."""


class Routed(NamedTuple):
    """Where routers led a packet."""

    routers: int
    """How many it passed."""
    vni: int
    """The network where it is delivered, to whoever has the address there:"""
    next: IPAddress


class Ran(NamedTuple):
    """What a program made of a packet."""

    target: int
    """ifindex of the device that it is put into; 0: it is dropped, or the kernel has it."""
    reason: DropReason
    """Why it was dropped; with a target: and its sender was told."""
    is_passed: bool
    """Left to the kernel, for it is not the overlay's."""
    packet: bytes
    judged: Judged | None
    """None: no rules were asked."""
    routed: Routed | None
    """None: no router was."""


class Rehearsal:
    """The programs that are pinned below a directory, once more. KernelError: there are none yet;
    UnavailableError: they are of another weft."""

    def __init__(self, bpffs_dir: Path, objects: Path = OBJECTS) -> None:
        self._bpffs_dir = bpffs_dir
        self._objects = objects
        self._maps: dict[str, BpfMap] = {}
        self._programs: dict[str, int] = {}
        self._ids: dict[str, int] = {}
        """Of the programs that run."""
        self._members: dict[str, Mapping[str, Member]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """All that was made for it goes."""
        for fd in self._programs.values():
            os.close(fd)
        for each in self._maps.values():
            each.close()
        self._programs.clear()
        self._maps.clear()
        self._ids.clear()

    @property
    def is_current(self) -> bool:
        """Whether the programs that run are still those that it was made of."""
        return all(id == self._running_id(role) for role, id in self._ids.items())

    def begin(self) -> None:
        """As if nothing had been rehearsed yet."""
        for name, each in self._maps.items():
            if name in _REMEMBERED:
                each.delete(list(each.read()))
            elif name in COPIED:
                each.delete(list(each.read()))
                self._fill(name)

    def run(self, role: str, packet: bytes, ifindex: int = 0) -> Ran:
        """What a program makes of a packet that comes by a device; 0: by any."""
        if role not in self._programs:
            self._load(role)
        for name in ("inquiries_v1", "routings_v1"):
            self._maps[name].update({_FIRST: bytes(self._maps[name].value_size)})
        context = bytearray(_CONTEXT_SIZE)
        struct.pack_into("<I", context, _IFINDEX_AT, ifindex)
        result = syscall.run_program(self._programs[role], packet, bytes(context))
        target = _cb(result.context, Trace.TRACE_TARGET)
        reason = _cb(result.context, Trace.TRACE_REASON)
        return Ran(
            target=target if result.verdict == _REDIRECT else 0,
            reason=DropReason(reason),
            is_passed=result.verdict not in (_REDIRECT, _SHOT),
            packet=result.packet,
            judged=self._judged(),
            routed=self._routed(),
        )

    def trust(self, source: IPAddress) -> None:
        """What comes from this outer address has come out of WireGuard, and may be taken from a
        device that is not WireGuard's. It is nothing to who does not encrypt."""
        if "from_wire" not in self._programs:
            self._load("from_wire")
        key = _mapped(source)
        raw = self._maps["peers_v1"].lookup(key)
        peer = Peer.decode(raw) if raw is not None else Peer()
        if peer.flags & PeerFlag.PEER_ENCRYPTED:
            self._maps["peers_v1"].update({key: peer._replace(flags=0).encode()})

    def tunnel_of(self, vni: int, address: IPAddress) -> tuple[IPAddress, IPAddress | None] | None:
        """Outer destination and source of what is sent to an address on a network; without a source
        the kernel chooses it. None: the address is not on another host, or no way leads there."""
        key = AddressKey(vni, _mapped(address)).encode()
        raw = self._maps["addresses_v1"].lookup(key)
        endpoint = Endpoint.decode(raw) if raw is not None else Endpoint()
        found = self._maps["tunnels_v2"].lookup(endpoint.way.to_bytes(4, "little"))
        if not endpoint.tunnel or found is None:
            return None
        tunnel = Tunnel.decode(found)
        local = _address(tunnel.local) if any(tunnel.local) else None
        return _address(tunnel.remote), local

    @property
    def constants(self) -> Constants:
        """Those of the programs that run."""
        return self._running("from_port")

    def _load(self, role: str) -> None:
        file = self._objects / f"{role}.o"
        running = self._running_id(role)
        constants = self._running(role)
        bare = constants._replace(build=bytes(16)).encode()
        if hashlib.sha256(file.read_bytes() + bare).digest()[:16] != constants.build:
            raise UnavailableError(
                f"BPF program {role}: the one that runs was built from another object file than "
                f"{file}; start weftd again"
            )
        with Object(file) as source:
            source.check_layouts()
            for each in source.maps.values():
                if not each.is_internal:
                    self._prepare(each)
            source.maps[_CONSTANTS].set_initial(constants.encode())
            for name in ("inquiry", "routing"):
                self._members[name] = source.members(name)
            source.load()
            for name, each in source.maps.items():
                if not each.is_internal and name not in self._maps:
                    self._maps[name] = BpfMap(each.duplicate_fd(), name)
                    self._fill(name)
            self._programs[role] = source.duplicate_program_fd(role)
            self._ids[role] = running

    def _prepare(self, declared: ObjectMap) -> None:
        name = declared.name
        if name in SHARED and name not in self._maps:
            self._maps[name] = BpfMap.open(self._bpffs_dir / "maps" / name)
        if name in self._maps:
            declared.reuse(self._maps[name].fd)
        elif OWN.get(name):
            declared.resize(OWN[name])

    def _fill(self, name: str) -> None:
        if name == "routes_edition_v1":  # odd: nothing is kept, so each packet tells its way
            self._maps[name].update({_FIRST: Edition(1).encode()})
        if name in COPIED:
            with BpfMap.open(self._bpffs_dir / "maps" / name) as running:
                self._maps[name].update(running.read())

    def _running_id(self, role: str) -> int:
        fd = syscall.get_pinned(self._bpffs_dir / "programs" / role)
        try:
            return syscall.program_info(fd).id
        finally:
            os.close(fd)

    def _running(self, role: str) -> Constants:
        fd = syscall.get_pinned(self._bpffs_dir / "programs" / role)
        try:
            for number in syscall.program_info(fd).map_ids:
                with BpfMap(syscall.map_fd(number)) as each:
                    if each.info.name == _CONSTANTS:
                        return Constants.decode(each.lookup(_FIRST) or b"")
        finally:
            os.close(fd)
        raise UnavailableError(f"BPF program {role}: has no constants; start weftd again")

    def _judged(self) -> Judged | None:
        note = self._note("inquiry", "inquiries_v1")
        if note is None or not note["kind"]:
            return None
        if note["is_exempt"]:
            return Judged(True, False, (), {}, RuleAction.RULE_ALLOW)
        if not note["flow"]:  # its first word is the generation that a decision is made under
            return Judged(False, True, (), {}, RuleAction.RULE_ALLOW)
        sides = (Direction.EGRESS, Direction.INGRESS)
        rows = dict(zip(sides, (note["sender_row"], note["receiver_row"])))
        if note["is_answer"]:
            rows = dict(zip(sides, (note["receiver_row"], note["sender_row"])))
        asked = [side for side in sides if rows[side] != _UNJUDGED]
        if not asked:
            return None
        action = RuleAction(note["action"])
        if action is not RuleAction.RULE_ALLOW:
            asked = asked[: asked.index(Direction(note["direction"])) + 1]
        numbers = {
            Direction.INGRESS: note["rules"] & _UNJUDGED,
            Direction.EGRESS: note["rules"] >> 32,
        }
        ids = {side: self._rule_id(numbers[side]) for side in asked}
        return Judged(False, False, tuple(asked), {s: id for s, id in ids.items() if id}, action)

    def _routed(self) -> Routed | None:
        note = self._note("routing", "routings_v1")
        if note is None or not note["routers"]:
            return None
        address = _address(note["next"].to_bytes(16, "little"))
        return Routed(note["routers"], note["vni"], address)

    def _note(self, struct_name: str, map_name: str) -> Mapping[str, int] | None:
        """The members of the one that a program has filled in, as numbers. None: none has."""
        members, notes = self._members[struct_name], self._maps[map_name]
        raw = notes.lookup(_FIRST) or b""
        for at in range(0, len(raw), notes.stride):
            found = raw[at : at + notes.info.value_size]
            if any(found):
                return {each.name: _number(found, each) for each in members.values()}
        return None

    def _rule_id(self, number: int) -> bytes:
        raw = self._maps["rules_v1"].lookup(number.to_bytes(4, "little")) if number else None
        return Rule.decode(raw).id if raw is not None else b""


def _mapped(address: IPAddress) -> bytes:
    return _MAPPED + address.packed if address.version == 4 else address.packed


def _address(raw: bytes) -> IPAddress:
    return ip_address(raw[12:] if raw[:12] == _MAPPED else raw)


def _number(raw: bytes, member: Member) -> int:
    """Of what is longer than an address, the first word."""
    size = member.size if member.size <= 16 else 4
    return int.from_bytes(raw[member.offset : member.offset + size], "little")


def _cb(context: bytes, word: Trace) -> int:
    (value,) = struct.unpack_from("<I", context, _CB_AT + 4 * word)
    return int(value)
