"""How long until something that runs can talk: `weft attach` to the first answered ping."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from weft.api.schema import PortList
from weft.bench.host import WeftHost
from weft.bench.namespace import Namespace
from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results, Sample
from weft.lab.host import weft_command

_NETWORK = "attach"
_AT_ONCE = 8
_FIRST_PING = Quantity("ping_ms", "to ping", 2)
_API = Figure(
    "attach_api",
    "Attach by the API, one after the other (ms)",
    (Quantity("request_ms", "daemon", 2), _FIRST_PING),
    "daemon: the request as its client sees it; to ping: until the gateway answered",
)
_CLI = Figure(
    "attach_cli",
    "weft attach, one after the other (ms)",
    (Quantity("request_ms", "command", 2), _FIRST_PING),
)
_API_AT_ONCE = Figure(
    "attach_api_8",
    f"Attach by the API, {_AT_ONCE} at a time (ms)",
    (Quantity("request_ms", "daemon", 2), _FIRST_PING),
)
_DETACH = Figure("detach_api", "Detach by the API (ms)", (Quantity("request_ms", "daemon", 2),))
_VARIANT = "weft"
_REMOVED_WITHIN_S = 10.0

Attach = Callable[[Namespace], None]


def measure(plan: Plan, results: Results, weft: WeftHost) -> None:
    """Attach and detach `plan.attachments` times each way, then look for leftovers."""
    gateway = str(weft.create_network(_NETWORK, "10.99.0.0/16").subnets[0].gateway)
    before = leftovers(weft)
    by_api: Attach = partial(_attach_by_api, weft)
    by_cli: Attach = partial(_attach_by_cli, weft)
    for number in range(plan.attachments):
        if number % 20 == 0:
            plan.say(f"attach: {number} of {plan.attachments}")
        results.add(_API, _VARIANT, _once(weft, by_api, gateway, results))
        results.add(_CLI, _VARIANT, _once(weft, by_cli, gateway, results))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        once = [pool.submit(_once, weft, by_api, gateway, results) for _ in range(plan.attachments)]
        for one in once:
            results.add(_API_AT_ONCE, _VARIANT, one.result())
    left = left_behind(lambda: leftovers(weft) - before)
    if left:
        results.remarks.append(f"attach left behind: {', '.join(sorted(left))}")
    weft.api.delete("networks", _NETWORK)
    results.checks.extend(_checks(results, len(left)))


def _attach_by_api(weft: WeftHost, end: Namespace) -> None:
    weft.attach(end, _NETWORK)


def _attach_by_cli(weft: WeftHost, end: Namespace) -> None:
    weft.host.run([*weft_command(), "attach", str(end.pid), _NETWORK])


def left_behind(look: Callable[[], set[str]]) -> set[str]:
    """What `look` still finds once the kernel had time to remove what is on its way out."""
    deadline_s = time.monotonic() + _REMOVED_WITHIN_S
    while (left := look()) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return left


def leftovers(weft: WeftHost) -> set[str]:
    """Names of everything that attaching makes on a host."""
    links = weft.host.run(["ip", "-brief", "link"]).splitlines()
    routes = weft.host.run(["ip", "route", "show", "table", "all"]).splitlines()
    ports = weft.api.get(PortList, "ports").ports
    return {
        *(f"link {line.split()[0].partition('@')[0]}" for line in links),
        *(f"route {line}" for line in routes if " dev weft" in line),
        *(f"port {port.id}" for port in ports),
    }


def _once(weft: WeftHost, attach: Attach, gateway: str, results: Results) -> Sample:
    with Namespace("workload") as end:
        begin = time.perf_counter()
        attach(end)
        attached = time.perf_counter()
        end.run(["ping", "-c", "1", "-W", "1", "-w", "5", "-q", gateway])
        answered = time.perf_counter()
        weft.detach(end, _NETWORK)
        detached = time.perf_counter()
        results.add(_DETACH, _VARIANT, {"request_ms": (detached - answered) * 1e3})
    return {"request_ms": (attached - begin) * 1e3, "ping_ms": (answered - begin) * 1e3}


def _checks(results: Results, left: int) -> Iterator[Check]:
    p50 = results.median(_API.key, _VARIANT, "request_ms")
    yield Check("the daemon's part of an attach, p50", p50, 5, "at most", "ms")
    yield Check("left behind by attaching", left, 0, "at most")
