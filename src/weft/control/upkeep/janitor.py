"""Takes back what is used no more: ports of the dead, addresses that have rested.

Some ports die with their network namespace, and nobody tells weftd (`LivesWith`). All other ports
are their frontend's to remove, for the frontend knows what is alive.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from weft.control.context import Context
from weft.control.ports import Ports
from weft.control.references import port_label
from weft.control.reservations import Reservations
from weft.model.choices import LivesWith
from weft.model.records import Port, Veth

log = structlog.get_logger()


class Janitor:
    """Called after every look at the kernel."""

    def __init__(
        self,
        context: Context,
        ports: Ports,
        reservations: Reservations,
        is_namespace_there: Callable[[Veth], bool],
    ) -> None:
        self._context = context
        self._ports = ports
        self._reservations = reservations
        self._is_namespace_there = is_namespace_there

    async def sweep(self) -> None:
        """Remove ports of the dead and reservations that are over. Linear in this host's ports."""
        for port in self._context.view.by(Port, "host_id", self._context.host_id):
            device = port.veth
            if port.owner.lives_with is not LivesWith.NAMESPACE or device is None:
                continue
            if device.netns is None:
                continue
            if not self._is_namespace_there(device):
                log.info(
                    "what was plugged into a port is gone",
                    port=port_label(self._context.view, port),
                    netns=device.netns,
                )
                await self._ports.end(port.id)
        await self._reservations.wake_rested()
