"""What Docker's API answers and is asked, as structs: the few facts that Weft uses."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import field

DRIVER = "weft"
"""What Docker calls Weft's network driver and IPAM driver."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an answer; what is not named here is ignored."""


class NetworkEndpoint(Facts, frozen=True, kw_only=True):
    """An endpoint in a network's `containers`."""

    endpoint: str = field(name="EndpointID", default="")
    name: str = field(name="Name", default="")
    """The container's, when the endpoint was made."""


class PoolConfig(Facts, frozen=True, kw_only=True):
    """One subnet, as its maker gave it."""

    subnet: str = field(name="Subnet", default="")
    ip_range: str = field(name="IPRange", default="")
    gateway: str = field(name="Gateway", default="")
    auxiliary: dict[str, str] | None = field(name="AuxiliaryAddresses", default=None)


class Ipam(Facts, frozen=True, kw_only=True):
    """Who gives addresses, and from what."""

    driver: str = field(name="Driver", default="")
    config: list[PoolConfig] | None = field(name="Config", default=None)


class NetworkFacts(Facts, frozen=True, kw_only=True):
    """A network of Docker's."""

    id: str = field(name="Id")
    name: str = field(name="Name")
    driver: str = field(name="Driver", default="")
    labels: dict[str, str] | None = field(name="Labels", default=None)
    is_internal: bool = field(name="Internal", default=False)
    is_ipv6: bool = field(name="EnableIPv6", default=False)
    options: dict[str, str] | None = field(name="Options", default=None)
    ipam: Ipam = field(name="IPAM", default_factory=Ipam)
    containers: dict[str, NetworkEndpoint] | None = field(name="Containers", default=None)
    """Endpoints by container id, or by ``ep-`` and the endpoint's id. Only in `Dockerd.network`."""


class NetworkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A network to make."""

    name: str = field(name="Name")
    driver: str = field(name="Driver", default=DRIVER)
    is_duplicate_refused: bool = field(name="CheckDuplicate", default=True)
    is_internal: bool = field(name="Internal", default=False)
    is_ipv6: bool = field(name="EnableIPv6", default=False)
    options: dict[str, str] = field(name="Options")
    labels: dict[str, str] = field(name="Labels")
    ipam: IpamRequest = field(name="IPAM")


class IpamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who shall give a network's addresses, and from what."""

    driver: str = field(name="Driver", default=DRIVER)
    options: dict[str, str] = field(name="Options")
    config: list[dict[str, str]] = field(name="Config")


class EndpointFacts(Facts, frozen=True, kw_only=True):
    """A container's place on one network."""

    network: str = field(name="NetworkID", default="")
    endpoint: str = field(name="EndpointID", default="")
    aliases: list[str] | None = field(name="Aliases", default=None)
    dns_names: list[str] | None = field(name="DNSNames", default=None)
    driver_opts: dict[str, str] | None = field(name="DriverOpts", default=None)


class ContainerNetworks(Facts, frozen=True, kw_only=True):
    """All places of a container, by the network's name."""

    networks: dict[str, EndpointFacts] | None = field(name="Networks", default=None)


class ContainerConfig(Facts, frozen=True, kw_only=True):
    """What the container's maker asked for."""

    hostname: str = field(name="Hostname", default="")
    labels: dict[str, str] | None = field(name="Labels", default=None)
    """Those of its image among them."""


class ContainerState(Facts, frozen=True, kw_only=True):
    """How it goes."""

    status: str = field(name="Status", default="")
    pid: int = field(name="Pid", default=0)
    error: str = field(name="Error", default="")
    """Why it could not be started."""


class RestartPolicy(Facts, frozen=True, kw_only=True):
    """``no``, ``always``, ``unless-stopped``, ``on-failure``."""

    name: str = field(name="Name", default="")


class HostConfig(Facts, frozen=True, kw_only=True):
    """What the container's maker asked of the host."""

    network_mode: str = field(name="NetworkMode", default="")
    restart: RestartPolicy = field(name="RestartPolicy", default_factory=RestartPolicy)


class ContainerFacts(Facts, frozen=True, kw_only=True):
    """A container."""

    id: str = field(name="Id")
    name: str = field(name="Name", default="")
    """Begins with a slash."""
    image: str = field(name="Image", default="")
    """Its id."""
    config: ContainerConfig = field(name="Config", default_factory=ContainerConfig)
    state: ContainerState = field(name="State", default_factory=ContainerState)
    host: HostConfig = field(name="HostConfig", default_factory=HostConfig)
    networks: ContainerNetworks = field(name="NetworkSettings", default_factory=ContainerNetworks)


class ImageConfig(Facts, frozen=True, kw_only=True):
    """What the image's maker says of containers."""

    labels: dict[str, str] | None = field(name="Labels", default=None)


class ImageFacts(Facts, frozen=True, kw_only=True):
    """An image."""

    config: ImageConfig | None = field(name="Config", default=None)

    @property
    def labels(self) -> dict[str, str]:
        """Its labels, which every container of it has as well."""
        return (self.config.labels if self.config is not None else None) or {}


class ListedContainer(Facts, frozen=True, kw_only=True):
    """A container in a list."""

    id: str = field(name="Id")
    networks: ContainerNetworks = field(name="NetworkSettings", default_factory=ContainerNetworks)


class Actor(Facts, frozen=True, kw_only=True):
    """What an event is about."""

    id: str = field(name="ID", default="")
    attributes: dict[str, str] = field(name="Attributes", default_factory=dict)


class Event(Facts, frozen=True, kw_only=True):
    """Something has happened."""

    type: str = field(name="Type", default="")
    action: str = field(name="Action", default="")
    actor: Actor = field(name="Actor", default_factory=Actor)


def container_names(container: ContainerFacts, endpoint: EndpointFacts) -> Iterable[str]:
    """What a container is called on one of its networks, most telling first."""
    yield container.name.lstrip("/")
    yield from endpoint.aliases or ()
    yield from endpoint.dns_names or ()
    if container.config.hostname:
        yield container.config.hostname
