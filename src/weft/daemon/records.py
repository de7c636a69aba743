"""Opens the records of this host: in the mesh, or in etcd, as the settings say."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeAlias, Union

import structlog

from weft.cluster.secret import Secrets
from weft.config import Settings
from weft.errors import InvalidError
from weft.kernel import underlay
from weft.mesh.opening import Opened, open_mesh
from weft.store.beginning import Places

if TYPE_CHECKING:
    from weft.etcd.opening import EtcdOpened

log = structlog.get_logger()

MOST_LOGGED = 20
"""Records that cannot be used: so many are logged, all of them are shown on demand."""

Records: TypeAlias = Union[Opened, "EtcdOpened"]
"""The store, and who this host is. etcd's client is imported only where etcd is used."""


@contextlib.asynccontextmanager
async def opened_records(settings: Settings, secrets: Secrets) -> AsyncIterator[Records]:
    """The records while weftd runs. Those that cannot be used are logged."""
    records = await open_records(settings, secrets)
    try:
        health = records.health()
        if health.set_aside is not None:
            log.error("database was unreadable, set aside", path=str(health.set_aside))
        for bad in health.quarantined[:MOST_LOGGED]:
            log.warning("record quarantined", kind=bad.kind, id=bad.id, reason=bad.reason)
        if len(health.quarantined) > MOST_LOGGED:
            more = len(health.quarantined) - MOST_LOGGED
            log.warning("more records quarantined: weft status problems", count=more)
        yield records
    finally:
        await records.close()


async def open_records(settings: Settings, secrets: Secrets) -> Records:
    """Open the store that the settings name; the caller closes it."""
    if settings.store != "mesh":
        from weft.etcd.opening import open_etcd

        return await open_etcd(
            settings,
            secrets,
            lambda: underlay.find(settings.underlay_device, settings.underlay_address).addresses,
            time.time,
            os.urandom,
        )
    if settings.etcd_database.exists():
        raise InvalidError(
            "--store mesh: the records of this host are in etcd; start it with the --store that "
            "it had. To give that up: weft leave, then weft up"
        )
    places = Places(settings.database, settings.host_id_file, settings.start_mark)
    return await open_mesh(places, time.time, os.urandom)
