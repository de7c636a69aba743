"""The moves of one trace on this host: the programs rehearse each, and what they say is told."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from weft.control.references import network_label, port_label
from weft.errors import InvalidError
from weft.kernel import routes
from weft.kernel.bpf.counters import DROP_REASONS
from weft.kernel.bpf.layouts import DropReason
from weft.kernel.bpf.rehearsal import Ran, Rehearsal
from weft.kernel.netlink import Netlink
from weft.model.addresses import IPAddress
from weft.model.choices import Direction
from weft.model.ids import HostId
from weft.model.records import Host, Network, Port, Subnet
from weft.model.service_addresses import DNS4, DNS6, GATEWAY_MAC, WIREGUARD6
from weft.observers.traces import packets, telling
from weft.observers.traces.advice import fix_for, fix_for_rules
from weft.observers.traces.packets import Made, Shown, shown_in
from weft.observers.traces.seen import (
    MOST_STAGES,
    End,
    Move,
    Moved,
    Moving,
    Packet,
    Stage,
)
from weft.semantics.guest import Guest, Route, guest_of
from weft.semantics.networks import full_name
from weft.semantics.routers import prefixes_beyond
from weft.store.interface import View

T = TypeVar("T")

_DECISION_LENGTH = 1000
_NO_MAC = "02:00:00:00:00:00"


class Work(Protocol):
    """Does something in the thread of the rehearsal."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """What it gives."""
        ...


class Moves:
    """Of one trace, one after the other."""

    def __init__(
        self,
        view: View,
        host_id: HostId,
        rehearsal: Rehearsal,
        overlay_port: int,
        port_of: Callable[[int], Port | None],
        work: Work,
    ) -> None:
        """port_of: the port behind a device of this host, by its ifindex."""
        self._view = view
        self._host_id = host_id
        self._rehearsal = rehearsal
        self._overlay_port = overlay_port
        self._port_of = port_of
        self._work = work
        self._last: Moved | None = None
        self._got: bytes = b""
        """The frame of the last move, as whoever has got it sees it."""

    @property
    def is_answerable(self) -> bool:
        """Whether somebody here has got the last packet and would answer it."""
        last, shown = self._last, shown_in(self._got)
        if last is None or shown is None or packets.answer_to(shown) is None:
            return False
        if last.end is End.DELIVERED:  # a next hop that is a port answers for nobody else
            port = self._view.get(Port, last.port_id or "")
            return port is not None and _has(port, shown.destination)
        return last.end is End.HOST

    async def move(self, moving: Moving) -> Moved:
        """One more."""
        match moving.move:
            case Move.SENT:
                moved = await self._send(moving)
            case Move.ENTERED:
                moved = await self._enter(packets.first_packet(_made(moving.packet)))
            case Move.ARRIVED:
                moved = await self._arrive(moving.frame, is_encrypted=moving.is_encrypted)
            case Move.ANSWERED:
                moved = await self._answer()
        self._last = moved
        return moved

    async def _run(self, role: str, frame: bytes, ifindex: int = 0) -> Ran:
        return await self._work(partial(self._rehearsal.run, role, frame, ifindex))

    # What comes from a port.

    async def _send(self, moving: Moving) -> Moved:
        port = self._view.get(Port, moving.port_id or "")
        if port is None or port.host_id != self._host_id:
            raise InvalidError(f"port {moving.port_id}: is not on this host (any more)")
        return await self._send_by(port, packets.first_packet(_made(moving.packet)))

    async def _answer(self) -> Moved:
        assert self._last is not None
        shown = shown_in(self._got)
        packet = packets.answer_to(shown) if shown is not None else None
        assert packet is not None
        port = self._view.get(Port, self._last.port_id) if self._last.port_id else None
        return await (self._enter(packet) if port is None else self._send_by(port, packet))

    async def _send_by(self, port: Port, packet: bytes) -> Moved:
        shown = shown_in(packets.ethernet(_NO_MAC, _NO_MAC, packet))
        assert shown is not None
        stages = [
            Stage("port", f"{port_label(self._view, port)} sends {_what(shown)}", "port", port.id)
        ]
        ifindex = _ifindex(port)
        if not ifindex:
            stages.append(Stage("device", "nothing is plugged into it", "port", port.id))
            fix = f"plug something in: weft attach TARGET {_network_name(self._view, port)}"
            return Moved(End.UNSENT, tuple(stages), fix=fix)
        mac = await self._mac_for(port, ifindex, shown, stages)
        if isinstance(mac, Moved):
            return mac
        ran = await self._run("from_port", packets.ethernet(mac, port.mac, packet), ifindex)
        stages.append(telling.source_stage(self._view, port, shown.source, ran))
        return self._told(ran, stages, port, shown, ifindex)

    async def _mac_for(
        self, port: Port, ifindex: int, shown: Shown, stages: list[Stage]
    ) -> str | Moved:
        """To which MAC the workload sends; what it sees, it asks for."""
        target = shown.destination
        guest = self._guest(port)
        if guest is not None and not _is_on_link(self._view, port, target):
            route = _route_of(guest, target)
            if route is None:
                why = f"the workload has no route to {target}, for the network gives it none"
                kind = telling.subnet_stage(self._view, port, shown.source)
                stages.append(Stage("gateway", why, *kind))
                fix = fix_for(self._view, "no_route", port, target)
                return Moved(End.UNSENT, tuple(stages), reason="no_route", fix=fix)
            kind = telling.subnet_stage(self._view, port, route.gateway)
            why = f"{target} is reached through the gateway {route.gateway}"
            stages.append(Stage("gateway", why, *kind))
            return GATEWAY_MAC
        question = packets.mac_question(port.mac, shown.source, target)
        ran = await self._run("from_port", question, ifindex)
        mac = packets.mac_answer(ran.packet) if ran.target == ifindex else None
        kind = telling.subnet_stage(self._view, port, target)
        if mac is not None:
            stages.append(Stage("neighbour", f"{target} is at MAC {mac}", *kind))
            return mac
        if ran.reason in (DropReason.DROP_SPOOFED_MAC, DropReason.DROP_SPOOFED_ADDRESS):
            return GATEWAY_MAC  # the check of the source tells more
        reason = _word(ran.reason) or "unknown_neighbour"
        stages.append(Stage("neighbour", f"nobody on the network answers for {target}", *kind))
        fix = fix_for(self._view, reason, port, target)
        return Moved(End.DROPPED, tuple(stages), reason=reason, fix=fix)

    def _guest(self, port: Port) -> Guest | None:
        network = self._view.get(Network, port.network_id)
        if network is None:
            return None
        subnets = list(self._view.by(Subnet, "network_id", network.id))
        host = self._view.get(Host, self._host_id)
        beyond = self._view.ask(prefixes_beyond, network.id)
        return guest_of(port, network, subnets, host, beyond)

    # What comes from the host, or from another one.

    async def _enter(self, packet: bytes) -> Moved:
        frame = packets.ethernet(_NO_MAC, _NO_MAC, packet)
        shown = shown_in(frame)
        assert shown is not None
        ifindex = self._rehearsal.constants.weft1_ifindex
        stages = [Stage("host", f"the host sends {_what(shown)} into its networks")]
        ran = await self._run("from_host", frame, ifindex)
        return self._told(ran, stages, None, shown, ifindex)

    async def _arrive(self, frame: bytes, *, is_encrypted: bool) -> Moved:
        outer = packets.outer_of(frame)
        shown = shown_in(outer.frame) if outer is not None else None
        if outer is None or shown is None:
            raise InvalidError("the frame from another host carries no packet of a network")
        if is_encrypted:
            await self._work(partial(self._rehearsal.trust, outer.source))
        ran = await self._run("from_wire", frame)
        network = next(iter(self._view.by(Network, "vni", outer.vni)), None)
        sender = telling.host_at(self._view, outer.source)
        name = sender.name if sender is not None else str(outer.source)
        what = network_label(self._view, network.id) if network is not None else str(outer.vni)
        stages = [
            Stage(
                "wire",
                f"from host {name}, network {what}",
                network.KIND if network is not None else "",
                network.id if network is not None else "",
            )
        ]
        if ran.is_passed:
            why = "no program takes it: its outer header is not for this host, or odd"
            stages.append(Stage("drop", why))
            return Moved(End.DROPPED, tuple(stages), reason="unknown_peer")
        return self._told(ran, stages, None, shown, 0)

    # What became of it.

    def _told(
        self, ran: Ran, stages: list[Stage], sender: Port | None, shown: Shown, ifindex: int
    ) -> Moved:
        """The rest of the stages, and the end. sender: a port of this host. shown: as it came."""
        receiver = self._receiver(ran, shown, sender)
        ports = {Direction.EGRESS: sender, Direction.INGRESS: receiver}
        judged = list(telling.judged_stages(self._view, ran.judged, ports))
        stages += [each for each in judged if each.stage != Direction.INGRESS]
        if sender is not None:
            ends = shown.source, shown.destination
            stages += telling.router_stages(self._view, ran.routed, sender, *ends)
        stages += [each for each in judged if each.stage == Direction.INGRESS]
        moved = self._end(ran, sender, shown, ifindex)
        if ran.reason is not DropReason.DROP_NONE:
            decider = telling.decider(self._view, ran.judged, ports)
            if decider is not None and ran.reason is DropReason.DROP_POLICY:
                moved = _with_fix(moved, fix_for_rules(self._view, decider, shown))
        found = (*stages, *moved.stages)[:MOST_STAGES]
        return Moved(
            moved.end,
            tuple(_bounded(each) for each in found),
            moved.reason,
            moved.fix,
            moved.port_id,
            moved.host_id,
            moved.frame,
            moved.is_encrypted,
        )

    def _receiver(self, ran: Ran, shown: Shown, sender: Port | None) -> Port | None:
        """The port of this host that a packet is for, whether it gets it or not. Of what arrives,
        routers were only asked where it comes from."""
        found = self._port_of(ran.target) if ran.target else None
        if found is not None and ran.reason is DropReason.DROP_NONE:
            return found
        routed = ran.routed if sender is not None else None
        at = routed.next if routed is not None else shown.destination
        near = [p for p in self._view.by(Port, "addresses", at) if p.host_id == self._host_id]
        mac = packets.destination_mac(ran.packet)
        vnis = {p.id: self._vni(p) for p in near}
        if routed is not None:
            near = [p for p in near if vnis[p.id] == routed.vni] or near
        return next((p for p in near if p.mac == mac), next(iter(near), None))

    def _vni(self, port: Port) -> int:
        network = self._view.get(Network, port.network_id)
        return network.vni if network is not None else 0

    def _end(self, ran: Ran, sender: Port | None, shown: Shown, ifindex: int) -> Moved:
        if ran.reason is not DropReason.DROP_NONE:
            return self._dropped(ran, sender, shown)
        if not ran.target:
            why = "it is for nobody: an address of the sender itself, or of many"
            return Moved(End.DROPPED, (Stage("drop", why),))
        constants = self._rehearsal.constants
        if ran.target == constants.weft0_ifindex:
            return self._given_to_host(ran)
        if ran.target == ifindex:
            answer = shown_in(ran.packet)
            who = f"{answer.source} answers" if answer is not None else "it is answered"
            return Moved(End.ANSWERED, (Stage("answer", who),))
        port = self._port_of(ran.target)
        if port is not None:
            self._got = ran.packet
            why = f"delivered to {port_label(self._view, port)}"
            return Moved(End.DELIVERED, (Stage("port", why, "port", port.id),), port_id=port.id)
        return self._sent_out(ran, shown, ifindex, constants.weftx_ifindex)

    def _dropped(self, ran: Ran, sender: Port | None, shown: Shown) -> Moved:
        reason = _word(ran.reason)
        why = f"dropped: {reason.replace('_', ' ')}"
        told = shown_in(ran.packet) if ran.target else None
        if told is None and ran.target:
            outer = packets.outer_of(ran.packet)
            told = shown_in(outer.frame) if outer is not None else None
        if told is not None and told.payload:
            why += f"; its sender is told {packets.told_by(told)}"
        end = End.REJECTED if told is not None else End.DROPPED
        fix = fix_for(self._view, reason, sender, shown.destination)
        return Moved(end, (Stage("drop", why),), reason=reason, fix=fix)

    def _given_to_host(self, ran: Ran) -> Moved:
        self._got = ran.packet
        shown = shown_in(ran.packet)
        if shown is None:
            return Moved(End.HOST, (Stage("host", "the host has it"),))
        if shown.destination in (DNS4, DNS6):
            why = "a DNS query: weftd of this host answers it"
            return Moved(End.ANSWERED, (Stage("dns", why),))
        return Moved(End.HOST, (Stage("host", _by_host(shown.destination)),))

    def _sent_out(self, ran: Ran, shown: Shown, ifindex: int, weftx_ifindex: int) -> Moved:
        frame, device = ran.packet, _device_name(ran.target)
        if ran.target == weftx_ifindex:
            wrapped = self._wrapped(ran, shown, ifindex)
            if wrapped is None:
                why = "the kernel's VXLAN device has it, and no way to the other host is known"
                return Moved(End.DROPPED, (Stage("tunnel", why),), reason="no_tunnel")
            frame = wrapped
        outer = packets.outer_of(frame)
        if outer is None:
            return Moved(End.DROPPED, (Stage("tunnel", f"into device {device}"),), reason="kernel")
        inner = shown_in(outer.frame)
        at = inner.destination if inner is not None else shown.destination
        mac = packets.destination_mac(outer.frame)
        receiver = telling.receiver_at(self._view, outer.vni, mac, at)
        is_encrypted = outer.destination in WIREGUARD6
        found = telling.wire_stages(
            self._view, outer, receiver, at, device, is_encrypted=is_encrypted
        )
        host = telling.host_at(self._view, outer.destination)
        return Moved(
            End.WIRE,
            tuple(found),
            host_id=host.id if host is not None else None,
            frame=frame,
            is_encrypted=is_encrypted,
        )

    def _wrapped(self, ran: Ran, shown: Shown, ifindex: int) -> bytes | None:
        """What the kernel's VXLAN device makes of a frame."""
        sender = self._port_of(ifindex)
        vni, at = self._vni(sender) if sender is not None else 0, shown.destination
        if ran.routed is not None:
            vni, at = ran.routed.vni, ran.routed.next
        if not vni:
            receiver = next(iter(self._view.by(Port, "addresses", at)), None)
            vni = self._vni(receiver) if receiver is not None else 0
        tunnel = self._rehearsal.tunnel_of(vni, at)
        if tunnel is None:
            return None
        remote, local = tunnel
        source = local if local is not None else self._own_address(remote)
        if source is None:
            return None
        return packets.wrapped(ran.packet, source, remote, vni, self._overlay_port)

    def _own_address(self, remote: IPAddress) -> IPAddress | None:
        host = self._view.get(Host, self._host_id)
        own = host.underlay if host is not None else ()
        return next((each for each in own if each.version == remote.version), None)


def _made(packet: Packet | None) -> Made:
    if packet is None or packet.source.version != packet.destination.version:
        raise InvalidError("a trace needs a packet whose ends are of one family")
    return Made(
        packet.protocol,
        packet.source,
        packet.destination,
        packet.source_port,
        packet.destination_port,
        packet.icmp_type,
        packet.icmp_code,
    )


def _what(shown: Shown) -> str:
    """``TCP 50000 > 80 from 10.0.0.2 to 10.0.0.3``."""
    names = {packets.TCP: "TCP", packets.UDP: "UDP", packets.SCTP: "SCTP"}
    what = f"protocol {shown.protocol}"
    if shown.protocol in names:
        ports = int.from_bytes(shown.payload[:2]), int.from_bytes(shown.payload[2:4])
        what = f"{names[shown.protocol]} {ports[0]} > {ports[1]}"
    elif shown.protocol in (packets.ICMP, packets.ICMPV6):
        name = "ICMP" if shown.protocol == packets.ICMP else "ICMPv6"
        what = f"{name} {shown.payload[0]}/{shown.payload[1]}"
    return f"{what} from {shown.source} to {shown.destination}"


def _is_on_link(view: View, port: Port, address: IPAddress) -> bool:
    """Whether a workload takes an address for a neighbour's."""
    return any(
        address in each.cidr and any(own in each.cidr for own in port.addresses)
        for each in view.by(Subnet, "network_id", port.network_id)
    )


def _has(port: Port, address: IPAddress) -> bool:
    return address in port.addresses or any(address in each.cidr for each in port.allowed)


def _route_of(guest: Guest, address: IPAddress) -> Route | None:
    routes_of = (*guest.subnet_routes, *guest.resolver_routes, *guest.default_routes)
    found = [each for each in routes_of if address in each.prefix]
    return max(found, key=lambda each: each.prefix.prefixlen, default=None)


def _by_host(destination: IPAddress) -> str:
    """How the host sends on what it is given."""
    with Netlink() as netlink:
        way = routes.ways(netlink, [destination]).get(destination)
    if way is None:
        return f"this host has it: {destination} is its own, or it knows no way there"
    source = f", from {way.source}" if way.source is not None else ""
    return f"this host sends it on by {_device_name(way.ifindex)}{source} (masqueraded)"


def _network_name(view: View, port: Port) -> str:
    network = view.get(Network, port.network_id)
    return full_name(view, network) if network is not None else "NETWORK"


def _ifindex(port: Port) -> int:
    """Of the host's end; 0: there is none."""
    try:
        return socket.if_nametoindex(port.ifname) if port.ifname is not None else 0
    except OSError:
        return 0


def _device_name(ifindex: int) -> str:
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        return f"device {ifindex}"


def _word(reason: DropReason) -> str:
    return DROP_REASONS.get(reason.value, "")


def _with_fix(moved: Moved, fix: str) -> Moved:
    return Moved(moved.end, moved.stages, moved.reason, fix)


def _bounded(stage: Stage) -> Stage:
    return Stage(stage.stage, stage.decision[:_DECISION_LENGTH], stage.kind, stage.id)
