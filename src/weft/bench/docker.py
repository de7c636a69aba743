"""`docker run` on a network of Weft's beside Docker's own bridges."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from weft.bench.attach import left_behind, leftovers
from weft.bench.host import WeftHost
from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results
from weft.lab.engine import IMAGE

_AT_ONCE = 8
_BRIDGE = "docker's bridge"
"""A network that was made, as Weft's are: Docker gives its containers a resolver of names."""
_DEFAULT_BRIDGE = "docker0, without names"
_WEFT = "weft"
_NETWORKS = {_BRIDGE: "bridged", _DEFAULT_BRIDGE: "bridge", _WEFT: "benchmark"}
_SERIAL = Figure(
    "docker_serial",
    "docker run --rm, one after the other (ms)",
    (Quantity("ms", "each"),),
)
_TOGETHER = Figure(
    "docker_8",
    f"docker run --rm, {_AT_ONCE} at a time (ms)",
    (Quantity("ms", "batch/8"), Quantity("slowest_ms", "slowest")),
)


def measure(plan: Plan, results: Results, weft: WeftHost) -> None:
    """Run `plan.attachments` containers each way on every network, then look for leftovers."""
    weft.host.engine.import_image()
    _docker(weft, "network", "create", "-d", "bridge", "--subnet=10.97.0.0/16", _NETWORKS[_BRIDGE])
    _docker(weft, "network", "create", "-d", "weft", "--subnet=10.98.0.0/16", _NETWORKS[_WEFT])
    for figure in (_SERIAL, _TOGETHER):
        results.announce(figure, _NETWORKS)
    for network in _NETWORKS.values():
        _run(weft, network)  # the first one pays for what is then there
    before = _everything(weft)
    for number in range(plan.attachments):
        if number % 20 == 0:
            plan.say(f"docker run: {number} of {plan.attachments}")
        for name, network in _NETWORKS.items():
            results.add(_SERIAL, name, {"ms": _run(weft, network)})
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in range(max(1, plan.attachments // _AT_ONCE)):
            for name, network in _NETWORKS.items():
                begin = time.perf_counter()
                each = list(pool.map(partial(_run, weft), [network] * _AT_ONCE))
                whole = (time.perf_counter() - begin) * 1e3
                results.add(_TOGETHER, name, {"ms": whole / _AT_ONCE, "slowest_ms": max(each)})
    left = left_behind(lambda: _everything(weft) - before)
    if left:
        results.remarks.append(f"docker run left behind: {', '.join(sorted(left))}")
    _docker(weft, "network", "rm", _NETWORKS[_WEFT], _NETWORKS[_BRIDGE])
    results.checks.extend(_checks(results, len(left)))


def _run(weft: WeftHost, network: str) -> float:
    begin = time.perf_counter()
    _docker(weft, "run", "--rm", "--net", network, IMAGE, "true")
    return (time.perf_counter() - begin) * 1e3


def _docker(weft: WeftHost, *arguments: str) -> str:
    return weft.host.run(["docker", *arguments], timeout_s=120)


def _everything(weft: WeftHost) -> set[str]:
    return leftovers(weft) | {f"container {id}" for id in weft.host.engine.containers()}


def _checks(results: Results, left: int) -> Iterator[Check]:
    for bridge in (_BRIDGE, _DEFAULT_BRIDGE):
        for figure, how in ((_SERIAL, "one after the other"), (_TOGETHER, f"{_AT_ONCE} at a time")):
            ratio = results.ratio(figure.key, _WEFT, bridge, "ms")
            yield Check(f"docker run, {how}, to {bridge}", ratio, 1.05, "at most")
    yield Check("left behind by docker run", left, 0, "at most")
