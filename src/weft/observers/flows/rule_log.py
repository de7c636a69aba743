"""What rules log: new connections that a rule lets begin or denies, as many a second as it says.

A rule says how many; what is more is counted, and told with the next one. Pure but for `FlowLog`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from weft.model.records import Network, SecurityGroup, SecurityRule
from weft.observers.flows.seen import Denial, FlowSeen
from weft.semantics.networks import full_name
from weft.semantics.tenants import full_group_name
from weft.store.interface import View

MOST_BYTES = 64 * 1024 * 1024
"""Of the file; then it becomes FILE.1, and the former one of that name goes."""

log = structlog.get_logger()


class Line(msgspec.Struct, frozen=True):
    """One connection, as a rule logs it."""

    time_s: float
    """When it began, or was denied. Unix time."""
    verdict: str
    direction: str
    """Which rule it is: egress, of the source's port, or ingress, of the destination's."""
    group: str
    rule: str
    network: str | None
    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    suppressed: int
    """Others that this rule had to log before, and for which it was too soon."""


class _Bucket:
    """Of one rule: as many at once as it may log in a second."""

    def __init__(self, now_s: float, burst: int) -> None:
        self._tokens = float(burst)
        self._filled_s = now_s
        self.suppressed = 0

    def take(self, now_s: float, per_s: int) -> bool:
        passed_s = max(0.0, now_s - self._filled_s)
        self._tokens = min(float(per_s), self._tokens + passed_s * per_s)
        self._filled_s = now_s
        if self._tokens < 1.0:
            self.suppressed += 1
            return False
        self._tokens -= 1.0
        return True


class _Said(NamedTuple):
    """A rule that had a say about a flow."""

    direction: Denial
    id: str


class RuleLog:
    """Chooses what is logged."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._buckets: dict[str, _Bucket] = {}

    def is_wanted(self) -> bool:
        """Whether any rule logs. Linear in the rules."""
        return any(rule.logs_per_s is not None for rule in self._view.list(SecurityRule))

    def lines(self, flows: Iterable[FlowSeen], now_s: float) -> Iterator[Line]:
        """Of connections that have begun, or were denied. now_s: a clock that only goes forward."""
        for flow in flows:
            for said in _said(flow):
                rule = self._view.get(SecurityRule, said.id)
                if rule is None or rule.logs_per_s is None:
                    continue
                bucket = self._buckets.get(rule.id)
                if bucket is None:
                    self._forget()
                    bucket = self._buckets[rule.id] = _Bucket(now_s, rule.logs_per_s)
                if bucket.take(now_s, rule.logs_per_s):
                    yield self._line(flow, said.direction, rule, bucket.suppressed)
                    bucket.suppressed = 0

    def _line(self, flow: FlowSeen, direction: Denial, rule: SecurityRule, suppressed: int) -> Line:
        group = self._view.get(SecurityGroup, rule.group_id)
        network = self._view.get(Network, flow.network_id) if flow.network_id else None
        return Line(
            time_s=flow.began_s,
            verdict="allowed" if flow.denied_by is None else "denied",
            direction=direction.value,
            group=full_group_name(self._view, group) if group is not None else rule.group_id,
            rule=rule.id,
            network=full_name(self._view, network) if network is not None else None,
            protocol=flow.protocol,
            source=str(flow.source),
            source_port=flow.source_port,
            destination=str(flow.destination),
            destination_port=flow.destination_port,
            suppressed=suppressed,
        )

    def _forget(self) -> None:
        """Rules that are gone."""
        gone = [id for id in self._buckets if self._view.get(SecurityRule, id) is None]
        for id in gone:
            del self._buckets[id]


class FlowLog:
    """Where it is written: a file with a line of JSON each, or weftd's own log."""

    def __init__(self, file: Path | None, most_bytes: int = MOST_BYTES) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._had_trouble = False

    def write(self, lines: Iterable[Line]) -> None:
        """A file that cannot be written costs its lines, and is told once."""
        if self._file is None:
            for line in lines:
                log.info("flow", **msgspec.structs.asdict(line))
            return
        text = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        if not text:
            return
        try:
            self._append(self._file, text)
            self._had_trouble = False
        except OSError as error:
            if not self._had_trouble:
                log.warning("flows are not logged", file=str(self._file), reason=error.strerror)
            self._had_trouble = True

    def _append(self, file: Path, text: bytes) -> None:
        if file.exists() and file.stat().st_size + len(text) > self._most_bytes:
            file.replace(file.with_name(f"{file.name}.1"))
        with file.open("ab") as stream:
            stream.write(text)


def _said(flow: FlowSeen) -> list[_Said]:
    """Of what is denied the rule that does so."""
    rules = {Denial.EGRESS: flow.egress_rule, Denial.INGRESS: flow.ingress_rule}
    return [
        _Said(direction, id)
        for direction, id in rules.items()
        if id is not None and flow.denied_by in (None, direction)
    ]
