"""What weftd does when the kernel tells that something changed."""

from __future__ import annotations

from collections.abc import Sequence

from weft.cluster.membership import Membership
from weft.daemon.forwarding import Forwarding
from weft.daemon.observing import Observing
from weft.engine.plumbing.device_names import WEFT0, WEFT1, WEFTWG, WEFTX
from weft.kernel.events import ALL_DEVICES, KernelEvent

_NETWORK = ("device", "address", "route", "routing rule", "lost")
"""Events of which others may hear: how this host is reached, and what it reaches."""


class KernelNews:
    """Passes the kernel's news on: damage to the engine, news of the network to observers."""

    def __init__(
        self, forwarding: Forwarding, observing: Observing, membership: Membership
    ) -> None:
        self._sink = forwarding.sink
        self._engine = forwarding.engine
        self._ports = forwarding.ports
        self._observing = observing
        self._membership = membership

    def hear(self, events: Sequence[KernelEvent]) -> None:
        """Events that came together."""
        if any(event.is_damage and self._is_wanted(event) for event in events):
            self._engine.repair_soon()
        if any(
            event.subject in _NETWORK and not self._device_of(event).startswith("wef")
            for event in events
        ):
            self._observing.host_record.look_again()
            self._observing.host_prefixes.look_again()
            self._membership.network_changed()

    def _is_wanted(self, event: KernelEvent) -> bool:
        """Whether an event is about something that shall be there: not what Weft itself removed."""
        is_general = event.subject in ("rules", "routing rule", "lost")
        if is_general or event.ifindex == ALL_DEVICES:
            return True
        ifname = self._device_of(event)
        return ifname in (WEFT0, WEFT1, WEFTWG, WEFTX) or self._ports.of_ifname(ifname) is not None

    def _device_of(self, event: KernelEvent) -> str:
        """Empty: a device that weftd has not met, or that is gone."""
        return event.ifname or self._sink.ifname(event.ifindex) or ""
