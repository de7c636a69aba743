"""The workloads of a scene: plugged in, watched, and listening."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import NamedTuple

from tests.conformance.addresses import Addresses
from tests.conformance.attempts import Ends
from tests.conformance.packets import Seen
from tests.conformance.place import NeighbourQuery, Place, Tap
from tests.conformance.scenes import Placement, Scene, Workload, in_tenant
from tests.conformance.sentences import Probe
from tests.conformance.services import Service, TcpService, UdpService
from tests.conformance.troupe import Troupe
from tests.system.workload import PATIENCE, until
from weft.api.schema import PortInfo
from weft.control.specs import AttachSpec, PortChanges
from weft.errors import UnavailableError
from weft.model.addresses import ip_address
from weft.model.records import AllowedAddress

MAX_AT_ONCE = 4
PATIENCE_S = 10.0 * PATIENCE
_SERVICES: Mapping[str, type[TcpService | UdpService]] = {"tcp": TcpService, "udp": UdpService}


class Player(NamedTuple):
    """A workload that is plugged in."""

    what: Workload
    place: Place
    ports: dict[str, PortInfo]
    """By network."""
    taps: list[Tap]

    @property
    def port(self) -> PortInfo:
        """On its first network."""
        return self.ports[self.what.network[0]]

    @property
    def addresses(self) -> set[str]:
        """On all of them, and what it holds."""
        given = {address for port in self.ports.values() for address in port.addresses}
        return given | {*self.what.holds}


class Cast:
    """All workloads of a scene, on one host or on two."""

    def __init__(self, scene: Scene, tenant: str, placement: Placement, troupe: Troupe) -> None:
        self.addresses = Addresses(scene)
        self._scene = scene
        self._tenant = tenant
        self._placement = placement
        self._troupe = troupe
        self._players: dict[str, Player] = {}
        self._changed: set[str] = set()
        """Whose ports may have other groups and labels than the case file says."""
        self._services: dict[tuple[str, str, str, int], Service] = {}

    def enter(self, *names: str) -> None:
        """Plug workloads in, all at once: on the second host each waits for its addresses."""
        for name in names:
            wanted = self._scene.workloads[name]
            place = self._troupe.lend(wanted.host if self._placement == "two" else 1)
            self._players[name] = Player(wanted, place, {}, [])
        with ThreadPoolExecutor(MAX_AT_ONCE) as pool:
            list(pool.map(self._plug_in, names))
        self._troupe.agree()
        self._wait_known()

    def _plug_in(self, name: str) -> None:
        player = self._players[name]
        wanted, place = player.what, player.place
        place.set_forwarding(wanted.forwards)
        for network in wanted.network:
            before = place.devices()
            player.ports[network] = self._attached(name, player, network)
            [ifname] = place.devices() - before
            player.taps.append(Tap(place, ifname))
            if network == wanted.network[0]:
                place.hold(ifname, wanted.holds)
        if wanted.gateway is not None:
            place.set_gateways([self.addresses.of(wanted.gateway, version) for version in (4, 6)])

    def leave(self, name: str) -> None:
        """Unplug it."""
        player = self._players.pop(name)
        for key in [key for key in self._services if key[0] == name]:
            self._services.pop(key).close()
        for tap in player.taps:
            tap.close()
        for port in player.ports.values():
            self._troupe.api(player.place.number).delete("ports", port.id)
        self._troupe.give_back(player.place)

    def leave_all(self) -> None:
        """Unplug everybody."""
        for name in list(self._players):
            self.leave(name)

    def restore(self) -> None:
        """Have everybody here, as the case file has them."""
        missing = [name for name in self._scene.workloads if name not in self._players]
        for name in self._changed & self._players.keys():
            wanted, player = self._scene.workloads[name], self._players[name]
            for port in player.ports.values():
                changes = PortChanges(groups=wanted.groups, labels=wanted.labels)
                api = self._troupe.api(player.place.number)
                api.send(PortInfo, "PATCH", "ports", port.id, body=changes)
        self._changed.clear()
        if missing:
            self.enter(*missing)

    def ends(self, probe: Probe, version: int) -> Ends:
        """From where to where a probe goes."""
        source, destination = (
            self.addresses.of(each, version) for each in (probe.source, probe.target)
        )
        return Ends(self._players[probe.sender].place, source, destination)

    def changed_port(self, name: str) -> tuple[str, int]:
        """The id of a workload's first port, and the number of its host, to change it there."""
        self._changed.add(name)
        player = self._players[name]
        return player.port.id, player.place.number

    def serve(self, probe: Probe, version: int, *, is_closed: bool = False) -> None:
        """Have somebody listen where a probe goes, or nobody."""
        name = probe.target.partition("@")[0]
        if name not in self._players or probe.kind not in _SERVICES:
            return
        address = self.addresses.of(probe.target, version)
        key = name, probe.kind, address, probe.number
        if is_closed:
            if key in self._services:
                self._services.pop(key).close()
        elif key not in self._services:
            made = _SERVICES[probe.kind](self._players[name].place, address, probe.number)
            self._services[key] = made

    def holders(self, target: str, version: int) -> dict[str, bool]:
        """Who has the address of a target, and of each whether it is the one that is meant."""
        address, meant = self.addresses.of(target, version), target.partition("@")[0]
        found = [name for name, player in self._players.items() if address in player.addresses]
        return {name: meant == name or meant not in self._scene.workloads for name in found}

    def heard(self, timeout_s: float = 0) -> Iterator[tuple[str, Seen]]:
        """What has come to whom, and services have answered; waits so long for something."""
        taps = [tap for player in self._players.values() for tap in player.taps]
        select.select(taps, [], [], timeout_s)
        for service in self._services.values():
            service.serve()
        for name, player in self._players.items():
            for tap in player.taps:
                for packet in tap.seen():
                    yield name, packet

    def _wait_known(self) -> None:
        """Wait until each is told where the others of its network are."""
        for name, player in self._players.items():
            for other, there in self._players.items():
                if other != name and there.what.network[0] == player.what.network[0]:
                    self._wait_neighbour(name, other)

    def _attached(self, name: str, player: Player, network: str) -> PortInfo:
        addresses = self.addresses.on(name, network)
        spec = AttachSpec(
            target=player.place.path,
            network=in_tenant(network if "/" in network else f"@/{network}", self._tenant),
            addresses=tuple(map(ip_address, addresses)),
            groups=player.what.groups,
            labels=tuple(player.what.labels.items()),
            allowed=tuple(AllowedAddress(cidr=ip_network(each)) for each in player.what.allows),
        )
        api = self._troupe.api(player.place.number)
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return api.send(PortInfo, "POST", "attachments", body=spec)
            except UnavailableError:
                # A host that is slow itself may not have given the address in time.
                if time.monotonic() >= deadline_s:
                    raise

    def _wait_neighbour(self, name: str, other: str) -> None:
        player = self._players[name]
        try:
            source, target = (self.addresses.of(each, 4) for each in (name, other))
        except ValueError:
            return  # there is only IPv6

        def is_known() -> bool:
            query = NeighbourQuery(player.place, "eth0", player.port.mac, source, target)
            try:
                select.select([query], [], [], 0.1)
                return query.is_answered()
            finally:
                query.close()

        until(f"{name} is told where {other} is", is_known)
