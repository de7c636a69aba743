"""Ways: where the array of tunnels has each other host, as a number of this host's own.

Endpoints name it beside the host's tag, so a host keeps its way for as long as there is room for
all: an endpoint may come before its host's tunnel, and stay when that goes. Programs compare the
tag.
"""

from __future__ import annotations

from weft.errors import NotFoundError
from weft.kernel.bpf.layouts import Ways as Room
from weft.model.ids import HostTag

NONE = 0


class Ways:
    """Tag of a host <-> its way."""

    def __init__(self, room: int = Room.WAYS) -> None:
        """`room`: how many there are; the first is nobody's."""
        self._room = room
        self._ways: dict[int, int] = {}
        self._used: set[int] = {NONE}
        self._idle: dict[int, None] = {}
        """Hosts without a tunnel, which lose their ways first; the oldest first."""
        self._last = NONE

    def of(self, tag: HostTag | int) -> int:
        """The way to a host, from now on if it had none. NotFoundError: all have tunnels."""
        if not tag:
            return NONE
        way = self._ways.get(tag)
        if way is None:
            way = self._new()
            self._note(tag, way)
            self._idle[tag] = None
        return way

    def known(self, tag: int) -> int:
        """The same; `NONE` if it has none."""
        return self._ways.get(tag, NONE)

    def found(self, tag: int, way: int) -> bool:
        """The array had this host's tunnel there when weftd began. Whether both are free."""
        if tag in self._ways or way in self._used:
            return self._ways.get(tag) == way
        self._note(tag, way)
        return True

    def hold(self, tag: int) -> None:
        """The host has a tunnel."""
        self._idle.pop(tag, None)

    def release(self, tag: int) -> None:
        """It has none any more."""
        if tag in self._ways:
            self._idle[tag] = None

    def _note(self, tag: int, way: int) -> None:
        self._ways[tag] = way
        self._used.add(way)

    def _new(self) -> int:
        if len(self._used) < self._room:
            while self._last in self._used:
                self._last = (self._last + 1) % self._room
            return self._last
        if not self._idle:
            raise NotFoundError(f"ways to other hosts: there are no more than {self._room - 1}")
        former = next(iter(self._idle))
        del self._idle[former]
        return self._ways.pop(former)
