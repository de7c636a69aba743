"""What membership knows of the links to other hosts, and how it steers them.

`TlsTransport` (tls_transport.py) implements `HostLinks`. It is a `mesh.transport.Transport`; the
owner of the sessions sets `listener` before `run`.

Rotating the secret: `secrets.rotate()` makes the new one and returns when it is durable; the
transport notices, hands it over its links, and every host hands it on. `secrets.current_id` names
the secret that this host has confirmed (a hash, nothing to hide): each host publishes it. A host
that sees that all hosts of the cluster have published the current id calls
`secrets.retire_previous()`, and refuses the old secret from then on. Secrets themselves never leave
secret.py and the links.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from weft.mesh.transport import Listener
from weft.model.addresses import IPAddress
from weft.model.ids import HostId

RefusalOf = Callable[[HostId], str | None]
"""Why a host may not link (it was removed), as a sentence for its administrator; None: it may."""


class Endpoint(NamedTuple):
    """Where a weftd may listen."""

    host: str
    """An IP address, or a name to resolve."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A host to hold a link to."""

    endpoints: tuple[Endpoint, ...]
    """In the order in which they are tried."""
    host_id: HostId | None = None
    """None: not known yet; any host that answers there with the cluster's secret will do."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What this process says about itself to other hosts."""

    host_id: HostId
    name: str
    version: str
    instance: str
    """Random, new with each process: two that live at once under one host id are clones."""
    boot_id: str = ""
    """Of the machine since it was started; for the reader of a report."""


class LinkInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A link that is up."""

    host_id: HostId
    address: IPAddress
    """Of the other host, as the link has it."""
    port: int
    """The one it listens on, when `is_outgoing`."""
    is_outgoing: bool
    """This host dialed."""
    since_s: float
    """Wall clock, Unix time."""
    name: str
    version: str
    instance: str
    boot_id: str
    secret_id: str
    """The secret that the other host has confirmed."""
    rtt_s: float | None = None
    """None: not measured yet."""
    clock_offset_s: float | None = None
    """How far its wall clock is ahead of this host's."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a link is not there."""

    address: str
    """`ADDRESS:PORT` that was dialed, or the address that somebody came from."""
    host_id: HostId | None
    """None: it was not learnt."""
    reason: str
    fix: str
    at_s: float
    """Wall clock of the last time, Unix time."""
    is_outgoing: bool
    """This host dialed."""
    is_clone: bool = False
    """Two live hosts have the id `host_id`; the one at `address` is refused here, or (when it is
    this host's own id) this host was refused there or met the other itself."""
    is_removal: bool = False
    """The host at `address` refused this one, which was removed from the cluster."""


class Replication(Listener, Protocol):
    """How records get from host to host."""

    @property
    def caught_up(self) -> asyncio.Event:
        """Set once all that others had is here."""
        ...

    def is_in_sync(self, peer: str) -> bool:
        """Whether a linked host has, or can have at once, all that is here."""
        ...

    async def run(self) -> None:
        """Until cancelled."""
        ...


class HostLinks(Protocol):
    """All links of this host."""

    listener: Listener | None
    """Told of links and messages; set before `run`."""
    asking: Listener | None
    """Likewise of those links whose hosts can be asked, and of what is asked on them (`ask.py`)."""
    changed: list[Callable[[], None]]
    """Each is called on the event loop after `links()` or `problems()` changed, but not for round
    trips."""

    @property
    def port(self) -> int:
        """TCP port that is listened on; 0 until it is."""
        ...

    def want(self, targets: Sequence[Target]) -> None:
        """Hold links to these from now on; one that only the other host wants stays as well.

        A target without `host_id` is met when any host that was found at one of its endpoints is
        linked. Cheap when nothing changed.
        """
        ...

    def links(self) -> Mapping[HostId, LinkInfo]:
        """Links that are up."""
        ...

    def problems(self) -> Sequence[Problem]:
        """What failed or was refused and has not been mended since, the latest first."""
        ...

    def send(self, peer: str, data: bytes) -> None:
        """See `mesh.transport.Transport`. A link whose queue is full is closed."""
        ...

    def send_ask(self, peer: str, data: bytes) -> None:
        """The same for messages of `asking`."""
        ...

    def close_link(self, host_id: HostId, reason: str) -> None:
        """Tell the other host why, and close. It is dialed again if it is wanted."""
        ...

    def network_changed(self) -> None:
        """Addresses or routes of this host changed: try at once, and look whether links live."""
        ...

    async def run(self) -> None:
        """Listen and dial until cancelled; then all links are closed."""
        ...
