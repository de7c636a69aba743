"""Weft's own names: what each asker may see, and the answers, ready for the wire.

An asker sees the world through a `Scope`: the networks that its workload is on. It is told

- a name alone (``web``, or with dots if the name has them) when something on its networks holds it;
- full names (``web.foo.weft.internal``) of all networks of its tenants. Networks that it is not on
  are included, for that is harmless (it learns addresses that it cannot reach) and lets the
  tools of one tenant see all of it; other tenants' names do not exist for it;
- reverse names of addresses, those of its own networks first, since others may use the same.

Workloads of all hosts have names, those of this host and of others alike, as long as their host is
reached (see `liveness`).

The host itself, and `weft dns lookup` without a network, sees tenant ``default``, and no names
alone, for it is on no network.

A name alone that nobody holds, and all else that is not ours, is None here: for the host's
resolvers to answer. A name in our domain or a reverse name of our subnets is never sent there.

Answers are made when first asked for and kept, encoded, in the scope; any change of ports, names
or networks drops all scopes at once, so that no stale answer is given and a change costs nothing
that grows with the number of ports. RFC 1034, 2308 (negative answers), 2782 (SRV), 8482 (ANY).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from weft.dns import facts, wire
from weft.dns.facts import Facts, Service
from weft.dns.index import NameIndex
from weft.dns.liveness import Liveness
from weft.dns.reverse import PrefixSet, address_of
from weft.dns.wire import Answer
from weft.errors import InvalidError
from weft.model.addresses import IPAddress
from weft.model.ids import HostId, NetworkId, TenantId
from weft.model.records import Name, Network, Port, Subnet
from weft.model.records.tenants import DEFAULT_TENANT
from weft.semantics.tenants import tenant_name, tenant_of
from weft.store.interface import Changed, View

PORT_TTL_S = 1
"""Of names that ports hold: they move with their workload."""
NEGATIVE_TTL_S = 1
"""How long "there is no such name" may be kept; the name may come with the next container."""
ORDERS = ("random", "local")
MAX_KEPT = 20_000
"""Answers kept in all scopes together, about 10 MB; past that, all are dropped and made anew."""


class Scope:
    """How one asker sees the world; the same object for all that see it alike."""

    __slots__ = ("answers", "is_outside_seen", "networks", "prefixes", "tenants")

    def __init__(
        self, networks: frozenset[NetworkId], tenants: frozenset[TenantId], is_outside_seen: bool
    ) -> None:
        self.networks = networks
        """Those whose names it may use alone."""
        self.tenants = tenants
        """Those whose full names it may use."""
        self.is_outside_seen = is_outside_seen
        """False: all its networks are internal, so what is outside is not resolved for it either,
        or names would be a way to carry data out."""
        self.answers: dict[tuple[bytes, int], Answer] = {}
        self.prefixes: PrefixSet | None = None


class Place(NamedTuple):
    """Where a question leads."""

    facts: Facts | None
    """None: there is no such name."""
    apex_at: int
    """Octets of the question's name before the name that its SOA record is at."""


class Zone:
    """All names of ours. `changed` must be called with every write to `view`.

    `order`: ``random``, or ``local`` to give addresses on `host_id` before the others. InvalidError
    for another one, and when `domain` is no DNS name.
    """

    def __init__(self, view: View, domain: str, host_id: HostId, order: str = "random") -> None:
        if order not in ORDERS:
            raise InvalidError(f"setting dns_order {order!r}: say {' or '.join(ORDERS)}")
        self._view = view
        self._host_id = host_id
        self._is_local_first = order == "local"
        self._domain = domain.lower().strip(".")
        try:
            self._domain_labels = [label.encode("ascii") for label in self._domain.split(".")]
            self._domain_name = wire.encode_name(self._domain_labels)
        except ValueError as error:
            raise InvalidError(f"setting domain {domain!r}: no DNS name: {error}") from error
        self._soa = _soa(self._domain_labels)
        self._live = Liveness(view, host_id)
        self._index = NameIndex(view, self._live)
        self._scopes: dict[frozenset[NetworkId] | None, Scope] = {}
        self._kept = 0
        self.version = 0
        """Goes up when scopes got from here before are no longer true."""

    def changed(self, changes: Sequence[Changed]) -> None:
        """Take note of a write. Costs what it changed; see `Store.watch`."""
        is_other_world = self._live.update(changes)
        if self._index.update(changes) or is_other_world:
            self._drop_scopes()

    def scope_of_port(self, port: Port) -> Scope:
        """How the workload behind a port sees the world: by all its networks."""
        return self._scope(self._index.networks_of_workload(port))

    def scope_of_network(self, network: NetworkId) -> Scope:
        """How a workload on this network alone sees the world."""
        return self._scope(frozenset((network,)))

    def scope_of_host(self) -> Scope:
        """How the host itself sees the world."""
        return self._scope(None)

    def answer(self, scope: Scope, name: bytes, type: int) -> Answer | None:
        """The answer to a question; None: it is not ours to answer.

        `name` is in wire form and lower case.
        """
        kept = scope.answers.get((name, type))
        if kept is not None:
            return kept
        place = self._place(scope, name)
        if place is None:
            return None
        answer = self._make(scope, place, name, type)
        if place.facts is not None and (answer.answers or type in (wire.A, wire.AAAA)):
            self._keep(scope, name, type, answer)
        return answer

    def _scope(self, networks: frozenset[NetworkId] | None) -> Scope:
        scope = self._scopes.get(networks)
        if scope is None:
            records = [self._view.get(Network, id) for id in networks or ()]
            there = [network for network in records if network is not None]
            tenants = {network.tenant_id for network in there}
            scope = Scope(
                networks or frozenset(),
                frozenset({DEFAULT_TENANT} if networks is None else tenants),
                networks is None or any(not network.is_internal for network in there),
            )
            self._scopes[networks] = scope
        return scope

    def _keep(self, scope: Scope, name: bytes, type: int, answer: Answer) -> None:
        if self._kept >= MAX_KEPT:
            self._drop_scopes()
        scope.answers[name, type] = answer
        self._kept += 1

    def _drop_scopes(self) -> None:
        self._scopes = {}
        self._kept = 0
        self.version += 1

    def _place(self, scope: Scope, name: bytes) -> Place | None:
        labels = wire.labels_of(name)
        address = address_of(labels)
        if address is not None:
            return self._of_address(scope, address, 1 + len(labels[0]))
        if any(b"." in label or not label.isascii() for label in labels):
            texts = None
        else:
            texts = [label.decode() for label in labels]
        size = len(self._domain_labels)
        if labels[-size:] == self._domain_labels:
            found = None if texts is None else self._in_domain(scope, texts[:-size])
            return Place(found, len(name) - len(self._domain_name))
        alone = self._held(".".join(texts), scope.networks) if texts else None
        return None if alone is None else Place(alone, 0)

    def _in_domain(self, scope: Scope, labels: list[str]) -> Facts | None:
        if not labels:
            return Facts.none()
        best = None
        for tenant in scope.tenants:
            found = self._in_tenant(tenant, labels)
            if found is not None and (best is None or found.is_held):
                best = found
        return best

    def _in_tenant(self, tenant: TenantId, labels: list[str]) -> Facts | None:
        """A full name less the domain; network names may have dots, so each division is tried."""
        if tenant != DEFAULT_TENANT:
            if labels[-1] != tenant_name(self._view, tenant).lower():
                return None
            labels = labels[:-1]
            if not labels:
                return Facts.none()
        best = None
        for at in range(len(labels)):
            networks = self._index.networks(tenant, ".".join(labels[at:]))
            if networks:
                found = self._held(".".join(labels[:at]), networks) if at else Facts.none()
                if found is not None and (best is None or found.is_held):
                    best = found
        return best

    def _held(self, name: str, networks: Collection[NetworkId]) -> Facts | None:
        """What a name leads to on any of the networks."""
        found = Facts.none()
        is_known = False
        for port in self._index.ports(name, networks):
            is_known = True
            found.addresses.update(dict.fromkeys(port.addresses, PORT_TTL_S))
            if self._is_local_first and port.host_id == self._host_id:
                found.near.update(port.addresses)
        for added in self._index.added(name, networks):
            is_known = True
            for address in added.addresses:
                found.addresses.setdefault(address, added.ttl_s)
            for service in self._services(added):
                found.services[service] = added.ttl_s
        return found if is_known or self._index.is_above(name, networks) else None

    def _services(self, added: Name) -> Iterator[Service]:
        network = self._view.get(Network, added.network_id)
        if network is not None:
            for service in added.services:
                target = service.target
                if "." not in target:
                    target = f"{target}.{self._full_name(network)}"
                yield Service(service.priority, service.weight, service.port, target)

    def _of_address(self, scope: Scope, address: IPAddress, apex_at: int) -> Place | None:
        """The names of an address: of the asker's networks, else of its tenants'."""
        pointers: dict[str, int] = {}
        elsewhere: dict[str, int] = {}
        for network_id, name, ttl_s in self._holders(address):
            network = self._view.get(Network, network_id)
            if network is not None and network.tenant_id in scope.tenants:
                names = pointers if network_id in scope.networks else elsewhere
                names.setdefault(f"{name}.{self._full_name(network)}", ttl_s)
        if pointers or elsewhere:
            return Place(Facts({}, {}, pointers or elsewhere, set()), apex_at)
        return Place(None, apex_at) if address in self._prefixes(scope) else None

    def _holders(self, address: IPAddress) -> Iterator[tuple[NetworkId, str, int]]:
        for port in self._index.ports_at(address):
            if port.names:
                yield port.network_id, port.names[0], PORT_TTL_S
        for added in self._index.added_at(address):
            yield added.network_id, added.name, added.ttl_s

    def _prefixes(self, scope: Scope) -> PrefixSet:
        if scope.prefixes is None:
            networks = {id for tenant in scope.tenants for id in self._index.of_tenant(tenant)}
            scope.prefixes = PrefixSet(
                subnet.cidr for id in networks for subnet in self._view.by(Subnet, "network_id", id)
            )
        return scope.prefixes

    def _full_name(self, network: Network) -> str:
        is_default = network.tenant_id == DEFAULT_TENANT
        tenant = "" if is_default else f".{tenant_of(self._view, network)}"
        return f"{network.name}{tenant}.{self._domain}".lower()

    def _make(self, scope: Scope, place: Place, name: bytes, type: int) -> Answer:
        records = [] if place.facts is None else list(self._records(place.facts, name, type))
        if place.facts is None or not records:
            owner = struct.pack(">H", 0xC000 | wire.HEADER_BYTES + place.apex_at)
            soa = wire.resource_record(wire.SOA, NEGATIVE_TTL_S, self._soa, owner)
            rcode = wire.NXDOMAIN if place.facts is None else wire.NOERROR
            return Answer(wire.AA | rcode, (), (0, 1, 0), soa)
        more = self._addresses_of_targets(scope, place.facts) if type == wire.SRV else []
        near = facts.near_count(place.facts, type)
        return Answer(wire.AA, tuple(records), (len(records), 0, len(more)), b"".join(more), near)

    def _records(self, found: Facts, name: bytes, type: int) -> Iterator[bytes]:
        if type in (wire.A, wire.AAAA):
            yield from facts.address_records(found, type)
        elif type == wire.PTR:
            yield from facts.pointer_records(found)
        elif type == wire.SRV:
            yield from facts.service_records(found)
        elif type == wire.ANY:
            yield facts.any_record(PORT_TTL_S)
        elif type == wire.SOA and name == self._domain_name:
            yield wire.resource_record(wire.SOA, NEGATIVE_TTL_S, self._soa)

    def _addresses_of_targets(self, scope: Scope, found: Facts) -> list[bytes]:
        """For the additional section: the addresses that the asker would ask for next."""
        records: dict[bytes, None] = {}
        for service in found.services:
            target = facts.name_in_wire_form(service.target)
            place = self._place(scope, target.lower()) if target else None
            if target is not None and place is not None and place.facts is not None:
                for type in (wire.A, wire.AAAA):
                    records.update(dict.fromkeys(facts.address_records(place.facts, type, target)))
        return list(records)


def _soa(domain: list[bytes]) -> bytes:
    primary = wire.encode_name([b"ns", *domain])
    mailbox = wire.encode_name([b"hostmaster", *domain])
    return primary + mailbox + struct.pack(">IIIII", 1, 3600, 600, 86400, NEGATIVE_TTL_S)
