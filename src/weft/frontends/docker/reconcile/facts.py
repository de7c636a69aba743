"""What is known when something is decided: of Docker, by one look, and of weftd's own memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from weft.control.notices import Notice
from weft.frontends.docker.answers import ContainerFacts, NetworkFacts, NetworkRequest
from weft.frontends.docker.records import LABEL
from weft.model.ids import NetworkId, SubnetId

K = TypeVar("K")
V = TypeVar("V")

WITHOUT_CONTAINER = "ep-"
"""With which the name of an endpoint begins, in Docker's list, that no container is joined to."""


class DockerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one look has found. A look asks for a part of it; the rest is not known."""

    engine: str = ""
    """See `DockerNetwork.engine`."""
    inspected: Mapping[str, NetworkFacts | None] = MappingProxyType({})
    """Networks of Weft's driver with their endpoints, by id. None: Docker has it no more."""
    is_everything: bool = False
    """Whether `inspected` has all of them, so that Docker has no others."""
    is_first: bool = False
    """Whether this is the first look since Docker was connected."""
    listed: tuple[NetworkFacts, ...] | None = None
    """Networks of all drivers, without endpoints. None: not asked."""
    containers: Mapping[str, ContainerFacts | None] = MappingProxyType({})
    """By the id or name by which they were asked for. None: Docker has it no more."""
    images: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    """The labels of images, by the image's id."""
    stopped: tuple[ContainerFacts, ...] = ()
    """Containers on networks of Weft's that do not run, where that was asked."""

    @property
    def networks(self) -> Iterator[NetworkFacts]:
        """Networks that were inspected and are there."""
        return (facts for facts in self.inspected.values() if facts is not None)

    @property
    def endpoints(self) -> frozenset[str]:
        """Ids of the endpoints on these."""
        return frozenset(
            place.endpoint for facts in self.networks for place in (facts.containers or {}).values()
        )

    def with_network(self, docker_id: str, facts: NetworkFacts | None) -> DockerFacts:
        """When one more was inspected."""
        return replace(self, inspected={**self.inspected, docker_id: facts})

    def with_container(self, reference: str, facts: ContainerFacts | None) -> DockerFacts:
        """When one more was asked for."""
        return replace(self, containers={**self.containers, reference: facts})

    def with_image(self, id: str, labels: Mapping[str, str]) -> DockerFacts:
        """When an image was asked for."""
        return replace(self, images={**self.images, id: labels})

    def without(self, docker_id: str) -> DockerFacts:
        """When a network was taken out of Docker."""
        listed = tuple(facts for facts in self.listed or () if facts.id != docker_id)
        inspected = {id: facts for id, facts in self.inspected.items() if id != docker_id}
        return replace(self, listed=None if self.listed is None else listed, inspected=inspected)


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What this weftd remembers."""

    recent: frozenset[str] = frozenset()
    """Ids of networks, endpoints and pools of which Docker has spoken just now: they may be on
    their way into Docker's own store, or out of it."""
    touched: frozenset[str] = frozenset()
    """Ids of which Docker has spoken lately, or that a look has met."""
    under_way: frozenset[str] = frozenset()
    """Ids, or subnets, of networks that Docker is making now for somebody else than weftd. Under
    which name it does not say."""
    chosen: frozenset[SubnetId] = frozenset()
    """Subnets whose prefix nobody asked for."""
    refused: Mapping[NetworkId, NetworkRequest] = MappingProxyType({})
    """What Docker would not make; it is not asked for again until something else is wanted."""
    told: Mapping[tuple[str, str], Notice] = MappingProxyType({})
    """Notices that stand, by their source and the id that they are about."""


def is_made_here(facts: NetworkFacts) -> bool:
    """Whether weftd made it in Docker, to be a network of Weft's."""
    return LABEL in (facts.labels or {})
