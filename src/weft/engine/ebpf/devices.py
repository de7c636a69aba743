"""Names and ifindexes of this host's devices, for tables whose rows say names.

As of the last look at the kernel, and as Weft has changed them since. One object is shared by the
tables of a sink, so one dump serves them all.
"""

from __future__ import annotations

from weft.errors import NotFoundError
from weft.kernel.links import Link, find_link, links
from weft.kernel.netlink import Netlink


class Devices:
    """All devices of the namespace in which `netlink` was opened."""

    def __init__(self, netlink: Netlink) -> None:
        self.netlink = netlink
        self._by_name: dict[str, Link] = {}
        self._names: dict[int, str] = {}

    def refresh(self) -> None:
        """Look at the kernel. Linear in the number of devices."""
        self._by_name = {link.name: link for link in links(self.netlink)}
        self._names = {link.ifindex: link.name for link in self._by_name.values()}

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
