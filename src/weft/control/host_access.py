"""The host's own place on a network."""

from __future__ import annotations

from collections.abc import Sequence

from weft.control.context import Context
from weft.control.ports import Ports
from weft.control.references import check_dns_names, find_network
from weft.control.rivals import check_has_way_out
from weft.control.specs import PortSpec
from weft.errors import InvalidError
from weft.model.addresses import IPAddress
from weft.model.ids import host_place_id
from weft.model.records import Owner, Port


class HostAccess:
    """The host's own place on a network."""

    def __init__(self, context: Context, ports: Ports) -> None:
        self._context = context
        self._ports = ports

    async def expose(self, network: str, addresses: Sequence[IPAddress] = ()) -> Port:
        """Give the host a place (one address a family). Again: the place that it has."""
        found = find_network(self._context.view, network)
        port_id = host_place_id(self._context.host_id, found.id)
        place = self._context.view.get(Port, port_id)
        if place is not None:
            if addresses and set(addresses) - set(place.addresses):
                raise InvalidError(
                    f"expose {found.name}: the host is there already, as "
                    f"{', '.join(map(str, place.addresses))}; hide it first"
                )
            return place
        check_has_way_out(self._context.view, found, "expose")
        return await self._ports.add_with_id(
            PortSpec(
                network=found.id,
                addresses=tuple(addresses),
                names=_host_names(self._context.settings.name),
                owner=Owner(frontend="host", container_name=self._context.settings.name),
            ),
            port_id,
        )

    async def hide(self, network: str) -> None:
        """Undo `expose`. Nothing happens if the host has no place there."""
        found = find_network(self._context.view, network)
        await self._ports.remove(host_place_id(self._context.host_id, found.id))


def _host_names(name: str) -> tuple[str, ...]:
    try:
        return check_dns_names([name.partition(".")[0]])
    except InvalidError:
        return ()
