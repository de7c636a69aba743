"""This host's membership, opened: its secret, its links, and what it remembers of the others.

A host that has no secret yet begins a cluster of its own; `weft up --join` has put the secret of
another one there before weftd runs.
"""

from __future__ import annotations

import datetime
import os
import random
import time
from pathlib import Path
from typing import Protocol

import weft
from weft.cluster.endpoints import parse_endpoints
from weft.cluster.interface import Identity, RefusalOf, Replication
from weft.cluster.membership import Membership
from weft.cluster.remembered import Remembered
from weft.cluster.secret import Secrets
from weft.cluster.tls_transport import TlsTransport
from weft.config import Settings
from weft.mesh.transport import Transport
from weft.model.ids import HostId
from weft.model.records import ForgottenHost
from weft.store.continuity import boot_id
from weft.store.interface import Store, View


class Records(Protocol):
    """A host's own records, opened."""

    @property
    def host_id(self) -> HostId:
        """Who this host is."""
        ...

    @property
    def store(self) -> Store:
        """All records."""
        ...

    def exchange(self, transport: Transport) -> Replication:
        """What gets them from host to host, over these links if it needs them. Asked once."""
        ...


def open_membership(settings: Settings, records: Records, secrets: Secrets) -> Membership:
    """InvalidError: the secret cannot be read, or `settings.join` names what is no address."""
    state_dir = Path(settings.state_dir)
    remembered = Remembered(state_dir)
    if settings.join:
        parse_endpoints(settings.join, settings.mesh_port)
        remembered.update(join=settings.join)
    transport = TlsTransport(
        Identity(
            host_id=records.host_id,
            name=settings.name,
            version=weft.__version__,
            instance=os.urandom(8).hex(),
            boot_id=boot_id(),
        ),
        secrets,
        port=settings.mesh_port,
        refusal_of=refusals(records.store),
        randomness=random.SystemRandom(),
    )
    return Membership(
        host_id=records.host_id,
        store=records.store,
        links=transport,
        exchange=records.exchange(transport),
        secrets=secrets,
        remembered=remembered,
        join=parse_endpoints(remembered.known.join, settings.mesh_port),
        monotonic_s=time.monotonic,
        wall_s=time.time,
    )


def open_secrets(settings: Settings) -> Secrets:
    """The secrets of this host; it begins a cluster when there are none."""
    state_dir = Path(settings.state_dir)
    return Secrets.open(state_dir) or Secrets.found(state_dir, os.urandom, time.time())


def refusals(view: View) -> RefusalOf:
    """Says of removed hosts that, when, and what their administrator can do."""

    def refusal_of(host_id: HostId) -> str | None:
        removed = view.get(ForgottenHost, host_id)
        if removed is None:
            return None
        day = datetime.datetime.fromtimestamp(removed.at_s, datetime.UTC).date()
        return (
            f"host {removed.name or host_id} ({host_id}) was removed from the cluster on {day}; "
            "on that host run `weft leave`, then `weft up --join` to join as a new one"
        )

    return refusal_of
