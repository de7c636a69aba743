"""The links that are up, one a host, and the listeners that hear what happens on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog

from weft.cluster.connection import Connection
from weft.cluster.greeting import Because, Handover, Hello, Refusal
from weft.cluster.handshake import QUIET
from weft.cluster.interface import Endpoint
from weft.cluster.link import Link
from weft.cluster.problems import Problems
from weft.cluster.tls_errors import explain
from weft.mesh.transport import Listener
from weft.model.ids import HostId
from weft.printable import printable

CLOSED_FIX = "see what `weft status hosts` says there"

log = structlog.get_logger()

OnLink = Callable[[Link], None]


class LinkTable:
    """Implements `link.LinkEvents`. A host never has two links here."""

    def __init__(
        self, problems: Problems, now_s: Callable[[], float], wall_s: Callable[[], float]
    ) -> None:
        self.listener: Listener | None = None
        self.asking: Listener | None = None
        """Told of the links of hosts that can be asked."""
        self.on_up: list[OnLink] = []
        self.on_down: list[OnLink] = []
        self.on_secret: Callable[[Link, Handover], None] | None = None
        self.on_confirmed: OnLink | None = None
        self._problems = problems
        self._now_s = now_s
        self._wall_s = wall_s
        self._links: dict[str, Link] = {}

    def __iter__(self) -> Iterator[Link]:
        return iter(tuple(self._links.values()))

    def __contains__(self, host_id: HostId) -> bool:
        return host_id in self._links

    def is_linked_at(self, ip: str) -> bool:
        """Whether a link leads to this address."""
        return any(link.ip == ip for link in self._links.values())

    def get(self, host_id: str) -> Link | None:
        """The link to a host."""
        return self._links.get(host_id)

    def take(
        self, connection: Connection, hello: Hello, endpoint: Endpoint | None, tls_secret_id: str
    ) -> Link:
        """Both ends have agreed: it is up from now on, in the place of an earlier one."""
        link = Link(connection, hello, endpoint, tls_secret_id, self._now_s, self._wall_s)
        earlier = self._links.get(link.host_id)
        if earlier is not None:
            earlier.end(Because.DUPLICATE)
        self._links[link.host_id] = link
        self._problems.mended(link.host_id, (link.address, link.ip))
        log.info("link up", **self._facts(link))
        if self.listener is not None:
            self.listener.link_up(link.host_id)
        if self.asking is not None and link.can_be_asked:
            self.asking.link_up(link.host_id)
        for action in self.on_up:
            action(link)
        link.start(self)
        return link

    def on_message(self, link: Link, data: bytes) -> None:
        """See `LinkEvents`."""
        if self.listener is not None and self._links.get(link.host_id) is link:
            self.listener.receive(link.host_id, data)

    def on_ask(self, link: Link, data: bytes) -> None:
        """See `LinkEvents`."""
        if self.asking is not None and self._links.get(link.host_id) is link and link.can_be_asked:
            self.asking.receive(link.host_id, data)

    def on_handover(self, link: Link, handover: Handover) -> None:
        """See `LinkEvents`."""
        if self.on_secret is not None:
            self.on_secret(link, handover)

    def on_confirm(self, link: Link) -> None:
        """See `LinkEvents`."""
        if self.on_confirmed is not None:
            self.on_confirmed(link)

    def on_end(self, link: Link, refusal: Refusal | None) -> None:
        """See `LinkEvents`."""
        if self._links.get(link.host_id) is not link:
            return
        del self._links[link.host_id]
        log.info("link down", reason=self._reason(link, refusal), **self._facts(link))
        if refusal is not None and refusal.because not in QUIET:
            self._problems.add(
                link.address,
                printable(refusal.reason),
                printable(refusal.fix) or CLOSED_FIX,
                host_id=link.host_id,
                is_outgoing=link.is_outgoing,
                is_clone=refusal.because == Because.CLONE,
            )
        if self.listener is not None:
            self.listener.link_down(link.host_id)
        if self.asking is not None and link.can_be_asked:
            self.asking.link_down(link.host_id)
        for action in self.on_down:
            action(link)

    def _reason(self, link: Link, refusal: Refusal | None) -> str:
        if refusal is not None:
            return printable(refusal.reason or refusal.because)
        return "closed" if link.why_over is None else explain(link.why_over).reason

    def _facts(self, link: Link) -> dict[str, str]:
        return {"host": link.host_id, "name": printable(link.hello.name), "address": link.address}
