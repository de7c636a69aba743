"""Docker's plugin protocol, as structs: every request and response of libnetwork's remote network
driver and remote IPAM driver.

Field names are Docker's (``NetworkID``); Go encodes nil maps and slices as null. Fields that a
newer Docker adds are accepted; a wrong type is an InvalidError that names the field. Sources:
libnetwork ``drivers/remote/api`` and ``ipams/remote/api``, Docker 20.10 to 29.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import field

from weft.errors import InvalidError
from weft.printable import printable_lines
from weft.readiness import ready

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
GENERIC = "com.docker.network.generic"
"""Option of a network: the ``-o`` map."""
ENABLE_IPV6 = "com.docker.network.enable_ipv6"
INTERNAL = "com.docker.network.internal"
PORT_MAP = "com.docker.network.portmap"
EXPOSED_PORTS = "com.docker.network.endpoint.exposedports"
MAC_ADDRESS = "com.docker.network.endpoint.macaddress"
GATEWAY = "com.docker.network.gateway"
ADDRESS_TYPE = "RequestAddressType"
"""Option of RequestAddress: `GATEWAY` for a network's gateway."""

ADDRESS_SPACE = "weft"
"""Pools of Weft's own IPAM driver are known by it."""

Options: TypeAlias = dict[str, msgspec.Raw]
"""Of an endpoint. Values are looked at one by one, for there may be 65,535 ports in one."""

_LONGEST = 800
"""Characters of an error, whatever it quotes."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Anything that is sent to or by Docker."""


class Empty(Message, frozen=True, kw_only=True):
    """No facts."""


class Pool(Message, frozen=True, kw_only=True):
    """libnetwork's IPAMData: one subnet of a network."""

    address_space: str = field(name="AddressSpace", default="")
    pool: str = field(name="Pool", default="")
    gateway: str = field(name="Gateway", default="")
    """With prefix length; empty: none."""
    auxiliary: dict[str, str] | None = field(name="AuxAddresses", default=None)
    """Name to address with prefix length."""


class CreateNetwork(Message, frozen=True, kw_only=True):
    """Also AllocateNetwork, which a swarm manager asks."""

    network: Id = field(name="NetworkID")
    options: dict[str, object] | None = field(name="Options", default=None)
    ipv4: list[Pool] | None = field(name="IPv4Data", default=None)
    ipv6: list[Pool] | None = field(name="IPv6Data", default=None)


class NetworkReference(Message, frozen=True, kw_only=True):
    """DeleteNetwork, FreeNetwork."""

    network: Id = field(name="NetworkID")


class CheckGateway(Message, frozen=True, kw_only=True):
    """GwAllocCheck, Docker 29: does a network with these options need a gateway address?"""

    options: dict[str, object] | None = field(name="Options", default=None)


class Interface(Message, frozen=True, kw_only=True):
    """Addresses with prefix length. In an answer, only what was empty in the question."""

    address: str = field(name="Address", default="")
    address6: str = field(name="AddressIPv6", default="")
    mac: str = field(name="MacAddress", default="")


class CreateEndpoint(Message, frozen=True, kw_only=True):
    """A container's place on a network, to be."""

    network: Id = field(name="NetworkID")
    endpoint: Id = field(name="EndpointID")
    interface: Interface | None = field(name="Interface", default=None)
    options: Options | None = field(name="Options", default=None)


class EndpointReference(Message, frozen=True, kw_only=True):
    """DeleteEndpoint, EndpointOperInfo, Leave, RevokeExternalConnectivity."""

    network: Id = field(name="NetworkID")
    endpoint: Id = field(name="EndpointID")


class Join(Message, frozen=True, kw_only=True):
    """A container takes its place."""

    network: Id = field(name="NetworkID")
    endpoint: Id = field(name="EndpointID")
    sandbox: str = field(name="SandboxKey", default="")
    options: Options | None = field(name="Options", default=None)


class ProgramExternalConnectivity(Message, frozen=True, kw_only=True):
    """The endpoint has become its container's way out: publish the container's ports on it."""

    network: Id = field(name="NetworkID")
    endpoint: Id = field(name="EndpointID")
    options: Options | None = field(name="Options", default=None)


class Discovery(Message, frozen=True, kw_only=True):
    """DiscoverNew, DiscoverDelete: a node of a swarm."""

    type: int = field(name="DiscoveryType", default=0)
    data: object = field(name="DiscoveryData", default=None)


class PortBinding(Message, frozen=True, kw_only=True):
    """One entry of `PORT_MAP`."""

    protocol: int = field(name="Proto")
    """IP protocol number."""
    address: str = field(name="IP", default="")
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = field(name="Port")
    host_address: str = field(name="HostIP", default="")
    host_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = field(name="HostPort", default=0)
    """0: any free one."""
    host_port_end: Annotated[int, msgspec.Meta(ge=0, le=65535)] = field(
        name="HostPortEnd", default=0
    )
    """Last of a range from which one is to be taken; 0: `host_port` alone."""


class RequestPool(Message, frozen=True, kw_only=True):
    """A subnet for a network that will be made."""

    address_space: str = field(name="AddressSpace", default="")
    pool: str = field(name="Pool", default="")
    sub_pool: str = field(name="SubPool", default="")
    options: dict[str, str] | None = field(name="Options", default=None)
    is_ipv6: bool = field(name="V6", default=False)


class ReleasePool(Message, frozen=True, kw_only=True):
    """The subnet is needed no more."""

    pool: Id = field(name="PoolID")


class RequestAddress(Message, frozen=True, kw_only=True):
    """An address out of a pool."""

    pool: Id = field(name="PoolID")
    address: str = field(name="Address", default="")
    """Empty: any."""
    options: dict[str, str] | None = field(name="Options", default=None)


class ReleaseAddress(Message, frozen=True, kw_only=True):
    """An address is needed no more."""

    pool: Id = field(name="PoolID")
    address: str = field(name="Address", default="")


class Activated(Message, frozen=True, kw_only=True):
    """Answer to Plugin.Activate."""

    implements: tuple[str, ...] = field(name="Implements")


class DriverCapabilities(Message, frozen=True, kw_only=True):
    """Answer to NetworkDriver.GetCapabilities."""

    scope: Literal["local", "global"] = field(name="Scope")
    connectivity_scope: Literal["local", "global"] = field(name="ConnectivityScope")
    checks_gateways: bool = field(name="GwAllocChecker")


class GatewaysChecked(Message, frozen=True, kw_only=True, omit_defaults=False):
    """Answer to GwAllocCheck."""

    skips_ipv4: bool = field(name="SkipIPv4", default=False)
    skips_ipv6: bool = field(name="SkipIPv6", default=False)


class NetworkAllocated(Message, frozen=True, kw_only=True):
    """Answer to AllocateNetwork: what the other nodes' CreateNetwork will carry."""

    options: dict[str, str] = field(name="Options")


class EndpointCreated(Message, frozen=True, kw_only=True):
    """Answer to CreateEndpoint."""

    interface: Interface = field(name="Interface")


class EndpointFacts(Message, frozen=True, kw_only=True):
    """Answer to EndpointOperInfo."""

    value: dict[str, object] = field(name="Value")


class InterfaceName(Message, frozen=True, kw_only=True):
    """Docker moves `source` into the container and calls it `prefix` and a number."""

    source: str = field(name="SrcName")
    prefix: str = field(name="DstPrefix")


class StaticRoute(Message, frozen=True, kw_only=True, omit_defaults=False):
    """A route in the container."""

    destination: str = field(name="Destination")
    type: Literal[0, 1] = field(name="RouteType", default=0)
    """0: by way of `next_hop`; 1: on the link."""
    next_hop: str = field(name="NextHop", default="")


class Joined(Message, frozen=True, kw_only=True):
    """Answer to Join. Gateways are plain addresses."""

    interface_name: InterfaceName = field(name="InterfaceName")
    gateway: str = field(name="Gateway", default="")
    gateway6: str = field(name="GatewayIPv6", default="")
    routes: tuple[StaticRoute, ...] = field(name="StaticRoutes", default=())
    disables_gateway_service: bool = field(name="DisableGatewayService", default=False)


class IpamCapabilities(Message, frozen=True, kw_only=True, omit_defaults=False):
    """Answer to IpamDriver.GetCapabilities."""

    requires_mac: bool = field(name="RequiresMACAddress", default=False)
    requires_replay: bool = field(name="RequiresRequestReplay", default=False)


class AddressSpaces(Message, frozen=True, kw_only=True):
    """Answer to GetDefaultAddressSpaces."""

    local: str = field(name="LocalDefaultAddressSpace")
    cluster: str = field(name="GlobalDefaultAddressSpace")


class PoolGiven(Message, frozen=True, kw_only=True):
    """Answer to RequestPool."""

    id: str = field(name="PoolID")
    pool: str = field(name="Pool")
    data: dict[str, str] = field(name="Data", default_factory=dict)


class AddressGiven(Message, frozen=True, kw_only=True):
    """Answer to RequestAddress, with prefix length."""

    address: str = field(name="Address")


class Failure(Message, frozen=True, kw_only=True):
    """An error. The network driver's callers read `Err`, the IPAM driver's `Error`."""

    err: str = field(name="Err")
    error: str = field(name="Error")


M = TypeVar("M", bound=Message)


def decode(method: str, body: bytes, wanted: type[M]) -> M:
    """A request's body; empty is the same as ``{}``. InvalidError names the field."""
    try:
        return msgspec.json.decode(body.strip() or b"{}", type=ready(wanted))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"{method}: the request is not as it should be: {error}") from error


def list_of(options: Options | None, key: str, wanted: type[M]) -> list[M]:
    """Structs out of an endpoint's options; none, or null: no structs. InvalidError as above."""
    value = (options or {}).get(key, b"null")
    try:
        ready(wanted)
        return msgspec.json.decode(value, type=list[wanted] | None) or []  # type: ignore[valid-type]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"option {key}: {error}") from error


def encode(message: Message) -> bytes:
    """A response's body."""
    return msgspec.json.encode(message)


def failure(message: str) -> Failure:
    """An error, which Docker prints as it is."""
    text = printable_lines(message)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    return Failure(err=text, error=text)
