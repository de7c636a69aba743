"""What both drivers and the follower of events share: how Docker's things are found among Weft's
records, and what has been learnt of Docker in the background.

Docker's endpoint is a port whose id follows from the endpoint's, so nothing has to be searched.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator

import structlog

from weft.control.control import Control
from weft.frontends.docker.bindings import (
    DockerNetwork,
    docker_network_id,
    docker_network_of,
)
from weft.model.addresses import IPAddress
from weft.model.choices import Allocator
from weft.model.ids import HostId, PortId, SubnetId, derived_id
from weft.model.records import Binding, Network, Port, Subnet

log = structlog.get_logger()

MADE_BY = "docker"
"""Label of a network that was made for a Docker network: it goes when the last of those goes."""
MADE_FOR = "docker-id"
"""Label of such a network: the id that Docker gave it."""
LABEL = "weft.network"
"""Docker's label on a network that weftd made in Docker: the id of the Weft network that it is."""
GRACE_S = 30.0
"""A thing that Weft has just been asked for may not have reached Docker's own store yet."""
_MEMORY_S = 600.0


class DockerState:
    """Records by Docker's ids. Owned by `DockerFrontend`; all on the event loop."""

    def __init__(
        self,
        control: Control,
        clock: Callable[[], float] = time.monotonic,
        ifnames: Callable[[], Collection[str]] | None = None,
    ) -> None:
        self.control = control
        self._clock = clock
        self._ifnames = ifnames or host_ifnames
        self._touched: dict[str, float] = {}
        self._endpoints: frozenset[str] | None = None
        self._chosen: set[SubnetId] = set()
        self.engine = ""
        """See `DockerNetwork.engine`; empty until Docker was asked."""
        self.leaving: set[str] = set()
        """Networks of Docker's that weftd itself takes out of Docker now: they go there alone."""

    def touch(self, id: str) -> None:
        """Docker speaks of this network, endpoint or pool now: it is no garbage for a while."""
        now = self._clock()
        self._touched = {key: at for key, at in self._touched.items() if at > now - _MEMORY_S}
        self._touched[id] = now

    def choose(self, id: SubnetId) -> None:
        """Weft chose this pool's prefix; nobody asked for just that one."""
        known = {subnet.id for subnet in self.control.view.list(Subnet)}
        self._chosen = (self._chosen & known) | {id}

    def is_chosen(self, subnet: Subnet) -> bool:
        """Whether Weft chose its prefix, as far as this weftd remembers."""
        return subnet.id in self._chosen

    def has_touched(self, id: str) -> bool:
        """Whether Docker, or the search for garbage, has spoken of it lately."""
        return id in self._touched

    def is_fresh(self, id: str) -> bool:
        """Whether Docker spoke of it within `GRACE_S`."""
        return self._clock() - self._touched.get(id, -GRACE_S) < GRACE_S

    def learn_endpoints(self, endpoints: frozenset[str]) -> None:
        """All endpoints that Docker has on Weft's networks."""
        self._endpoints = endpoints

    def lose_docker(self) -> None:
        """Docker has ended: what it has now is not known, and what it was about to do, it forgot
        (after a crash it drops its stale endpoints without a call to their driver)."""
        self._endpoints = None
        self._touched.clear()

    def is_gone(self, endpoint_id: str) -> bool:
        """Whether Docker is known to have this endpoint no more."""
        known = self._endpoints
        return known is not None and endpoint_id not in known and not self.is_fresh(endpoint_id)

    def docker_network(self, docker_id: str) -> DockerNetwork | None:
        """By Docker's id."""
        id = docker_network_id(docker_id, self.control.host.id)
        return docker_network_of(self.control.view.get(Binding, id))

    async def keep(self, network: DockerNetwork) -> None:
        """Remember what is known of a network of this host's Docker."""
        await self.control.bind(network.record)

    async def drop(self, docker_id: str) -> None:
        """It is Docker's no more."""
        await self.control.unbind(docker_network_id(docker_id, self.control.host.id))

    def anywhere(self, network: Network) -> Iterator[DockerNetwork]:
        """All networks of any host's Docker that are this one."""
        found = self.control.view.by(Binding, "record_id", network.id)
        return filter(None, map(docker_network_of, found))

    def network(self, docker_id: str) -> Network | None:
        """The Weft network that a Docker network is."""
        record = self.docker_network(docker_id)
        return self.control.view.get(Network, record.network_id) if record is not None else None

    def docker_networks(self) -> Iterator[DockerNetwork]:
        """All networks of this host's Docker."""
        for record in map(docker_network_of, self.control.view.list(Binding)):
            if record is not None and record.host_id == self.control.host.id:
                yield record

    def is_in_docker(self, network: Network) -> bool:
        """Whether a network of this host's Docker is this one."""
        return any(
            record.host_id == self.control.host.id
            and not record.contradiction
            and not record.is_name_awaited
            for record in self.anywhere(network)
        )

    def port(self, endpoint_id: str) -> Port | None:
        """The port that an endpoint is."""
        return self.control.view.get(Port, port_id_of(endpoint_id))

    def ports(self) -> Iterator[Port]:
        """All ports of this host's Docker."""
        for port in self.control.view.by(Port, "host_id", self.control.host.id):
            if port.owner.frontend == "docker":
                yield port

    def subnet_of(self, network: Network, address: IPAddress) -> Subnet | None:
        """The network's subnet in which an address lies."""
        subnets = self.control.networks.subnets(network)
        return next((s for s in subnets if address in s.cidr), None)

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
            subnet = self.subnet_of(network, address)
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


def port_id_of(endpoint_id: str) -> PortId:
    """The id of the port that an endpoint is."""
    return PortId(derived_id("docker-endpoint", endpoint_id))


def provisional_name(docker_id: str) -> str:
    """What a network is called until Docker's name for it is known."""
    return f"docker-{docker_id[:12]}"


def is_made_by_docker(network: Network, host_id: HostId | None = None) -> bool:
    """Whether it was made for a network of this host's Docker; None: of any host's."""
    return any(key == MADE_BY and host_id in (None, value) for key, value in network.labels)


def is_made_for(network: Network, docker_id: str) -> bool:
    """Whether it was made for this network of Docker's."""
    return (MADE_FOR, docker_id) in network.labels


def is_name_provisional(network: Network) -> bool:
    """Whether it waits to learn what Docker calls it, on whichever host."""
    return any(
        key == MADE_FOR and network.name == provisional_name(value) for key, value in network.labels
    )
