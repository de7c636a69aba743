"""Makes control, and what mends by itself what hosts did apart."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import NamedTuple

from weft.cluster.membership import Membership
from weft.config import Settings
from weft.control.context import Context, HostRoute
from weft.control.control import Control
from weft.control.upkeep.healing import Healer
from weft.control.upkeep.janitor import Janitor
from weft.control.upkeep.shared_space import SharedSpace
from weft.control.upkeep.space import Space
from weft.daemon.records import Records
from weft.engine.engine import Engine
from weft.frontends.docker.finder import DockerFinder
from weft.host.targets import HostTargets, is_namespace_there
from weft.ipam.lease import LeaseTimes
from weft.kernel import underlay


class Intents(NamedTuple):
    """Control, and its upkeep."""

    control: Control
    space: Space
    healer: Healer
    janitor: Janitor


def make_intents(
    settings: Settings, records: Records, membership: Membership, engine: Engine
) -> Intents:
    """Control over the records; its intents wait for the engine."""
    context = Context(
        store=records.store,
        settler=engine,
        settings=settings,
        host_id=records.host_id,
        wall_s=time.time,
        random_bytes=os.urandom,
        host_routes=host_routes,
        targets=HostTargets([DockerFinder(settings)] if settings.docker else []),
        space=partial(
            SharedSpace,
            clock=time.monotonic,
            is_restored=records.is_put_back,
            times=LeaseTimes.of(settings.lease_s),
        ),
    )
    control = Control(context, membership, records)
    return Intents(
        control=control,
        space=context.space,
        healer=Healer(context, time.monotonic),
        janitor=Janitor(context, control.ports, control.reservations, is_namespace_there),
    )


def host_routes() -> list[HostRoute]:
    """Routes of this host that are not Weft's."""
    return [HostRoute(*route) for route in underlay.host_routes()]
