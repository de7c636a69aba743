"""Makes all parts of one weftd out of its settings, its records and its place in the cluster."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import NamedTuple

from weft.api.context import Context as ApiContext
from weft.api.server import ApiServer
from weft.api.watching import Feed
from weft.cluster.membership import Membership
from weft.config import Settings
from weft.daemon.forwarding import Forwarding, make_forwarding
from weft.daemon.inquiries import know_inquiries
from weft.daemon.intents import Intents, make_intents
from weft.daemon.kernel_news import KernelNews
from weft.daemon.observing import Observing, make_observing
from weft.daemon.records import Records
from weft.daemon.sweeping import Sweeping
from weft.dns.service import DnsService
from weft.kernel.events import KernelEvents
from weft.metrics import Metrics
from weft.observers.flows.seen import FLOWS
from weft.observers.traces.seen import TRACES
from weft.proxy.keeper import ProxyKeeper


class Weftd(NamedTuple):
    """All that one weftd is made of."""

    settings: Settings
    records: Records
    membership: Membership
    forwarding: Forwarding
    kernel_events: KernelEvents
    intents: Intents
    observing: Observing
    sweeping: Sweeping
    dns: DnsService
    api: ApiServer
    proxy: ProxyKeeper


def wire(
    settings: Settings, records: Records, membership: Membership, stop: Callable[[], None]
) -> Weftd:
    """stop: what the API calls when it is asked to end weftd."""
    started_s = time.time()
    store, host_id = records.store, records.host_id
    forwarding = make_forwarding(settings, store, host_id)
    engine = forwarding.engine
    intents = make_intents(settings, records, membership, engine)
    control = intents.control
    know_inquiries(membership.ask, store, host_id, engine)
    dns = DnsService(
        settings,
        store,
        host_id,
        forwarding.ports.of_ifindex,
        time.monotonic,
        random.SystemRandom(),
    )
    observing = make_observing(
        settings, store, host_id, membership, forwarding, dns, control.notices
    )
    membership.ask.know(FLOWS, observing.collector.answer)
    membership.ask.know(TRACES, observing.tracer.answer)
    api = ApiServer(
        ApiContext(
            settings=settings,
            control=control,
            engine=engine,
            dns=dns,
            started_s=started_s,
            stop=stop,
            encryption=observing.encryption,
            metrics=Metrics(
                control, engine, dns, started_s, observing.snooper, observing.collector
            ).text,
            multicast=observing.snooper,
            flows=observing.collector,
            traces=observing.tracer,
            others=membership.ask,
            feed=Feed(store, control.watch, os.urandom(4).hex()),
        )
    )
    return Weftd(
        settings=settings,
        records=records,
        membership=membership,
        forwarding=forwarding,
        kernel_events=KernelEvents(KernelNews(forwarding, observing, membership).hear),
        intents=intents,
        observing=observing,
        sweeping=Sweeping(forwarding, intents.janitor, observing.mended_settings),
        dns=dns,
        api=api,
        proxy=ProxyKeeper(store, host_id),
    )
