"""Two hosts that encrypt, beside the same WireGuard and nothing else.

Which WireGuard that is, the kernel's or wireguard-go, is what this machine has, as for weftd.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.bench import two_hosts
from weft.bench.cluster import weft_cluster
from weft.bench.comparison import CONGESTION_CONTROLS, STREAM_COUNTS, Comparison
from weft.bench.host import NETWORK_MTU_BYTES
from weft.bench.plan import Plan
from weft.bench.results import Check, Results
from weft.bench.topology import Variant
from weft.bench.two_hosts import ROOM_BYTES, WIREGUARD
from weft.errors import WeftError

WEFT_ENCRYPTED = "weft, encrypted"


def measure(plan: Plan, results: Results) -> None:
    """Both, and what is expected of Weft."""
    mtu_bytes = NETWORK_MTU_BYTES
    variants: dict[str, Variant] = {WIREGUARD: two_hosts.wireguard}
    try:
        with weft_cluster(plan.say, 2, "--encrypt", mtu_bytes=mtu_bytes + ROOM_BYTES) as cluster:
            variants[WEFT_ENCRYPTED] = cluster.variant()
            comparison = Comparison("encryption", "Two hosts, encrypted: ", variants, mtu_bytes, ())
            comparison.measure(plan, results)
    except WeftError as error:
        results.skipped[f"encryption: {WEFT_ENCRYPTED}"] = str(error)
        return
    results.checks.extend(checks(comparison, results))


def checks(encrypted: Comparison, results: Results) -> Iterator[Check]:
    """What is expected of Weft between two hosts that encrypt."""
    for count in STREAM_COUNTS:
        for control in CONGESTION_CONTROLS:
            figure = encrypted.stream(count, control)
            measured = results.ratio(figure, WEFT_ENCRYPTED, WIREGUARD, "gbit_s")
            streams = f"{count} stream{'s' * (count > 1)}, {control}"
            yield Check(f"two hosts, {streams}, encrypted to {WIREGUARD}", measured, 0.90)
