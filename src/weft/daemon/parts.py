"""The parts of weftd as one table: what each needs, and whether weftd can do without it.

The table is in the order in which parts are prepared, start and end. What needs no other part runs
at once; what a workload or a user would see half done waits until the records are in force.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence

import structlog

import weft
from weft.config import Settings
from weft.daemon.running import Part
from weft.daemon.wiring import Weftd
from weft.frontends.docker.published import taken_on_host
from weft.frontends.docker.service import DockerFrontend
from weft.frontends.docker.state import DockerState, host_ifnames
from weft.host import memory

log = structlog.get_logger()

IN_FORCE = ("engine",)
"""The engine is ready when its first look at the kernel is through."""


def parts(weftd: Weftd) -> Sequence[Part]:
    """All parts of one weftd."""
    forwarding, intents, observing = weftd.forwarding, weftd.intents, weftd.observing

    async def run_engine() -> None:
        if weftd.records.set_aside is not None:
            await weftd.membership.find_lost_records()
        await forwarding.engine.run()

    async def serve_names() -> None:
        weftd.dns.watch_resolvers(lambda resolvers: observing.host_record.look_again())
        await weftd.dns.run()

    async def serve_docker() -> None:
        state = DockerState(intents.control, time.monotonic, host_ifnames)
        await DockerFrontend(weftd.settings, state, taken_on_host).run()

    async def tell_ready() -> None:
        memory.settle()
        notify_ready(weftd.settings)

    host_record, host_prefixes = observing.host_record, observing.host_prefixes
    encryption = observing.encryption
    table = [
        Part("engine", run_engine, is_kept=False, ready=forwarding.engine.ready),
        Part("kernel events", weftd.kernel_events.run),
        Part("underlay events", forwarding.underlay_events.run),
        Part("host record", host_record.run, prepare=host_record.refresh),
        Part("host prefixes", host_prefixes.run, prepare=host_prefixes.refresh),
        Part("prober", observing.prober.run, needs=IN_FORCE),
        Part("proxy", weftd.proxy.run, needs=IN_FORCE),
        Part("flows", observing.collector.run, needs=IN_FORCE),
        Part("multicast", observing.snooper.run, needs=IN_FORCE),
        Part("advertisements", observing.advertiser.run, needs=IN_FORCE),
        Part("membership", weftd.membership.run),
        Part("inquiries", weftd.membership.ask.run, needs=IN_FORCE),
        Part("encryption", encryption.run, prepare=encryption.prepare),
        Part("address blocks", intents.space.run),
        Part("healer", intents.healer.run),
        Part("janitor", weftd.sweeping.run),
        Part("dns", serve_names, needs=IN_FORCE, is_kept=False),
        Part("api", weftd.api.run, is_kept=False),
        Part("ready", tell_ready, needs=IN_FORCE, is_kept=False),
    ]
    if weftd.settings.docker:
        table.append(Part("docker", serve_docker, needs=IN_FORCE))
    return table


def notify_ready(settings: Settings) -> None:
    """Say that weftd is ready in its log, and to the service manager."""
    log.info("weftd is ready", host=settings.name, version=weft.__version__)
    notify_service_manager("READY=1")


def notify_service_manager(message: str) -> None:
    """Tell systemd, if it started us (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.sendto(message.encode(), "\0" + path[1:] if path.startswith("@") else path)
