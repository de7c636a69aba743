"""Endpoints of the network driver: a container's place on a network, from create to delete."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from weft.control.plugging import device_names
from weft.control.port_owners import GROUPS
from weft.control.specs import PortSpec
from weft.errors import ConflictError, InvalidError, NotFoundError
from weft.frontends.docker.awaited_names import AwaitedNames
from weft.frontends.docker.options import (
    group_names,
    parse_address,
    parse_endpoint_options,
)
from weft.frontends.docker.protocol import (
    EXPOSED_PORTS,
    MAC_ADDRESS,
    PORT_MAP,
    CreateEndpoint,
    Empty,
    EndpointCreated,
    EndpointFacts,
    EndpointReference,
    Interface,
    InterfaceName,
    Join,
    Joined,
    PortBinding,
    ProgramExternalConnectivity,
    StaticRoute,
    list_of,
)
from weft.frontends.docker.published import HostPorts, bindings_of, wishes
from weft.frontends.docker.records import port_id_of
from weft.frontends.docker.state import DockerState
from weft.model.addresses import IPAddress
from weft.model.choices import Allocator
from weft.model.ids import MacAddress
from weft.model.records import Network, Owner, Port, Veth
from weft.semantics.guest import Route, guest_of
from weft.semantics.routers import prefixes_beyond


class EndpointCalls:
    """Calls about endpoints."""

    def __init__(self, state: DockerState, names: AwaitedNames, host_ports: HostPorts) -> None:
        self._state = state
        self._names = names
        self._control = state.control
        self._host_ports = host_ports

    async def create(self, request: CreateEndpoint) -> EndpointCreated:
        """CreateEndpoint. The answer names only what the request left open."""
        self._state.touch(request.endpoint)
        await self._names.named(request.network)
        network = self._network(request.network)
        wanted = request.interface or Interface()
        bindings = list_of(request.options, PORT_MAP, PortBinding)
        await asyncio.to_thread(wishes, bindings)  # said now what is wrong with them
        addresses = _addresses(wanted)
        asked = parse_endpoint_options(request.options)
        port = self._state.records.port(request.endpoint)
        if port is None:
            await self._state.evict(
                network, addresses=addresses, mac=wanted.mac, endpoint_id=request.endpoint
            )
            spec = PortSpec(
                network=network.id,
                addresses=addresses,
                is_exact=bool(addresses),
                mac=MacAddress(wanted.mac) if wanted.mac else None,
                allowed=asked.allowed,
                admits_host=asked.admits_host,
                groups=() if asked.groups is None else tuple(group_names(asked.groups)),
                labels=() if asked.groups is None else ((GROUPS, asked.groups),),
                owner=Owner(frontend="docker", takes_reservations=True, reference=request.endpoint),
            )
            try:
                port = await self._control.ports.add_with_id(spec, port_id_of(request.endpoint))
            except ConflictError as error:
                raise self._with_hint(error, network, addresses) from error
        _check_same(port, network, addresses, wanted.mac)
        return EndpointCreated(interface=self._answer(port, network, wanted))

    async def delete(self, request: EndpointReference) -> Empty:
        """DeleteEndpoint, with or without a Leave before it; the kernel follows soon after."""
        await self._control.ports.remove(port_id_of(request.endpoint), is_awaited=False)
        return Empty()

    async def info(self, request: EndpointReference) -> EndpointFacts:
        """EndpointOperInfo."""
        port = self._port(request.endpoint)
        bindings = [each for published in port.published for each in bindings_of(published)]
        exposed = [{"Proto": b["Proto"], "Port": b["Port"]} for b in bindings]
        return EndpointFacts(
            value={MAC_ADDRESS: port.mac, PORT_MAP: bindings, EXPOSED_PORTS: exposed}
        )

    async def join(self, request: Join) -> Joined:
        """Join: plug the port in; Docker moves the device's inner end into the container."""
        port = self._port(request.endpoint)
        self._state.touch(request.endpoint)
        network = self._network(request.network)
        ifname, peer_ifname = device_names(port.id)
        await self._control.ports.plug(port.id, Veth(ifname=ifname, peer_ifname=peer_ifname))
        subnets = self._control.networks.subnets(network)
        beyond = self._control.view.ask(prefixes_beyond, network.id)
        guest = guest_of(port, network, subnets, self._control.host, beyond)
        gateways = {gateway.version: gateway for gateway in guest.gateways}
        routes = guest.subnet_routes
        if guest.resolver_routes and await self._is_first_inside(port, request.sandbox):
            routes += guest.resolver_routes
        return Joined(
            interface_name=InterfaceName(source=peer_ifname, prefix="eth"),
            gateway=str(gateways.get(4, "")),
            gateway6=str(gateways.get(6, "")),
            routes=tuple(map(_static_route, routes)),
            # Docker looks only at the IPv4 gateway before it adds docker_gwbridge; but with one,
            # the endpoint must count as the container's way out, or another network brings it.
            disables_gateway_service=4 not in gateways,
        )

    async def leave(self, request: EndpointReference) -> Empty:
        """Leave: the device goes, the addresses stay until DeleteEndpoint."""
        port = self._state.records.port(request.endpoint)
        if port is not None:
            await self._control.ports.unplug(port.id, is_awaited=False)
            await self._put_into(port, "")
        return Empty()

    async def program(self, request: ProgramExternalConnectivity) -> Empty:
        """ProgramExternalConnectivity: publish the container's ports here."""
        port = self._port(request.endpoint)
        bindings = list_of(request.options, PORT_MAP, PortBinding)
        await self._host_ports.publish(port, bindings)
        return Empty()

    async def revoke(self, request: EndpointReference) -> Empty:
        """RevokeExternalConnectivity: the container's way out is elsewhere now."""
        port = self._state.records.port(request.endpoint)
        if port is not None and port.published:
            await self._control.ports.update(port.id, published=())
        return Empty()

    async def _is_first_inside(self, port: Port, sandbox: str) -> bool:
        """Whether no other port in the container has brought the routes to the resolvers.

        Docker fails when a container gets one route twice.
        """
        await self._put_into(port, sandbox)
        return not any(
            each.owner.sandbox == sandbox and each.id != port.id
            for each in self._state.records.ports()
        )

    async def _put_into(self, port: Port, sandbox: str) -> None:
        if port.owner.sandbox != sandbox:
            await self._control.ports.update(port.id, owner=replace(port.owner, sandbox=sandbox))

    def _with_hint(
        self, error: ConflictError, network: Network, addresses: Sequence[IPAddress]
    ) -> ConflictError:
        """Docker's own IPAM knows nothing of other hosts: say how to do better."""
        here = self._control.host.id
        for address in addresses:
            subnet = self._state.records.subnet_of(network, address)
            for holder in self._control.holders(address, network):
                is_far = getattr(holder, "host_id", here) != here
                if is_far and subnet is not None and subnet.allocator is Allocator.DOCKER:
                    return ConflictError(
                        f"{error}; Docker's own IPAM does not see other hosts: make the network "
                        "with --ipam-driver weft"
                    )
        return error

    def _network(self, docker_id: str) -> Network:
        record = self._state.records.docker_network(docker_id)
        if record is not None and record.contradiction:
            raise ConflictError(record.contradiction)
        network = self._state.records.network(docker_id)
        if network is None:
            raise NotFoundError(
                f"network {docker_id[:12]}: weft does not know it; "
                "remove it in Docker and create it again"
            )
        return network

    def _port(self, endpoint_id: str) -> Port:
        port = self._state.records.port(endpoint_id)
        if port is None:
            raise NotFoundError(
                f"endpoint {endpoint_id[:12]}: weft does not know it; restart the container"
            )
        return port

    def _answer(self, port: Port, network: Network, wanted: Interface) -> Interface:
        answer = {4: "", 6: ""}
        if not wanted.address and not wanted.address6:
            for address in port.addresses:
                subnet = self._state.records.subnet_of(network, address)
                if subnet is not None:
                    answer[address.version] = f"{address}/{subnet.cidr.prefixlen}"
        return Interface(
            address=answer[4], address6=answer[6], mac="" if wanted.mac else str(port.mac)
        )


def _addresses(wanted: Interface) -> tuple[IPAddress, ...]:
    texts = [text for text in (wanted.address, wanted.address6) if text]
    return tuple(parse_address("address", text) for text in texts)


def _check_same(port: Port, network: Network, addresses: Sequence[IPAddress], mac: str) -> None:
    """The same endpoint again must be the same in all that was asked for."""
    if port.network_id != network.id:
        raise ConflictError(f"endpoint {port.owner.reference[:12]}: is on another network already")
    if addresses and set(addresses) != set(port.addresses):
        held = ", ".join(map(str, port.addresses))
        raise ConflictError(f"endpoint {port.owner.reference[:12]}: has {held} already")
    if mac and mac.lower() != port.mac:
        raise InvalidError(f"endpoint {port.owner.reference[:12]}: has MAC {port.mac} already")


def _static_route(route: Route) -> StaticRoute:
    return StaticRoute(destination=str(route.prefix), next_hop=str(route.gateway))
