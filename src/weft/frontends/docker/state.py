"""What both drivers and the looks at Docker share: Weft's records by Docker's ids, and what this
weftd remembers of Docker."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable

import structlog

from weft.control.control import Control
from weft.frontends.docker.answers import NetworkRequest
from weft.frontends.docker.bindings import DockerNetwork, docker_network_id
from weft.frontends.docker.reconcile.facts import Memory
from weft.frontends.docker.records import DockerRecords
from weft.model.addresses import IPAddress
from weft.model.choices import Allocator
from weft.model.ids import NetworkId, SubnetId
from weft.model.records import Network, Port, Subnet

log = structlog.get_logger()

GRACE_S = 30.0
"""A thing that Weft has just been asked for may not have reached Docker's own store yet."""
_MEMORY_S = 600.0


class DockerState:
    """Owned by `DockerFrontend`; all on the event loop."""

    def __init__(
        self,
        control: Control,
        clock: Callable[[], float],
        ifnames: Callable[[], Collection[str]],
    ) -> None:
        """ifnames: names of the devices in weftd's network namespace."""
        self.control = control
        host = control.host
        self.records = DockerRecords(control.view, host.id, host.name)
        self._clock = clock
        self._ifnames = ifnames
        self._touched: dict[str, float] = {}
        self._endpoints: frozenset[str] | None = None
        self._chosen: set[SubnetId] = set()
        self.engine = ""
        """See `DockerNetwork.engine`; empty until Docker was asked."""
        self.leaving: set[str] = set()
        """Networks of Docker's that weftd itself takes out of Docker now: they go there alone."""
        self.refused: dict[NetworkId, NetworkRequest] = {}
        """What Docker would not make; see `Memory`."""
        self.mirrored: set[NetworkId] = set()
        """Networks that weftd itself has Docker make now."""
        self._under_way: dict[str, float] = {}

    def touch(self, id: str) -> None:
        """Docker speaks of this network, endpoint or pool now: it is no garbage for a while."""
        now = self._clock()
        self._touched = {key: at for key, at in self._touched.items() if at > now - _MEMORY_S}
        self._touched[id] = now

    def begin(self, id: str) -> None:
        """Docker makes a network of which this is the id, or a subnet; weftd did not ask it to."""
        self._under_way[id] = self._clock()

    def end(self, *ids: str) -> None:
        """It is made, or will not be."""
        for id in ids:
            self._under_way.pop(id, None)

    def choose(self, id: SubnetId) -> None:
        """Weft chose this pool's prefix; nobody asked for that prefix."""
        known = {subnet.id for subnet in self.control.view.list(Subnet)}
        self._chosen = (self._chosen & known) | {id}

    def is_fresh(self, id: str) -> bool:
        """Whether Docker spoke of it within `GRACE_S`."""
        return self._clock() - self._touched.get(id, -GRACE_S) < GRACE_S

    def learn_endpoints(self, endpoints: frozenset[str]) -> None:
        """All endpoints that Docker has on Weft's networks."""
        self._endpoints = endpoints

    def lose_docker(self) -> None:
        """Docker has ended. What it has now is not known, and it forgot what it was about to do:
        after a crash it drops its stale endpoints without a call to their driver."""
        self._endpoints = None
        self._touched.clear()
        self._under_way.clear()

    def memory(self) -> Memory:
        """All that is remembered at this moment."""
        begun_s = self._clock() - GRACE_S
        return Memory(
            under_way=frozenset(id for id, at in self._under_way.items() if at > begun_s),
            recent=frozenset(filter(self.is_fresh, self._touched)),
            touched=frozenset(self._touched),
            chosen=frozenset(self._chosen),
            refused=dict(self.refused),
            told=dict(self.control.notices.standing),
        )

    async def keep(self, network: DockerNetwork) -> None:
        """Remember what is known of a network of this host's Docker."""
        await self.control.bind(network.record)

    async def drop(self, docker_id: str) -> None:
        """It is Docker's no more."""
        await self.control.unbind(docker_network_id(docker_id, self.control.host.id))

    async def evict(
        self,
        network: Network,
        *,
        addresses: Iterable[IPAddress] = (),
        mac: str = "",
        endpoint_id: str = "",
    ) -> None:
        """Remove dead endpoints of this host that hold an address or a MAC that is wanted.

        Where Docker gives the addresses, its giving one to `endpoint_id` is proof enough that no
        other has it. Linear in the network's ports when a MAC is given.
        """
        for address in addresses:
            subnet = self.records.subnet_of(network, address)
            is_proof = (
                subnet is not None and subnet.allocator is Allocator.DOCKER and endpoint_id != ""
            )
            for holder in self.control.holders(address, network):
                if isinstance(holder, Port) and self._is_other(holder, endpoint_id):
                    await self.remove_if_dead(holder, is_proved=is_proof)
        if mac:
            for port in list(self.control.view.by(Port, "network_id", network.id)):
                if port.mac == mac.lower() and self._is_other(port, endpoint_id):
                    await self.remove_if_dead(port)

    async def remove_if_dead(self, port: Port, *, is_proved: bool = False) -> bool:
        """Remove a port of Docker's if its endpoint is dead. True: it was.

        While dockerd starts it cannot be asked, and it may have dropped its stale endpoints without
        a word; then the kernel is asked whether the port's device is in a container.
        """
        if not is_proved and not self._is_dead(port):
            return False
        log.info("port removed, its container is dead", port=port.owner.container_name or port.id)
        await self.control.ports.remove(port.id)
        return True

    def _is_other(self, port: Port, endpoint_id: str) -> bool:
        is_ours = port.owner.frontend == "docker" and port.host_id == self.control.host.id
        return is_ours and port.owner.reference != endpoint_id

    def _is_dead(self, port: Port) -> bool:
        if port.owner.frontend != "docker" or self.is_fresh(port.owner.reference):
            return False
        if self._endpoints is not None:
            return port.owner.reference not in self._endpoints
        device, ifnames = port.veth, self._ifnames()
        return device is None or device.ifname not in ifnames or device.peer_ifname in ifnames


def host_ifnames() -> frozenset[str]:
    """Names of the devices in weftd's network namespace."""
    return frozenset(name for _, name in socket.if_nameindex())
