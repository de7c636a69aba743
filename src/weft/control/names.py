"""DNS names that somebody adds by hand."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from weft.control.context import Context
from weft.control.references import check_dns_names, find_network
from weft.control.specs import NameSpec
from weft.errors import InvalidError, NotFoundError
from weft.model.addresses import IPAddress
from weft.model.ids import NameId, derived_id
from weft.model.records import Name, ServiceTarget
from weft.store.interface import Delete, Put


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

    async def add(self, spec: NameSpec) -> Name:
        """Add addresses or targets to a name; those that it has stay."""
        async with self._context.lock:
            (label,) = check_dns_names([spec.name])
            network = find_network(self._context.view, spec.network)
            services = tuple(parse_service(text) for text in spec.services)
            if not spec.addresses and not services:
                raise InvalidError(f"name {label}: give at least one address or service")
            id = NameId(derived_id("name", network.id, label))
            old = self._context.view.get(Name, id) or Name(id=id, name=label, network_id=network.id)
            new = replace(
                old,
                addresses=tuple(dict.fromkeys((*old.addresses, *spec.addresses))),
                services=tuple(dict.fromkeys((*old.services, *services))),
            )
            await self._context.commit([Put(new)])
            return new

    async def remove(self, name: str, network: str, addresses: Sequence[IPAddress] = ()) -> None:
        """Remove a name, or only some of its addresses."""
        async with self._context.lock:
            found = find_network(self._context.view, network)
            id = derived_id("name", found.id, name.lower().rstrip("."))
            record = self._context.view.get(Name, id)
            if record is None:
                raise NotFoundError(f"name {name}: nobody added it to network {found.name}")
            missing = [address for address in addresses if address not in record.addresses]
            if missing:
                raise NotFoundError(f"name {name}: has no address {missing[0]}")
            left = tuple(a for a in record.addresses if a not in addresses) if addresses else ()
            if left or (addresses and record.services):
                await self._context.commit([Put(replace(record, addresses=left))])
            else:
                await self._context.commit([Delete(Name, id)])


def parse_service(text: str) -> ServiceTarget:
    """``PRIORITY WEIGHT PORT TARGET`` (RFC 2782)."""
    fields = text.split()
    try:
        priority, weight, port = (int(field) for field in fields[:3])
        (target,) = fields[3:]
    except ValueError:
        raise InvalidError(
            f"service {text!r}: needs PRIORITY WEIGHT PORT TARGET, such as '0 10 80 web'"
        ) from None
    for what, number in (("priority", priority), ("weight", weight), ("port", port)):
        if not 0 <= number <= 65_535:
            raise InvalidError(f"service {text!r}: {what} {number} is not 0 to 65535")
    (target,) = check_dns_names([target])
    return ServiceTarget(priority=priority, weight=weight, port=port, target=target)
