"""Publishes which hosts this host reaches: its Neighbours record, made of links and of probed data
paths.

A link that went counts for a grace period more, so that a weftd that starts again is news to
nobody: its kernel forwards all the while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import structlog

from weft.cluster.interface import LinkInfo
from weft.errors import WeftError
from weft.model.addresses import IPAddress
from weft.model.ids import HostId
from weft.model.records import ForgottenHost, Neighbour, Neighbours
from weft.store.interface import Put, Store

log = structlog.get_logger()

GRACE_S = 5.0
"""A neighbour without link stays so long. Longer keeps a dead host's names for longer; shorter
than a restart of weftd and the new links would make every restart news to all hosts."""
PATHS_AT_START_S = 10.0
"""What an earlier weftd has found out about data paths is believed so long after a start. Longer
than the prober needs to find it out again, lest every restart change the MTU of all ports."""
COALESCE_S = 0.1
"""Changes wait so long for company."""
RETRY_S = 5.0


class PathFacts(Protocol):
    """What is known of the data path to a host (`paths.interface.PathState`)."""

    @property
    def address(self) -> IPAddress:
        """Of that host, as it was probed."""
        ...

    @property
    def mtu_bytes(self) -> int:
        """Largest underlay packet that passes in both directions; 0: not known."""
        ...

    @property
    def is_broken(self) -> bool:
        """What is sent does not arrive."""
        ...


class Path(NamedTuple):
    """What an earlier weftd has found out."""

    address: IPAddress
    mtu_bytes: int = 0
    is_broken: bool = False


class _Seen(NamedTuple):
    address: IPAddress
    lost_s: float | None
    """Monotonic; None: linked."""


class Neighbourhood:
    """This host's neighbours, and the record that names them. Writes it when it changes."""

    def __init__(
        self,
        store: Store,
        host_id: HostId,
        links: Callable[[], Iterable[LinkInfo]],
        monotonic_s: Callable[[], float],
    ) -> None:
        self.paths: Callable[[], Mapping[HostId, PathFacts]] = dict
        """Data paths that have been found out, by host. Whatever changes it calls `look_again`
        afterwards."""
        self._store = store
        self._host_id = host_id
        self._links = links
        self._now_s = monotonic_s
        self._changed = asyncio.Event()
        record = store.get(Neighbours, host_id)
        stated = {each.host_id: each for each in record.neighbours} if record is not None else {}
        now_s = monotonic_s()
        self._seen = {h: _Seen(each.address, now_s) for h, each in stated.items() if each.has_link}
        self._started_s = now_s
        self._stated_paths: dict[HostId, PathFacts] = {
            host: Path(each.address, each.path_mtu_bytes, each.is_path_broken)
            for host, each in stated.items()
            if each.path_mtu_bytes or each.is_path_broken
        }

    def look_again(self) -> None:
        """Links or paths changed, or a host was forgotten."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            delay_s = await self._publish()
            try:
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(COALESCE_S)
            self._changed.clear()

    async def _publish(self) -> float | None:
        """Write the record if it says something else now; when to look again by oneself."""
        neighbours, due_s = self._present()
        wanted = Neighbours(id=self._host_id, host_id=self._host_id, neighbours=neighbours)
        record = self._store.get(Neighbours, self._host_id)
        if record == wanted or (record is None and not neighbours):
            return due_s
        try:
            await self._store.write([Put(wanted)])
        except WeftError as error:
            log.warning("neighbours not published, tried again", reason=str(error))
            return RETRY_S
        return due_s

    def _present(self) -> tuple[tuple[Neighbour, ...], float | None]:
        """The hosts that count as neighbours now, and how long until that changes by itself."""
        now_s = self._now_s()
        linked = {link.host_id: link.address for link in self._links()}
        self._seen.update((host, _Seen(address, None)) for host, address in linked.items())
        for host in self._seen.keys() - linked.keys():
            seen = self._seen[host]
            if seen.lost_s is None:
                seen = self._seen[host] = seen._replace(lost_s=now_s)
            if seen.lost_s is not None and seen.lost_s + GRACE_S <= now_s:
                del self._seen[host]
        lost = [seen.lost_s for seen in self._seen.values() if seen.lost_s is not None]
        due_s = min(lost) + GRACE_S - now_s if lost else None
        paths: dict[HostId, PathFacts] = dict(self.paths())
        if self._stated_paths:
            stated_s = self._started_s + PATHS_AT_START_S - now_s
            if stated_s > 0:
                paths = self._stated_paths | paths
                due_s = min(stated_s, stated_s if due_s is None else due_s)
            else:
                self._stated_paths.clear()
        hosts = sorted(host for host in {*self._seen, *paths} if self._is_member(host))
        return tuple(self._neighbour(host, paths.get(host)) for host in hosts), due_s

    def _is_member(self, host: HostId) -> bool:
        return self._store.get(ForgottenHost, host) is None

    def _neighbour(self, host: HostId, path: PathFacts | None) -> Neighbour:
        seen = self._seen.get(host)
        if path is None:
            assert seen is not None
            return Neighbour(host_id=host, address=seen.address)
        return Neighbour(
            host_id=host,
            address=path.address,
            path_mtu_bytes=path.mtu_bytes,
            is_path_broken=path.is_broken,
            has_link=seen is not None,
        )
