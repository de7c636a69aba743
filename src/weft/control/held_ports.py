"""Which ports of a host are held by whom: for an intent that wants to publish on some of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from weft.model.addresses import IPAddress
from weft.model.records import Port, PublishedPort


class Collision(NamedTuple):
    """A port of the host that is wanted and held."""

    number: int
    holder: Port | None
    """None: it is wanted twice."""


class HeldPorts:
    """Ports by number, for all 65,535 of them may be asked about at once. Making it costs as much
    as all the ports that are held, and a question as much as the ports that it is about."""

    def __init__(self, ports: Iterable[Port] = ()) -> None:
        self._held: dict[tuple[str, int], tuple[tuple[IPAddress | None, Port | None], ...]] = {}
        for port in ports:
            for published in port.published:
                self.hold(published, port)

    def hold(self, published: PublishedPort, holder: Port | None) -> None:
        """From now on `published` is held. holder None: by the caller."""
        entry = ((published.host_address, holder),)
        for number in published.host_ports:
            key = (published.protocol, number)
            held = self._held.get(key)
            self._held[key] = entry if held is None else held + entry

    def release(self, holder: Port) -> None:
        """A port is gone, and holds nothing any more."""
        for published in holder.published:
            for number in published.host_ports:
                key = (published.protocol, number)
                left = tuple(each for each in self._held.get(key, ()) if each[1] is not holder)
                if left:
                    self._held[key] = left
                else:
                    self._held.pop(key, None)

    def collision(self, wanted: PublishedPort) -> Collision | None:
        """The first port of `wanted` that is held on the same address, or on every one."""
        for number in wanted.host_ports:
            for address, holder in self._held.get((wanted.protocol, number), ()):
                if None in (address, wanted.host_address) or address == wanted.host_address:
                    return Collision(number, holder)
        return None
