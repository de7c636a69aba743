"""Prometheus metrics of one weftd: what GET /metrics answers.

Everything is read when asked for; nothing is counted twice. prometheus-client is imported with the
first scrape, for most hosts are never scraped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import weft
from weft.api.context import DnsFacts, EngineFacts
from weft.control.control import Control
from weft.engine.sink import Counters
from weft.engine.wire_drops import wire_drops
from weft.metrics.flows import flow_families, rule_families
from weft.model.records import KINDS, Network, Port
from weft.observers.flows.interface import Flows, RuleCount
from weft.observers.multicast.interface import Snooping
from weft.semantics.networks import full_name

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.process_collector import ProcessCollector
    from prometheus_client.registry import CollectorRegistry

PORT_LABELS = ("port", "network", "name")


class _Collected:
    """Families that have been collected already, where prometheus-client wants a registry."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """As `CollectorRegistry.collect`."""
        return self._families


class Metrics:
    """Makes the text of a scrape from the parts of the daemon."""

    def __init__(
        self,
        control: Control,
        engine: EngineFacts,
        dns: DnsFacts,
        started_s: float,
        multicast: Snooping,
        flows: Flows,
    ) -> None:
        self._control = control
        self._engine = engine
        self._dns = dns
        self._started_s = started_s
        self._multicast = multicast
        self._flows = flows
        self._rule_counts: Sequence[RuleCount] = ()
        self._process: ProcessCollector | None = None
        self._counters: Mapping[str, Counters] = {}

    async def text(self) -> bytes:
        """The exposition, format 0.0.4. Written in a thread: 10 000 ports make some megabytes."""
        from prometheus_client.exposition import generate_latest
        from prometheus_client.process_collector import ProcessCollector

        self._counters = await self._engine.counters()
        self._rule_counts = await self._flows.rule_counts()
        if self._process is None:
            self._process = ProcessCollector(namespace="weft", registry=None)
        families = _Collected([*self.collect(), *self._process.collect()])
        return await asyncio.to_thread(generate_latest, cast("CollectorRegistry", families))

    def collect(self) -> Iterator[Metric]:
        """All families of ours."""
        yield from self._daemon()
        yield from self._records()
        yield from self._reconcile()
        yield from self._ports()
        yield self._drops()
        yield self._wire_drops()
        yield from self._names()
        yield from self._groups()
        yield from flow_families(self._flows.table)
        yield from rule_families(self._control.view, self._rule_counts)

    def _daemon(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily

        host = self._control.host
        yield InfoMetricFamily(
            "weft", "This weftd.", {"version": weft.__version__, "host": host.name}
        )
        yield GaugeMetricFamily(
            "weft_ready",
            "1: the kernel holds what the records say, as far as it can.",
            float(self._engine.ready.is_set()),
        )
        yield GaugeMetricFamily(
            "weft_uptime_seconds", "Since weftd started.", time.time() - self._started_s
        )

    def _records(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import GaugeMetricFamily

        family = GaugeMetricFamily("weft_records", "Records in the store.", labels=["kind"])
        for kind in KINDS:
            family.add_metric([kind.KIND], sum(1 for _ in self._control.view.list(kind)))
        yield family

    def _reconcile(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        yield CounterMetricFamily(
            "weft_reconcile_runs",
            "Looks at whether the kernel holds what it should.",
            self._engine.reconciles_total,
        )
        yield CounterMetricFamily(
            "weft_reconcile_repairs",
            "Looks that found something to put right.",
            self._engine.repairs_total,
        )
        yield GaugeMetricFamily(
            "weft_rows_failed",
            "Rows that the kernel refuses right now.",
            len(self._engine.failures()),
        )

    def _ports(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily

        plugged = tuple(self._plugged())
        for field, name, text in (
            ("rx_packets", "weft_port_receive_packets", "Packets that the workload received."),
            ("rx_bytes", "weft_port_receive_bytes", "Bytes that the workload received."),
            ("tx_packets", "weft_port_transmit_packets", "Packets that the workload sent."),
            ("tx_bytes", "weft_port_transmit_bytes", "Bytes that the workload sent."),
        ):
            family = CounterMetricFamily(name, text, labels=PORT_LABELS)
            for labels, counters in plugged:
                family.add_metric(labels, getattr(counters, field))
            yield family

    def _drops(self) -> Metric:
        from prometheus_client.metrics_core import CounterMetricFamily

        family = CounterMetricFamily(
            "weft_port_drops",
            "Packets dropped that the workload sent or should have received.",
            labels=(*PORT_LABELS, "reason"),
        )
        for labels, counters in self._plugged():
            for reason, count in counters.drops.items():
                if count:
                    family.add_metric([*labels, reason], count)
        return family

    def _wire_drops(self) -> Metric:
        from prometheus_client.metrics_core import CounterMetricFamily

        family = CounterMetricFamily(
            "weft_wire_drops",
            "Packets dropped that other hosts sent, or that claimed so.",
            labels=("device", "reason"),
        )
        for device, drops in wire_drops(self._counters).items():
            for reason, count in drops.items():
                family.add_metric([device, reason], count)
        return family

    def _names(self) -> Iterable[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        family = CounterMetricFamily("weft_dns", "What the DNS server did.", labels=["what"])
        for what, count in self._dns.statistics().items():
            family.add_metric([what], count)
        yield family
        questions = GaugeMetricFamily(
            "weft_dns_questions", "Questions for resolvers at this moment.", labels=["state"]
        )
        for state, count in self._dns.questions().items():
            questions.add_metric([state], count)
        yield questions

    def _groups(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        family = CounterMetricFamily(
            "weft_multicast", "What became of reports of groups.", labels=["what"]
        )
        for what, count in self._multicast.statistics().items():
            family.add_metric([what], count)
        yield family
        members = GaugeMetricFamily(
            "weft_multicast_groups",
            "Groups that have members, on any host.",
            labels=["network"],
        )
        for network, groups in self._control.multicast.multicast_group_counts().items():
            members.add_metric([full_name(self._control.view, network)], groups)
        yield members

    def _plugged(self) -> Iterator[tuple[list[str], Counters]]:
        for port in self._control.ports.list():
            counters = self._counters.get(port.ifname) if port.ifname else None
            if counters is not None:
                yield self._labels(port), counters

    def _labels(self, port: Port) -> list[str]:
        network = self._control.view.get(Network, port.network_id)
        return [
            port.id,
            full_name(self._control.view, network) if network else port.network_id,
            port.names[0] if port.names else "",
        ]
