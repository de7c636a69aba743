"""Whether a packet may be where it is, by the specification and by what has been sent before. Of
what is not plain it takes the most lenient reading: what is against this is a leak."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from tests.bpf.enforced import HERE
from tests.bpf.estate import Estate
from tests.bpf.readings import Reading, Tuple, read
from weft.model.addresses import IPAddress
from weft.model.choices import Direction
from weft.model.ids import MacAddress, NetworkId
from weft.model.records import Network, Port, RouterPort, Subnet
from weft.model.service_addresses import GATEWAY_MAC
from weft.semantics.members import groups_of
from weft.semantics.policy import Remote, denied_on, exemption, judge
from weft.semantics.routers import port_at, subnet_of
from weft.semantics.routing import End, Way, ways

Place = tuple[str, Hashable]
"""Where a packet is first seen: a port of this host, or a VNI by which it comes in."""


def at_port(port: Port) -> Place:
    return ("port", port.id)


class Permission:
    """Knows what was tried."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.view = estate.store
        self._tried: set[tuple[Place, Tuple]] = set()
        self._firsts: dict[tuple[Place, object], list[Reading]] = {}
        self._said: dict[Hashable, bool] = {}

    def changed(self) -> None:
        """Records have changed."""
        self._said.clear()

    def note(self, place: Place, frame: bytes) -> None:
        """It is about to be sent."""
        found = read(frame)
        if found is None:
            return
        if found.fragment is not None and not found.is_later:
            self._firsts.setdefault((place, found.fragment), []).append(found)
        for each in self.readings(place, frame):
            self._tried.add((place, each.flow))

    def was_tried(self, place: Place, flow: Tuple) -> bool:
        return (place, flow) in self._tried

    def readings(self, place: Place, frame: bytes) -> list[Reading]:
        """All that it may be: a later fragment is whatever its first one was."""
        found = read(frame)
        if found is None:
            return []
        if not found.is_later:
            return [found]
        return [
            each._replace(quoted=None) for each in self._firsts.get((place, found.fragment), [])
        ]

    # Ways

    def may_reach(self, sender: Port, frame: bytes, receiver: Port) -> bool:
        """Whether switches and routers lead the frame from the one to the other."""
        to = MacAddress(frame[:6].hex(":"))
        found = read(frame)
        if sender.network_id == receiver.network_id:
            is_known = any(each.mac == to for each in self._on(sender.network_id))
            is_owner = found is not None and found.flow.destination in receiver.addresses
            if to == receiver.mac or frame[0] & 1 or (is_owner and not is_known):
                return True
        if found is None:
            return False
        return any(way.port == receiver for way in self.ways(sender, found, to))

    def may_leave(self, sender: Port, frame: bytes) -> bool:
        """Whether it may go to what is outside of all networks, or to a gateway."""
        found = read(frame)
        if found is None:
            return False
        led = self.ways(sender, found, MacAddress(frame[:6].hex(":")))
        return any(way.end in (End.OUTSIDE, End.ROUTER) for way in led)

    def ways(self, sender: Port, found: Reading, to: MacAddress) -> Iterator[Way]:
        """Those of a packet that is sent to this MAC."""
        ends = found.flow.source, found.flow.destination
        if to == GATEWAY_MAC:
            yield from ways(self.view, sender.network_id, *ends)
        for each in self.view.by(RouterPort, "network_id", sender.network_id):
            if each.mac == to:
                for via in each.addresses:
                    yield from ways(self.view, sender.network_id, *ends, via)

    def _on(self, network_id: NetworkId) -> Iterable[Port | RouterPort]:
        yield from self.view.by(Port, "network_id", network_id)
        yield from self.view.by(RouterPort, "network_id", network_id)

    # Rules

    def may_pass(
        self, place: Place, frame: bytes, sender: Port | None, receiver: Port | None, vni: int
    ) -> bool:
        """Whether rules let it pass, between ends of which None is no port of a network; `vni`: of
        the network by which it comes in or goes out."""
        found = read(frame)
        if found is None:
            return True
        if sender is not None and found.flow.destination in sender.addresses:
            return True
        if not any(map(self.is_judged, (sender, receiver))):
            return True
        is_many = bool(frame[0] & 1) and place[0] != "host"
        return any(
            self._may_pass(each, sender, receiver, vni, is_many=is_many)
            for each in self.readings(place, frame)
        )

    def is_judged(self, port: Port | None) -> bool:
        """Whether it is a port of this host that rules may be about."""
        if port is None or port.host_id != HERE:
            return False
        is_denied = bool(denied_on(self.view, port.network_id))
        is_strict = self.estate.network_of(port).is_strict
        return is_denied or is_strict or bool(self.view.ask(groups_of, port.id))

    def _may_pass(
        self,
        found: Reading,
        sender: Port | None,
        receiver: Port | None,
        vni: int,
        *,
        is_many: bool,
    ) -> bool:
        if found.is_upkeep:
            return True
        if (
            found.quoted is not None
            and not is_many
            and self._is_related(found.quoted, receiver, vni)
        ):
            return True
        flow = found.flow
        is_strict = any(
            self.estate.network_of(each).is_strict
            for each in (sender, receiver)
            if each is not None and each.host_id == HERE
        )
        if found.is_opening or not is_strict or self._is_known(flow, sender, receiver, vni):
            if self.is_let(flow, sender, receiver):
                return True
        elif self.is_let(flow, sender, receiver, is_stateless=True):
            return True
        if is_many:
            return False
        if not found.is_opening and not is_strict and self.is_let_back(flow, sender, receiver):
            return True
        return self._answers(flow, sender, receiver, vni)

    def _answers(self, flow: Tuple, sender: Port | None, receiver: Port | None, vni: int) -> bool:
        """Whether it answers what was tried before, and is let through still."""
        was_tried = any(
            self.was_tried(place, flow.turned()) for place in self._opposites(receiver, vni)
        )
        return was_tried and self.is_let_back(flow, sender, receiver)

    def _is_related(self, quoted: Tuple, receiver: Port | None, vni: int) -> bool:
        """Whether an error about that packet is told to who has sent it, as far as its flow is let
        through still, in whichever direction it began."""
        was_tried = any(self.was_tried(place, quoted) for place in self._opposites(receiver, vni))
        return was_tried and (
            self.is_let(quoted, receiver, None) or self.is_let_back(quoted, receiver, None)
        )

    def _is_known(self, flow: Tuple, sender: Port | None, receiver: Port | None, vni: int) -> bool:
        return any(
            self.was_tried(place, back)
            for back in (flow, flow.turned())
            for place in (*self._opposites(receiver, vni), *self._opposites(sender, vni))
        )

    def _opposites(self, port: Port | None, vni: int) -> list[Place]:
        """Where packets of that end are first seen."""
        if port is not None and port.host_id == HERE:
            return [at_port(port)]
        return [("wire", vni), ("host", vni)]

    def is_let_back(self, flow: Tuple, sender: Port | None, receiver: Port | None) -> bool:
        return self.is_let(flow.turned(), receiver, sender)

    def is_let(
        self,
        flow: Tuple,
        sender: Port | None,
        receiver: Port | None,
        *,
        is_stateless: bool = False,
    ) -> bool:
        """Whether the rules of both ends, as far as they are here, let it begin."""
        key = flow, sender and sender.id, receiver and receiver.id, is_stateless
        if key not in self._said:
            self._said[key] = self._is_let(flow, sender, receiver, is_stateless=is_stateless)
        return self._said[key]

    def _is_let(
        self,
        flow: Tuple,
        sender: Port | None,
        receiver: Port | None,
        *,
        is_stateless: bool,
    ) -> bool:
        packet, forgets = flow.packet(), False
        for port, direction, address, other in (
            (sender, Direction.EGRESS, flow.destination, receiver),
            (receiver, Direction.INGRESS, flow.source, sender),
        ):
            if port is None or port.host_id != HERE:
                continue
            remotes = list(self._remotes(port, address, other))
            if any(exemption(self.view, port, direction, each, packet) for each in remotes):
                continue
            rulings = [judge(self.view, port, direction, remote, packet) for remote in remotes]
            if not any(each.is_allowed for each in rulings):
                return False
            forgets |= any(each.rule is not None and each.rule.is_stateless for each in rulings)
        return forgets or not is_stateless

    def _remotes(self, port: Port, address: IPAddress, other: Port | None) -> Iterator[Remote]:
        """Whom an address may stand for, as the port sees it."""
        if other is not None:
            id = other.network_id
            yield Remote(address, id, port_at(self.view, id, address))
            if other.host_id == HERE:
                return
        own = next((each for each in port.addresses if each.version == address.version), None)
        yield Remote(address, port.network_id, port_at(self.view, port.network_id, address))
        if own is not None:
            for way in ways(self.view, port.network_id, own, address):
                if way.end is End.PORT and way.network_id is not None:
                    found = port_at(self.view, way.network_id, address)
                    yield Remote(address, way.network_id, found)
        yield Remote(address)


def is_on(estate: Estate, network: Network, address: IPAddress) -> bool:
    """Whether an address is in a subnet of the network."""
    return subnet_of(estate.store, network.id, address) is not None


def is_in_any_subnet(estate: Estate, address: IPAddress) -> bool:
    return any(address in each.cidr for each in estate.store.list(Subnet))
