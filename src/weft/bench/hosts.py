"""Two hosts over one cable: Weft beside the limit and beside what others use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from weft.bench import bare, docker_overlay, two_hosts
from weft.bench.bare import BPF_VXLAN, LIMIT
from weft.bench.cluster import weft_cluster
from weft.bench.comparison import CONGESTION_CONTROLS, RR_PINNED, STREAM_COUNTS, UDP, Comparison
from weft.bench.host import NETWORK_MTU_BYTES
from weft.bench.plan import Plan
from weft.bench.programs import FROM_PORT, FROM_WIRE, Hook
from weft.bench.results import Check, Results
from weft.bench.topology import WEFT, Variant
from weft.bench.two_hosts import ROOM_BYTES, UNDERLAY, VXLAN_BRIDGE
from weft.errors import WeftError

UNDERLAY6 = "underlay, IPv6"
WEFT6 = "weft, IPv6"
WEFT_DEVICE = "weft, device"
DOCKER = "docker overlay"
OTHERS = (UNDERLAY, BPF_VXLAN, LIMIT, VXLAN_BRIDGE, DOCKER, two_hosts.OPENVSWITCH, UNDERLAY6)
"""What Weft is compared with."""
ROLES = (FROM_PORT, FROM_WIRE)


def measure(plan: Plan, results: Results) -> None:
    """All variants that can be had here, and what is expected of Weft."""
    mtu_bytes = NETWORK_MTU_BYTES
    with ExitStack() as stack:
        variants: dict[str, Variant] = {
            UNDERLAY: two_hosts.underlay,
            **dict(_weft(plan, results, stack, mtu_bytes)),
            BPF_VXLAN: bare.bpf_vxlan,
            LIMIT: partial(bare.bpf_vxlan, hook=Hook.TCX),
            VXLAN_BRIDGE: two_hosts.vxlan_bridge,
            DOCKER: partial(docker_overlay.docker_overlay, plan.say),
            two_hosts.OPENVSWITCH: two_hosts.openvswitch,
            UNDERLAY6: two_hosts.underlay6,
        }
        comparison = Comparison("hosts", "Two hosts: ", variants, mtu_bytes, ROLES)
        comparison.measure(plan, results)
    results.checks.extend(checks(comparison, results))


def _weft(
    plan: Plan, results: Results, stack: ExitStack, mtu_bytes: int
) -> Iterator[tuple[str, Variant]]:
    """Its variants; each pair of hosts is a cluster of its own."""
    cable = mtu_bytes + ROOM_BYTES
    plain = partial(weft_cluster, plan.say, 2, mtu_bytes=cable)
    device = partial(plain, settings={"encapsulation": "device"})
    for name, make in ((WEFT, plain), (WEFT_DEVICE, device)):
        try:
            cluster = stack.enter_context(make())
        except WeftError as error:
            results.skipped[f"hosts: {name}"] = str(error)
            continue
        yield name, cluster.variant(*(ROLES if name == WEFT else ()))
        if name == WEFT:
            yield WEFT6, cluster.variant(*ROLES, is_ipv6=True)


def checks(hosts: Comparison, results: Results) -> Iterator[Check]:
    """What is expected of Weft between two hosts."""

    def ratio(figure: str, one: str, other: str, quantity: str = "rate") -> float | None:
        return results.ratio(figure, one, other, quantity)

    pinned = hosts.figure(RR_PINNED)
    title = "two hosts, round trips on one CPU"
    yield Check(f"{title}, to {BPF_VXLAN}", ratio(pinned, WEFT, BPF_VXLAN), 0.97)
    yield Check(f"{title}, to VXLAN", ratio(pinned, WEFT, VXLAN_BRIDGE), 1.40)
    yield Check(f"{title}, IPv6 to IPv4", ratio(pinned, WEFT6, WEFT), 0.95)
    yield hosts.beyond(results, FROM_PORT, WEFT, BPF_VXLAN, 90)
    yield hosts.beyond(results, FROM_WIRE, WEFT, BPF_VXLAN, 100)
    packets = ratio(hosts.figure(UDP), WEFT, BPF_VXLAN)
    yield Check(f"two hosts, UDP packets of 64 bytes, to {BPF_VXLAN}", packets, 0.95)
    for count in STREAM_COUNTS:
        for control in CONGESTION_CONTROLS:
            figure = hosts.stream(count, control)
            streams = f"{count} stream{'s' * (count > 1)}, {control}"
            for other, limit in ((UNDERLAY, 0.95), (VXLAN_BRIDGE, 1.30)):
                measured = ratio(figure, WEFT, other, "gbit_s")
                yield Check(f"two hosts, {streams}, to {other}", measured, limit)
            measured = ratio(figure, WEFT6, WEFT, "gbit_s")
            yield Check(f"two hosts, {streams}, IPv6 to IPv4", measured, 0.95)
            measured = ratio(figure, WEFT, UNDERLAY, "cpu_s_per_gb")
            yield Check(f"two hosts, {streams}, CPU to underlay", measured, 1.10, "at most")
