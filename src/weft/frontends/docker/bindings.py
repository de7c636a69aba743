"""What Weft remembers of a network of this host's Docker, as a `Binding`."""

from __future__ import annotations

import msgspec

from weft.model.ids import BindingId, HostId, NetworkId
from weft.model.records import Binding, Network
from weft.model.records.bindings import binding_id

SYSTEM = "docker"
_NETWORK = "network"


class DockerNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """Says which Weft network a network of a host's Docker engine is."""

    docker_id: str
    """64 hexadecimal digits."""
    network_id: NetworkId
    host_id: HostId
    name: str = ""
    """Docker's name for it, learnt from its event stream; empty until then."""
    engine: str = ""
    """Tells the engine that had it from one that was set up anew; empty: not known."""
    is_name_awaited: bool = False
    """It was taken for this Weft network by its subnets alone; its name will tell."""
    contradiction: str = ""
    """Why nothing may be put on it: its name is that of another network, from which it differs."""

    @property
    def record(self) -> Binding:
        """As it is kept."""
        facts = {
            "contradiction": self.contradiction,
            "engine": self.engine,
            "is-name-awaited": "yes" if self.is_name_awaited else "",
            "name": self.name,
        }
        return Binding(
            id=docker_network_id(self.docker_id, self.host_id),
            system=SYSTEM,
            foreign_kind=_NETWORK,
            foreign_id=self.docker_id,
            host_id=self.host_id,
            record_kind=Network.KIND,
            record_id=self.network_id,
            facts=tuple((key, value) for key, value in facts.items() if value),
        )


def docker_network_id(docker_id: str, host_id: HostId) -> BindingId:
    """The id of the binding of a Docker network."""
    return binding_id(SYSTEM, _NETWORK, docker_id, host_id)


def docker_network_of(binding: Binding | None) -> DockerNetwork | None:
    """The Docker network that a binding is about; None: it is about none."""
    if binding is None or binding.host_id is None:
        return None
    if (binding.system, binding.foreign_kind) != (SYSTEM, _NETWORK):
        return None
    facts = dict(binding.facts)
    return DockerNetwork(
        docker_id=binding.foreign_id,
        network_id=NetworkId(binding.record_id),
        host_id=binding.host_id,
        name=facts.get("name", ""),
        engine=facts.get("engine", ""),
        is_name_awaited=bool(facts.get("is-name-awaited")),
        contradiction=facts.get("contradiction", ""),
    )
