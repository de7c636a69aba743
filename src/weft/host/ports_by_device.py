"""From a device of this host to the port behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weft.model.ids import HostId
from weft.model.records import Port, Record
from weft.store.interface import Changed, Store


class PortsByDevice:
    """Follows the store; an ifindex is turned into a name by whoever knows the devices."""

    def __init__(
        self, store: Store, host_id: HostId, ifname_of: Callable[[int], str | None]
    ) -> None:
        self._store = store
        self._host_id = host_id
        self._ifname_of = ifname_of
        self._ids: dict[str, str] = {}
        self._note([Changed(None, port) for port in store.by(Port, "host_id", host_id)])
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
            if (ifname := self._ifname(old)) is not None:
                self._ids.pop(ifname, None)
            if (ifname := self._ifname(new)) is not None and new is not None:
                self._ids[ifname] = new.id

    def _ifname(self, record: Record | None) -> str | None:
        """None: no port that is here."""
        if not isinstance(record, Port) or record.host_id != self._host_id:
            return None
        return record.ifname
