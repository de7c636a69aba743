"""Both drivers as one table: a method of Docker's protocol, its request, who answers it."""

from __future__ import annotations

from weft.frontends.docker import protocol
from weft.frontends.docker.endpoints import EndpointCalls
from weft.frontends.docker.ipam import IpamCalls
from weft.frontends.docker.networks import NetworkCalls
from weft.frontends.docker.protocol import Activated, Discovery, DriverCapabilities, Empty
from weft.frontends.docker.server import Method


def methods(networks: NetworkCalls, endpoints: EndpointCalls, ipam: IpamCalls) -> dict[str, Method]:
    """All methods of ``NetworkDriver``, ``IpamDriver`` and ``Plugin``."""
    network_driver = {
        "GetCapabilities": Method(Empty, _capabilities),
        "GwAllocCheck": Method(protocol.CheckGateway, networks.check_gateway),
        "AllocateNetwork": Method(protocol.CreateNetwork, networks.allocate),
        "FreeNetwork": Method(protocol.NetworkReference, networks.free),
        "CreateNetwork": Method(protocol.CreateNetwork, networks.create),
        "DeleteNetwork": Method(protocol.NetworkReference, networks.delete),
        "CreateEndpoint": Method(protocol.CreateEndpoint, endpoints.create),
        "DeleteEndpoint": Method(protocol.EndpointReference, endpoints.delete),
        "EndpointOperInfo": Method(protocol.EndpointReference, endpoints.info),
        "Join": Method(protocol.Join, endpoints.join),
        "Leave": Method(protocol.EndpointReference, endpoints.leave),
        "ProgramExternalConnectivity": Method(
            protocol.ProgramExternalConnectivity, endpoints.program
        ),
        "RevokeExternalConnectivity": Method(protocol.EndpointReference, endpoints.revoke),
        "DiscoverNew": Method(Discovery, _discovered),
        "DiscoverDelete": Method(Discovery, _discovered),
    }
    ipam_driver = {
        "GetCapabilities": Method(Empty, ipam.capabilities),
        "GetDefaultAddressSpaces": Method(Empty, ipam.address_spaces),
        "RequestPool": Method(protocol.RequestPool, ipam.request_pool),
        "ReleasePool": Method(protocol.ReleasePool, ipam.release_pool),
        "RequestAddress": Method(protocol.RequestAddress, ipam.request_address),
        "ReleaseAddress": Method(protocol.ReleaseAddress, ipam.release_address),
    }
    return {
        "Plugin.Activate": Method(Empty, _activate),
        **{f"NetworkDriver.{name}": method for name, method in network_driver.items()},
        **{f"IpamDriver.{name}": method for name, method in ipam_driver.items()},
    }


async def _activate(_: Empty) -> Activated:
    return Activated(implements=("NetworkDriver", "IpamDriver"))


async def _capabilities(_: Empty) -> DriverCapabilities:
    """Scope local: a swarm's managers are not asked. Connectivity global: hosts are joined."""
    return DriverCapabilities(scope="local", connectivity_scope="global", checks_gateways=True)


async def _discovered(_: Discovery) -> Empty:
    """Nodes of a swarm; Weft finds its hosts by itself."""
    return Empty()
