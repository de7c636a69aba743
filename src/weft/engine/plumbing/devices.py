"""Names and ifindexes of this host's devices, for tables whose rows say names.

As of the last look at the kernel, and as Weft has changed them since. One object is shared by the
tables of a sink, so one dump serves them all.

Devices that Weft makes get ifindexes from a range of their own (`layouts.Berth`). None is given
twice before a look at the kernel has found it free: until then entries of maps may still name the
device that had it before.
"""

from __future__ import annotations

from collections.abc import Iterable

from weft.errors import NotFoundError
from weft.kernel.bpf.layouts import Berth
from weft.kernel.links import Link, find_link, links
from weft.kernel.netlink import Netlink

WEFT1_IFINDEX = int(Berth.FIRST_IFINDEX)
"""The first of the range is for the inner end of the pair between the host and its networks."""


class Devices:
    """All devices of the namespace in which `netlink` was opened."""

    def __init__(self, netlink: Netlink) -> None:
        self.netlink = netlink
        self._by_name: dict[str, Link] = {}
        self._names: dict[int, str] = {}
        self._taken: set[int] = set()
        """Ifindexes that some device had at the last look or since."""
        self.gone: set[int] = set()
        """Those that looks have found gone, for what cleans up behind them, and empties it."""
        self._given = 0
        """How many of the range were given, over and over again."""

    def refresh(self) -> None:
        """Look at the kernel. Linear in the number of devices."""
        self._by_name = {link.name: link for link in links(self.netlink)}
        self._names = {link.ifindex: link.name for link in self._by_name.values()}
        self.gone |= self._taken - self._names.keys()
        self.gone -= self._names.keys()
        self._taken = set(self._names)

    def is_there(self, ifindex: int) -> bool:
        """Whether some device has it."""
        return ifindex in self._names

    def spare(self, ifindexes: Iterable[int]) -> None:
        """Do not give these before the next look."""
        self._taken.update(ifindexes)

    def new_ifindex(self) -> int:
        """One for a device that is to be made; 0: none is free, the kernel chooses.

        They are given in turn, so that one that was in use comes back as late as may be.
        """
        for _ in range(Berth.BERTHS):
            ifindex = Berth.FIRST_IFINDEX + self._given % Berth.BERTHS
            self._given += 1
            if ifindex not in self._taken and ifindex != WEFT1_IFINDEX:
                self._taken.add(ifindex)
                return ifindex
        return 0

    def all(self) -> list[Link]:
        """Every device that is known."""
        return list(self._by_name.values())

    def find(self, name: str) -> Link | None:
        """What is known of a device."""
        return self._by_name.get(name)

    def look_up(self, name: str) -> Link | None:
        """Ask the kernel about one device, and remember the answer."""
        link = find_link(self.netlink, name)
        self.forget(name)
        if link is not None:
            self.note(link)
        return link

    def note(self, link: Link) -> None:
        """The device is so now, as the kernel has just confirmed."""
        self._by_name[link.name] = link
        self._names[link.ifindex] = link.name
        self._taken.add(link.ifindex)

    def forget(self, name: str) -> None:
        """The device is gone."""
        link = self._by_name.pop(name, None)
        if link is not None:
            self._names.pop(link.ifindex, None)

    def ifindex(self, name: str) -> int:
        """ifindex of a device. NotFoundError: there is none of this name."""
        if name.startswith("#"):
            return int(name[1:])
        link = self._by_name.get(name)
        if link is None:
            raise NotFoundError(f"device {name}: it is not there")
        return link.ifindex

    def name(self, ifindex: int) -> str:
        """Name of a device; ``#IFINDEX``, which no row ever says, when there is none."""
        return self._names.get(ifindex) or f"#{ifindex}"
