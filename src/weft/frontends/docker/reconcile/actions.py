"""What can be done about a difference between Docker and the records."""

from __future__ import annotations

import msgspec

from weft.control.notices import Notice
from weft.frontends.docker.bindings import DockerNetwork
from weft.model.addresses import IPNetwork
from weft.model.ids import GroupId, NetworkId, PortId, SubnetId
from weft.model.records import Owner


class Action(msgspec.Struct, frozen=True):
    """Something to do. Equal actions are the same one."""


class OfDocker(Action, frozen=True):
    """One for which Docker is asked. Docker may ask its plugin in the meantime."""


class OfNetworks(Action, frozen=True):
    """One about networks in the records: none is made or removed between its decision and its
    end."""


class InspectNetwork(OfDocker, frozen=True):
    """Not enough is known of a network."""

    docker_id: str


class InspectContainer(OfDocker, frozen=True):
    """Not enough is known of a container."""

    reference: str
    """Its id or name."""


class InspectImage(OfDocker, frozen=True):
    """Which of a container's labels its image brought is not known."""

    image_id: str


class MakeNetwork(OfDocker, frozen=True):
    """Make a network of Weft's one of Docker's."""

    network_id: NetworkId
    name: str
    """In Docker."""


class TakeOut(OfDocker, frozen=True):
    """Remove a network from Docker that is no more. Where Docker keeps it, a notice says so."""

    docker_id: str
    name: str


class TakeOutUnused(OfDocker, frozen=True):
    """Remove a network from Docker on which nothing is, and that is to be another one."""

    docker_id: str
    name: str


class RemoveEndpoint(OfDocker, frozen=True):
    """Remove a container's place on a network; the container is gone."""

    docker_id: str
    """Of the network."""
    network: str
    """Its name."""
    container: str


class StartContainer(OfDocker, frozen=True):
    """Start what Docker would have started, had weftd been there."""

    container_id: str
    name: str


class RestoreNetwork(OfNetworks, frozen=True):
    """Make a network again that Docker has and Weft has lost."""

    docker_id: str
    name: str


class Remember(OfNetworks, frozen=True):
    """Write down what is known of a network of Docker's."""

    network: DockerNetwork


class RenameNetwork(OfNetworks, frozen=True):
    """Give a network the name that Docker has for it, and Docker's labels."""

    network_id: NetworkId
    provisional: str
    """What it is called now."""
    name: str
    labels: tuple[tuple[str, str], ...]


class MergeNetwork(OfNetworks, frozen=True):
    """Let two networks be one."""

    network_id: NetworkId
    into: NetworkId


class RemovePort(Action, frozen=True):
    """Docker has its endpoint no more."""

    port_id: PortId
    label: str
    """For the log."""


class NamePort(Action, frozen=True):
    """Give a port the names and labels of its container."""

    port_id: PortId
    names: tuple[str, ...]
    owner: Owner
    labels: tuple[tuple[str, str], ...]


class GroupPort(Action, frozen=True):
    """Let a port name the security groups that its container's label says."""

    port_id: PortId
    groups: tuple[GroupId, ...]


class RemoveNetwork(OfNetworks, frozen=True):
    """Docker has a network no more that somebody removed there."""

    docker_id: str
    name: str


class ForgetNetwork(OfNetworks, frozen=True):
    """Docker has a network no more that nobody removed: it is another engine."""

    docker_id: str
    name: str


class RemoveLeftover(OfNetworks, frozen=True):
    """Remove a network that was made for this Docker and that no Docker has."""

    network_id: NetworkId


class MeetPool(Action, frozen=True):
    """A pool without a network is met for the first time: its time begins."""

    subnet_id: SubnetId


class ReleasePool(Action, frozen=True):
    """Remove a pool to which no network came."""

    subnet_id: SubnetId
    cidr: IPNetwork


class Tell(Action, frozen=True):
    """Let a notice stand."""

    source: str
    notice: Notice


class TakeBack(Action, frozen=True):
    """Let a notice stand no more."""

    source: str
    id: str
