"""Makes what keeps the kernel as the records say."""

from __future__ import annotations

from typing import NamedTuple

from weft.config import Settings
from weft.engine.ebpf.plane import Sink, functions
from weft.engine.engine import Engine
from weft.host.ports_by_device import PortsByDevice
from weft.kernel.underlay_events import UnderlayEvents
from weft.model.ids import HostId
from weft.store.interface import Store


class Forwarding(NamedTuple):
    """The engine and what belongs to it."""

    sink: Sink
    engine: Engine
    underlay_events: UnderlayEvents
    ports: PortsByDevice
    """Ports of this host by their devices in the kernel."""


def make_forwarding(settings: Settings, store: Store, host_id: HostId) -> Forwarding:
    """Nothing is touched in the kernel before the engine runs."""
    sink = Sink(settings, host_id)
    rows = functions(host_id, is_device=settings.encapsulation == "device")
    engine = Engine(store, rows, sink, reconcile_s=settings.reconcile_s)
    return Forwarding(
        sink=sink,
        engine=engine,
        underlay_events=UnderlayEvents(sink.interest, engine.follow_soon),
        ports=PortsByDevice(store, host_id, sink.ifname),
    )
