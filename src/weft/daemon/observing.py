"""Makes what goes up from the kernel into this host's own records."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from weft.cluster.membership import Membership
from weft.config import Settings
from weft.control.notices import Notices
from weft.daemon.forwarding import Forwarding
from weft.dns.service import DnsService
from weft.engine.ebpf.plane import flow_limits
from weft.engine.plumbing.device_names import WEFT0
from weft.kernel.bpf.layouts import Report
from weft.kernel.group_wire import GroupWire
from weft.kernel.probe_wire import ProbeWire
from weft.kernel.tunnel_traffic import TunnelTraffic
from weft.model.ids import HostId
from weft.observers.advertising.advertiser import Advertiser
from weft.observers.flows.collector import Collector
from weft.observers.flows.rule_log import FlowLog
from weft.observers.host.encryption import Encryption
from weft.observers.host.mended_settings import MendedSettings
from weft.observers.host.prefixes import HostPrefixesRecord
from weft.observers.host.record import HostRecord
from weft.observers.multicast.snooper import Snooper
from weft.observers.paths.prober import Prober
from weft.observers.traces.tracer import Tracer
from weft.store.interface import Store


class Observing(NamedTuple):
    """The observers."""

    host_record: HostRecord
    host_prefixes: HostPrefixesRecord
    encryption: Encryption
    snooper: Snooper
    advertiser: Advertiser
    prober: Prober
    mended_settings: MendedSettings
    collector: Collector
    tracer: Tracer


def make_observing(
    settings: Settings,
    store: Store,
    host_id: HostId,
    membership: Membership,
    forwarding: Forwarding,
    dns: DnsService,
    notices: Notices,
) -> Observing:
    """The observers, told by whom they are to look again."""
    secrets = membership.secrets
    host_record = HostRecord(
        store,
        settings,
        host_id,
        dns.resolvers,
        dns.former_resolvers,
        lambda: secrets.current_id,
    )
    secrets.changed.append(host_record.look_again)
    host_prefixes = HostPrefixesRecord(store, host_id)
    encryption = Encryption(
        store,
        settings,
        host_id,
        forwarding.engine,
        random_bytes=os.urandom,
        notices=notices,
    )
    snooper = Snooper(
        host_id=host_id, store=store, wire=GroupWire(WEFT0), port_of=forwarding.ports.of_ifindex
    )
    advertiser = Advertiser(
        host_id=host_id,
        store=store,
        wire=GroupWire(WEFT0, Report.SOLICITATION_TYPE),
        port_of=forwarding.ports.of_ifindex,
    )
    prober = Prober(
        host_id=host_id,
        store=store,
        wire=ProbeWire(Path(settings.bpffs_dir), settings.overlay_port),
        random_bytes=os.urandom,
        traffic=TunnelTraffic(Path(settings.bpffs_dir)),
    )
    membership.neighbourhood.paths = prober.states
    prober.on_change.append(membership.neighbourhood.look_again)
    return Observing(
        host_record=host_record,
        host_prefixes=host_prefixes,
        encryption=encryption,
        snooper=snooper,
        advertiser=advertiser,
        prober=prober,
        mended_settings=MendedSettings(notices, time.time),
        collector=Collector(
            store,
            Path(settings.bpffs_dir),
            flow_limits(settings),
            forwarding.ports.of_ifindex,
            FlowLog(Path(settings.flow_log) if settings.flow_log else None),
        ),
        tracer=Tracer(
            store,
            host_id,
            Path(settings.bpffs_dir),
            settings.overlay_port,
            forwarding.ports.of_ifindex,
        ),
    )
