"""Finds what records say of a name, in constant time, as the records change.

Most of it is the store's own indexes; kept here is only what they lack, and each change costs
what it touches: networks by name whatever the case, names that lie above others, and which ports
of this host, from where alone we are asked, belong to one workload. Names in records are lower
case.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Generic, TypeVar

from weft.dns.liveness import Liveness
from weft.model.addresses import IPAddress
from weft.model.ids import NetworkId, PortId, TenantId
from weft.model.records import Name, Network, Port, Record, Subnet
from weft.model.records.tenants import Tenant
from weft.store.interface import Changed, View

K = TypeVar("K")
V = TypeVar("V")


class _Multimap(Generic[K, V]):
    """Keys to few values each, repeats allowed. A tuple a key: there are as many as ports."""

    def __init__(self) -> None:
        self._values: dict[K, tuple[V, ...]] = {}

    def add(self, key: K, value: V) -> None:
        self._values[key] = (*self._values.get(key, ()), value)

    def remove(self, key: K, value: V) -> None:
        """Take away one value of a name."""
        values = list(self._values[key])
        values.remove(value)
        if values:
            self._values[key] = tuple(values)
        else:
            del self._values[key]

    def __getitem__(self, key: K) -> tuple[V, ...]:
        return self._values.get(key, ())


class NameIndex:
    """What the records say of names. Reads `view`; must hear of every change of it, and `live`
    before it."""

    def __init__(self, view: View, live: Liveness) -> None:
        self._view = view
        self._live = live
        self._networks: _Multimap[tuple[TenantId, str], NetworkId] = _Multimap()
        self._workloads: _Multimap[str, PortId] = _Multimap()
        self._above: Counter[tuple[NetworkId, str]] = Counter()
        self._tenants: defaultdict[TenantId, set[NetworkId]] = defaultdict(set)
        for network in view.list(Network):
            self._add_network(network)
        for port in view.list(Port):
            self._add_port(port)
        for name in view.list(Name):
            self._count_above(name.network_id, name.name, 1)

    def update(self, changes: Sequence[Changed]) -> bool:
        """Take note of what a write did; False when names do not depend on any of it."""
        is_relevant = False
        for changed in changes:
            self._remove(changed.old)
            self._add(changed.new)
            is_relevant = is_relevant or changed.key[0] in _RELEVANT
        return is_relevant

    def networks(self, tenant: TenantId, name: str) -> Collection[NetworkId]:
        """The tenant's network of this (lower case) name; several when only case differs."""
        return self._networks[tenant, name]

    def of_tenant(self, tenant: TenantId) -> Collection[NetworkId]:
        """All networks of a tenant."""
        return self._tenants.get(tenant, frozenset())

    def ports(self, name: str, networks: Collection[NetworkId]) -> Iterator[Port]:
        """Ports on `networks` that hold a name and can be reached.

        Linear in the ports that hold the name on any network.
        """
        for port in self._view.by(Port, "names", name):
            if port.network_id in networks and self.is_live(port):
                yield port

    def added(self, name: str, networks: Collection[NetworkId]) -> Iterator[Name]:
        """Names of `networks` that somebody added."""
        for record in self._view.by(Name, "name", name):
            if record.network_id in networks:
                yield record

    def is_above(self, name: str, networks: Collection[NetworkId]) -> bool:
        """Whether a longer name ends in this one: it exists, though nothing holds it."""
        return any(self._above[network, name] for network in networks)

    def ports_at(self, address: IPAddress) -> Iterator[Port]:
        """Ports of all networks that hold an address and can be reached."""
        return (port for port in self._view.by(Port, "addresses", address) if self.is_live(port))

    def is_live(self, port: Port) -> bool:
        """Whether something is plugged in that can answer, on a host that is there, and nothing
        else has taken its place."""
        if port.host_id is None or port.host_id not in self._live:
            return False
        is_there = port.device is not None or port.is_host
        return is_there and not self._view.any(Port, "replaces", port.id)

    def added_at(self, address: IPAddress) -> Iterator[Name]:
        """Names of all networks that somebody added for an address."""
        return iter(self._view.by(Name, "addresses", address))

    def networks_of_workload(self, port: Port) -> frozenset[NetworkId]:
        """The networks that the workload behind a port of this host is on."""
        networks = {port.network_id}
        for workload in self._workloads_of(port):
            for id in self._workloads[workload]:
                companion = self._view.get(Port, id)
                if companion is not None:
                    networks.add(companion.network_id)
        return frozenset(networks)

    def _add(self, record: Record | None) -> None:
        if isinstance(record, Port):
            self._add_port(record)
        elif isinstance(record, Network):
            self._add_network(record)
        elif isinstance(record, Name):
            self._count_above(record.network_id, record.name, 1)

    def _remove(self, record: Record | None) -> None:
        if isinstance(record, Port):
            self._remove_port(record)
        elif isinstance(record, Network):
            self._remove_network(record)
        elif isinstance(record, Name):
            self._count_above(record.network_id, record.name, -1)

    def _add_network(self, network: Network) -> None:
        self._networks.add((network.tenant_id, network.name.lower()), network.id)
        self._tenants[network.tenant_id].add(network.id)

    def _remove_network(self, network: Network) -> None:
        self._networks.remove((network.tenant_id, network.name.lower()), network.id)
        self._tenants[network.tenant_id].discard(network.id)

    def _add_port(self, port: Port) -> None:
        for name in port.names:
            self._count_above(port.network_id, name, 1)
        for workload in self._workloads_of(port):
            self._workloads.add(workload, port.id)

    def _remove_port(self, port: Port) -> None:
        for name in port.names:
            self._count_above(port.network_id, name, -1)
        for workload in self._workloads_of(port):
            self._workloads.remove(workload, port.id)

    def _workloads_of(self, port: Port) -> Iterator[str]:
        """What tells that ports here belong to one workload: the container, or the network
        namespace."""
        if port.host_id != self._live.me:
            return
        if port.owner.container_id:
            yield port.owner.container_id
        if port.veth is not None and port.veth.netns:
            yield port.veth.netns

    def _count_above(self, network: NetworkId, name: str, count: int) -> None:
        _, dot, rest = name.partition(".")
        while dot:
            key = (network, rest)
            self._above[key] += count
            if not self._above[key]:
                del self._above[key]
            _, dot, rest = rest.partition(".")


_RELEVANT = frozenset({Tenant, Network, Subnet, Port, Name})
