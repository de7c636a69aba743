"""What targets of a scene are: names in lines, and the addresses that follow from the case file."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from tests.conformance.scenes import Document, Scene, with_subnets


class Addresses:
    """Of one scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._prefixes = {
            _name(document): [ip_network(subnet["cidr"]) for subnet in document["subnets"]]
            for document in with_subnets(scene.model)
            if document["kind"] == "network"
        }

    def of(self, target: str, version: int) -> str:
        """The address of a target in a family. ValueError: there is none."""
        further = self._scene.addresses.get(target)
        if further is not None:
            return further[f"v{version}"]
        name, _, network = target.partition("@")
        workload = self._scene.workloads.get(name)
        if workload is not None and network == "held":
            found = list(workload.holds)
        elif workload is not None:
            found = list(self.on(name, network or workload.network[0]))
        else:
            network, _, number = target.partition(".")
            if network not in self._prefixes or not number.isdigit():
                raise ValueError(f"{target}: no workload, no NETWORK.N and none of the addresses")
            found = [str(prefix[int(number)]) for prefix in self._prefixes[network]]
        for address in found:
            if (":" in address) is (version == 6):
                return address
        raise ValueError(f"{target}: it has no address of IPv{version}")

    def on(self, name: str, network: str) -> Iterator[str]:
        """All that a workload has on a network."""
        wanted = self._scene.workloads[name].subnets
        for prefix in self._prefixes[network]:
            if not wanted or str(prefix) in wanted:
                yield str(prefix[self._number(name)])

    def _number(self, name: str) -> int:
        return self._scene.workloads[name].ip or 11 + list(self._scene.workloads).index(name)


def _name(network: Document) -> str:
    """What workloads and lines call a network."""
    tenant = network.get("tenant")
    return f"@{tenant}/{network['name']}" if tenant else network["name"]
