"""DNS names that somebody adds by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from weft.control.context import Context
from weft.control.references import (
    check_dns_names,
    check_labels,
    find_network,
    name_id,
    parse_service,
)
from weft.control.specs import NameChanges, NameSpec
from weft.errors import InvalidError, NotFoundError
from weft.model.addresses import IPAddress
from weft.model.records import Name
from weft.store.interface import Delete, Put

T = TypeVar("T")


class Names:
    """DNS names added by hand."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def list(self, network: str | None = None) -> Sequence[Name]:
        """All names, or those of one network."""
        view = self._context.view
        if network is None:
            return sorted(view.list(Name), key=lambda name: (name.network_id, name.name))
        found = view.by(Name, "network_id", find_network(view, network).id)
        return sorted(found, key=lambda name: name.name)

    def find(self, name: str, network: str) -> Name:
        """A name of a network; NotFoundError: nobody added it."""
        found = find_network(self._context.view, network)
        record = self._context.view.get(Name, name_id(name, found.id))
        if record is None:
            raise NotFoundError(f"name {name}: nobody added it to network {found.name}")
        return record

    async def add(self, spec: NameSpec) -> Name:
        """Add addresses, targets or labels to a name; those that it has stay, but for the value of
        a label that is given."""
        async with self._context.lock:
            (label,) = check_dns_names([spec.name])
            network = find_network(self._context.view, spec.network)
            services = tuple(parse_service(text) for text in spec.services)
            if not spec.addresses and not services:
                raise InvalidError(f"name {label}: give at least one address or service")
            id = name_id(label, network.id)
            old = self._context.view.get(Name, id) or Name(id=id, name=label, network_id=network.id)
            new = replace(
                old,
                addresses=_once((*old.addresses, *spec.addresses)),
                services=_once((*old.services, *services)),
                labels=check_labels({**dict(old.labels), **dict(check_labels(spec.labels))}),
            )
            await self._context.commit([Put(new)])
            return new

    async def change(self, name: str, network: str, changes: NameChanges) -> Name:
        """Say all that a name has, as far as the changes say it. InvalidError: nothing is left."""
        async with self._context.lock:
            record = self.find(name, network)
            addresses, services, labels = changes.addresses, changes.services, changes.labels
            new = replace(
                record,
                addresses=record.addresses if addresses is UNSET else _once(addresses),
                services=(
                    record.services if services is UNSET else _once(map(parse_service, services))
                ),
                labels=record.labels if labels is UNSET else check_labels(labels),
            )
            if not new.addresses and not new.services:
                raise InvalidError(f"name {record.name}: leave it an address or service")
            if new != record:
                await self._context.commit([Put(new)])
            return new

    async def remove(self, name: str, network: str, addresses: Sequence[IPAddress] = ()) -> None:
        """Remove a name, or only some of its addresses."""
        async with self._context.lock:
            record = self.find(name, network)
            missing = [address for address in addresses if address not in record.addresses]
            if missing:
                raise NotFoundError(f"name {name}: has no address {missing[0]}")
            left = tuple(a for a in record.addresses if a not in addresses) if addresses else ()
            if left or (addresses and record.services):
                await self._context.commit([Put(replace(record, addresses=left))])
            else:
                await self._context.commit([Delete(Name, record.id)])


def _once(items: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))
