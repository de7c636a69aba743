"""Links that are up when a test says so; remembers what membership asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from weft.cluster.interface import LinkInfo, Problem, Target
from weft.mesh.transport import Listener
from weft.model.addresses import ip_address
from weft.model.ids import HostId


def link(host_id: str, address: str = "192.0.2.1", **fields: object) -> LinkInfo:
    """A link to a host."""
    usual: dict[str, object] = {
        "host_id": HostId(host_id),
        "address": ip_address(address),
        "port": 6783,
        "is_outgoing": True,
        "since_s": 1000.0,
        "name": host_id,
        "version": "0.1.0",
        "instance": host_id,
        "boot_id": "",
        "secret_id": "s1",
    }
    return LinkInfo(**(usual | fields))  # type: ignore[arg-type]


class FakeHostLinks:
    """Implements `interface.HostLinks`."""

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self.asking: Listener | None = None
        self.changed: list[Callable[[], None]] = []
        self.port = 6783
        self.targets: Sequence[Target] = ()
        self.closed: dict[HostId, str] = {}
        self.looked_again = 0
        self._links: dict[HostId, LinkInfo] = {}
        self._problems: Sequence[Problem] = ()

    def put(self, *links: LinkInfo) -> None:
        """These are up now, and no others."""
        self._links = {one.host_id: one for one in links}
        self._tell()

    def _tell(self) -> None:
        for hear in self.changed:
            hear()

    def fail(self, *problems: Problem) -> None:
        """These are the problems now."""
        self._problems = problems
        self._tell()

    def want(self, targets: Sequence[Target]) -> None:
        """See `HostLinks`."""
        self.targets = targets

    def links(self) -> Mapping[HostId, LinkInfo]:
        """See `HostLinks`."""
        return self._links

    def problems(self) -> Sequence[Problem]:
        """See `HostLinks`."""
        return self._problems

    def send(self, peer: str, data: bytes) -> None:
        """Goes nowhere."""

    def send_ask(self, peer: str, data: bytes) -> None:
        """Goes nowhere."""

    def close_link(self, host_id: HostId, reason: str) -> None:
        """See `HostLinks`."""
        self.closed[host_id] = reason
        self.put(*(one for one in self._links.values() if one.host_id != host_id))

    def network_changed(self) -> None:
        """Counts."""
        self.looked_again += 1

    async def run(self) -> None:
        """Nothing runs."""
