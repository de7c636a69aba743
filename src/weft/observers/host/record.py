"""This host's own record, kept true: underlay, MTU, resolvers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

import weft
from weft.config import Settings
from weft.kernel import underlay
from weft.model.addresses import IPAddress
from weft.model.ids import HostId
from weft.model.records import Cluster, Host
from weft.observers.host.own_record import OwnRecord
from weft.semantics.overhead import encrypted_mtu_bytes, network_mtu_bytes
from weft.store.interface import Changed, Put, Store
from weft.topology.encryption import cluster_settings

log = structlog.get_logger()


class HostRecord(OwnRecord):
    """The `Host` record, but for its keys."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        host_id: HostId,
        resolvers: Callable[[], Sequence[IPAddress]],
        former_resolvers: Callable[[], Sequence[IPAddress]],
        secret_id: Callable[[], str],
    ) -> None:
        super().__init__("underlay not found, host record kept")
        self._store = store
        self._settings = settings
        self._host_id = host_id
        self._resolvers = resolvers
        self._secret_id = secret_id
        self._former_resolvers = former_resolvers
        self._written: Host | None = None
        store.watch(self._on_records)

    async def refresh(self) -> None:
        """Look and write. Raises when the underlay that the settings name is not there."""
        found = await asyncio.to_thread(
            underlay.find, self._settings.underlay_device, self._settings.underlay_address
        )
        host = Host(
            id=self._host_id,
            name=self._settings.name,
            underlay=found.addresses,
            mtu_bytes=found.mtu_bytes,
            network_mtu_bytes=self._settings.mtu_bytes or self._network_mtu_bytes(found),
            resolvers=_sorted(self._resolvers()),
            former_resolvers=_sorted(self._former_resolvers()),
            version=weft.__version__,
            mesh_port=self._settings.mesh_port,
            secret_id=self._secret_id(),
        )
        if self._store.get(Host, host.id) != host:
            log.info("host record changed", underlay=found.ifname, mtu_bytes=found.mtu_bytes)
            self._written = host
            await self._store.write([Put(host)])

    def _network_mtu_bytes(self, found: underlay.Underlay) -> int:
        if not cluster_settings(self._store).is_encrypted or not found.addresses:
            return network_mtu_bytes(found.mtu_bytes, found.addresses)
        return encrypted_mtu_bytes(found.mtu_bytes, found.addresses[0])

    def _on_records(self, changes: Sequence[Changed]) -> None:
        """A restored backup may have brought an older record back; and encryption takes a part of
        each packet's room."""
        for change in changes:
            if change.key == (Host, self._host_id) and change.new != self._written:
                self.look_again()
            if change.key[0] is Cluster:
                self.look_again()


def _sorted(addresses: Sequence[IPAddress]) -> tuple[IPAddress, ...]:
    return tuple(sorted(set(addresses), key=lambda address: (address.version, address)))
