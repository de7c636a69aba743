"""From a device of this host to the port behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weft.model.records import Port
from weft.store.interface import Changed, Store


class PortsByDevice:
    """Follows the store; an ifindex is turned into a name by whoever knows the devices."""

    def __init__(self, store: Store, ifname_of: Callable[[int], str | None]) -> None:
        self._store = store
        self._ifname_of = ifname_of
        self._ids: dict[str, str] = {}
        self._note([Changed(None, port) for port in store.list(Port)])
        store.watch(self._note)

    def of_ifindex(self, ifindex: int) -> Port | None:
        """The port whose host's end has this ifindex now."""
        ifname = self._ifname_of(ifindex)
        return self.of_ifname(ifname) if ifname is not None else None

    def of_ifname(self, ifname: str) -> Port | None:
        """The port whose host's end has this name."""
        port_id = self._ids.get(ifname)
        return self._store.get(Port, port_id) if port_id is not None else None

    def _note(self, changed: Sequence[Changed]) -> None:
        for old, new in changed:
            if isinstance(old, Port) and old.device is not None:
                self._ids.pop(old.device.ifname, None)
            if isinstance(new, Port) and new.device is not None:
                self._ids[new.device.ifname] = new.id
