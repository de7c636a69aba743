"""The packet path with rules and routers: Weft beside its own plain path, the limits, and others
that have the same rules. On one host, and between two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from weft.bench import bare, judging, topology, two_hosts
from weft.bench.bare import BPF_VXLAN, LIMIT, REDIRECT_PEER
from weft.bench.comparison import CONNECT_PINNED, RR_PINNED, UDP, Comparison, Measurement
from weft.bench.host import NETWORK_MTU_BYTES
from weft.bench.plan import Plan
from weft.bench.programs import FROM_PORT, FROM_WIRE, Hook
from weft.bench.results import Check, Results
from weft.bench.scenes import Scene, Scenes, scene_hosts
from weft.bench.topology import RAW_VETH, WEFT, Variant
from weft.bench.traffic import Traffic
from weft.bench.two_hosts import ROOM_BYTES, UNDERLAY
from weft.errors import WeftError

FEW = 100
FLOWS = 10_000
"""Of UDP, in turn."""
_SETTINGS = {"flow_entries": 1 << 20, "flows_per_port": 1_000_000}
"""Room for all connections that a second brings; what a table without room does is in `flows`."""
ROUTED, ONE_RULE, FEW_RULES, MANY_RULES, ALL = (
    "weft, routed",
    "weft, 1 rule",
    f"weft, {FEW} rules",
    "weft, 10k rules",
    "weft, all",
)
BRIDGE_FEW, BRIDGE_MANY, OPENVSWITCH_MANY = (
    f"bridge, {FEW} rules",
    "bridge, 10k rules",
    "ovs, 10k rules",
)
HERE = (RAW_VETH, REDIRECT_PEER, LIMIT, BRIDGE_FEW, BRIDGE_MANY, OPENVSWITCH_MANY)
THERE = (UNDERLAY, BPF_VXLAN, LIMIT)
OTHERS = (ROUTED, ONE_RULE, FEW_RULES, MANY_RULES, ALL, *HERE, *THERE)
"""What Weft's plain path is compared with, and what that is with rules or routers."""


@dataclass(frozen=True)
class PolicyComparison(Comparison):
    """The same variants with less traffic: what rules bear on is packets and first packets."""

    def seconds(self, plan: Plan) -> float:
        """Of one sample."""
        return plan.short_s

    def measurements(self, load: Traffic, seconds: float) -> Iterator[Measurement]:
        """Those that show a packet's cost, and UDP of many connections."""
        shown = {self.figure(key) for key in (RR_PINNED, CONNECT_PINNED)}
        every = list(super().measurements(load, seconds))
        yield from (each for each in every if each.figure.key in shown)
        yield self.many_flows(load, seconds)
        yield from (each for each in every if each.is_of_programs)

    def many_flows(self, load: Traffic, seconds: float) -> Measurement:
        """UDP of `FLOWS` connections in turn."""
        title = f"UDP packets of {FLOWS} connections in turn that arrive, each end on a CPU"
        return self.packets(f"{UDP}_flows", title, seconds, partial(load.flows, flows=FLOWS))


def measure(plan: Plan, results: Results) -> None:
    """One host, then two."""
    for place in HERE_AND_THERE:
        _measure(plan, results, place)


@dataclass(frozen=True)
class Place:
    """One of the two comparisons."""

    key: str
    title: str
    hosts: int
    roles: tuple[str, ...]
    limit: str
    """What Weft is related to."""
    bare: str
    """What its programs are."""
    beyond_ns: Mapping[str, float]
    """What is expected of everything at once, by program."""
    of_limit: float
    """Of the limit's round trips, at least."""

    def others(self, many: int) -> Mapping[str, Variant]:
        """What Weft is compared with."""
        if self.hosts == 1:
            return {
                REDIRECT_PEER: bare.redirect_peer,
                LIMIT: bare.redirect_limit,
                BRIDGE_FEW: partial(judging.bridge, FEW),
                BRIDGE_MANY: partial(judging.bridge, many),
                OPENVSWITCH_MANY: partial(judging.openvswitch, many),
            }
        return {
            BPF_VXLAN: bare.bpf_vxlan,
            LIMIT: partial(bare.bpf_vxlan, hook=Hook.TCX),
        }


HERE_AND_THERE = (
    Place(
        key="policy",
        title="Policy: ",
        hosts=1,
        roles=(FROM_PORT,),
        limit=RAW_VETH,
        bare=REDIRECT_PEER,
        beyond_ns={FROM_PORT: 80},
        of_limit=0.87,
    ),
    Place(
        key="policyhosts",
        title="Policy, two hosts: ",
        hosts=2,
        roles=(FROM_PORT, FROM_WIRE),
        limit=UNDERLAY,
        bare=BPF_VXLAN,
        beyond_ns={FROM_PORT: 60, FROM_WIRE: 60},
        of_limit=0.76,
    ),
)


def _measure(plan: Plan, results: Results, place: Place) -> None:
    mtu_bytes = NETWORK_MTU_BYTES
    limit = topology.raw_veth if place.hosts == 1 else two_hosts.underlay
    with ExitStack() as stack:
        variants: dict[str, Variant] = {place.limit: limit}
        cable = mtu_bytes + (0 if place.hosts == 1 else ROOM_BYTES)
        try:
            scenes = stack.enter_context(
                scene_hosts(plan, place.hosts, cable, plan.members, _SETTINGS)
            )
        except WeftError as error:
            results.skipped[f"{place.key}: {WEFT}"] = str(error)
        else:
            variants |= _of_weft(scenes, plan.many_rules, place.roles)
        variants |= place.others(plan.many_rules)
        comparison = comparison_of(place, variants)
        comparison.measure(plan, results)
    results.checks.extend(checks(place, comparison, results))


def comparison_of(place: Place, variants: Mapping[str, Variant]) -> PolicyComparison:
    """Of the two, this one."""
    return PolicyComparison(place.key, place.title, variants, NETWORK_MTU_BYTES, place.roles)


def _of_weft(scenes: Scenes, many: int, roles: tuple[str, ...]) -> Mapping[str, Variant]:
    found = {
        WEFT: Scene(),
        ROUTED: Scene(is_routed=True),
        ONE_RULE: Scene(1),
        FEW_RULES: Scene(FEW),
        MANY_RULES: Scene(many),
        ALL: Scene(many, is_routed=True),
    }
    return {name: scenes.variant(scene, *roles) for name, scene in found.items()}


def checks(place: Place, comparison: PolicyComparison, results: Results) -> Iterator[Check]:
    """What is expected of Weft with rules."""

    def ratio(figure: str, one: str, other: str) -> float | None:
        return results.ratio(comparison.figure(figure), one, other, "rate")

    title = place.title
    for role, limit_ns in place.beyond_ns.items():
        yield comparison.beyond(results, role, ALL, place.bare, limit_ns)
    measured = ratio(RR_PINNED, ALL, place.limit)
    yield Check(f"{title}all at once, to {place.limit}", measured, place.of_limit)
    yield Check(f"{title}10k rules to 1", ratio(RR_PINNED, MANY_RULES, ONE_RULE), 0.97)
    for one, said, least in ((FEW_RULES, f"{FEW}", 0.95), (MANY_RULES, "10k", 0.85)):
        measured = ratio(CONNECT_PINNED, one, WEFT)
        yield Check(f"{title}connects, {said} rules to none", measured, least)
    if place.hosts == 1:
        measured = ratio(CONNECT_PINNED, MANY_RULES, BRIDGE_MANY)
        yield Check(f"{title}connects, 10k rules, to bridge", measured, 1.0)
