"""weftd itself: memory, idle CPU, start, a restart with many ports, programming of maps."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from weft.bench.host import WeftHost
from weft.bench.namespace import Namespace
from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results
from weft.errors import UnavailableError
from weft.kernel.bpf.layouts import AddressKey, Endpoint
from weft.kernel.bpf.maps import BpfMap
from weft.lab.command import run

_MEMORY = Quantity("rss_mb", "RSS MB", 1)
_IDLE = Figure(
    "weftd_idle", "weftd with nothing to do", (Quantity("cpu", "% of a CPU", 2, 100), _MEMORY)
)
_START = Figure("weftd_start", "weftd from its start to ready (s)", (Quantity("s", "seconds", 2),))
_RESTORE = Figure(
    "weftd_restore",
    "weftd from its start to ready, many ports there (s)",
    (Quantity("s", "seconds", 2), Quantity("ports", "ports"), _MEMORY),
    "killed before; the ports' devices and the maps are still there, and go on forwarding",
)
_MAPS = Figure("map_entries", "Map entries written a second", (Quantity("rate", "per s"),))
_VARIANT = "weftd"
_ENCODED, _TO_ENCODE = "encoded", "with encoding"
_MAP_ENTRIES = 100_000
_READY_WITHIN_S = 120.0
_IDLE_S = 65.0
"""Two periodic looks at the kernel and a little more."""
_BPFFS = Path("/sys/fs/bpf")


def measure(plan: Plan, results: Results, weft: WeftHost) -> None:
    """All of it; the many ports come last and go with the host."""
    for number in range(plan.rounds):
        plan.say(f"weftd: start {number + 1} of {plan.rounds}")
        results.add(_START, _VARIANT, {"s": restart(weft)})
    plan.say("weftd: idle")
    results.add(_IDLE, _VARIANT, idle(weft.pid, 1.0 if plan.is_quick else _IDLE_S))
    try:
        with _scratch_map() as scratch:
            for _ in range(plan.rounds):
                _program(scratch, results)
    except UnavailableError as error:
        results.skipped["map programming"] = str(error)
    with _many_ports(plan, weft) as count:
        for number in range(1 if plan.is_quick else 3):
            plan.say(f"weftd: restart {number + 1} with {count} ports")
            sample = {"s": restart(weft), "ports": count, "rss_mb": resident_mb(weft.pid)}
            results.add(_RESTORE, _VARIANT, sample)
        plan.say("weftd: idle with many ports")
        sample = idle(weft.pid, 1.0 if plan.is_quick else _IDLE_S)
        results.add(_IDLE, f"{count} ports", sample)
        plan.say(f"weftd: detaching {count} ports")
    results.checks.extend(_checks(results))


def restart(weft: WeftHost) -> float:
    """Kill weftd if it runs and start it; seconds from its start until it is ready."""
    weft.host.kill_weftd()
    weftd = [str(weft.host.environment["PATH"].partition(":")[0] + "/weftd")]
    weft.host.weftd_log.parent.mkdir(parents=True, exist_ok=True)
    log = weft.host.weftd_log.open("ab")
    with log:
        begin = time.perf_counter()
        subprocess.Popen(
            [*weft.host.enter, *weftd],
            env=weft.host.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        while not weft.is_ready():
            if time.perf_counter() - begin > _READY_WITHIN_S:
                raise UnavailableError(f"weftd is not ready; see {weft.host.weftd_log}")
            time.sleep(0.005)
        return time.perf_counter() - begin


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in 10**6 bytes, what it shares included."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has spent."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(pid: int, duration_s: float) -> dict[str, float]:
    """What a process spends when nobody asks anything of it: the share of a CPU, and memory."""
    begin = cpu_seconds(pid)
    time.sleep(duration_s)
    return {"cpu": (cpu_seconds(pid) - begin) / duration_s, "rss_mb": resident_mb(pid)}


@contextmanager
def _scratch_map() -> Iterator[BpfMap]:
    """A map like the one of addresses, that no program reads."""
    path = _BPFFS / f"weft-bench-{os.getpid()}"
    sizes = ["key", str(len(AddressKey().encode())), "value", str(len(Endpoint().encode()))]
    entries = ["entries", str(_MAP_ENTRIES), "name", "scratch", "flags", "1"]  # BPF_F_NO_PREALLOC
    run(["bpftool", "map", "create", str(path), "type", "hash", *sizes, *entries])
    try:
        with BpfMap.open(path) as scratch:
            yield scratch
    finally:
        path.unlink()


def _program(scratch: BpfMap, results: Results) -> None:
    entries = [
        (
            AddressKey(vni, secrets.token_bytes(16)),
            Endpoint(ifindex=vni, mac=secrets.token_bytes(6)),
        )
        for vni in range(1, _MAP_ENTRIES + 1)
    ]
    begin = time.perf_counter()
    encoded = {key.encode(): value.encode() for key, value in entries}
    ready = time.perf_counter()
    failures = scratch.update(encoded)
    end = time.perf_counter()
    scratch.delete(encoded)
    if failures:
        raise UnavailableError(f"{len(failures)} entries were refused")
    results.add(_MAPS, _ENCODED, {"rate": _MAP_ENTRIES / (end - ready)})
    results.add(_MAPS, _TO_ENCODE, {"rate": _MAP_ENTRIES / (end - begin)})


@contextmanager
def _many_ports(plan: Plan, weft: WeftHost) -> Iterator[int]:
    """So many workloads, on so many networks each, that it is `plan.many_ports` ports."""
    side = int(plan.many_ports**0.5)
    networks = [f"many{number}" for number in range(side)]
    for number, name in enumerate(networks):
        weft.create_network(name, f"10.97.{number}.0/24")
    with ExitStack() as stack:
        ends = [stack.enter_context(Namespace(f"many{number}")) for number in range(side)]

        def attach(end: Namespace) -> None:
            for name in networks:
                weft.attach(end, name)

        with ThreadPoolExecutor(4) as pool:
            for number, _ in enumerate(pool.map(attach, ends)):
                if number % 10 == 0:
                    plan.say(f"weftd: attached {number * side} of {side * side} ports")
        yield side * side


def _checks(results: Results) -> Iterator[Check]:
    def of(figure: Figure, variant: str = _VARIANT) -> float | None:
        return results.median(figure.key, variant, figure.quantities[0].key)

    memory = results.median(_IDLE.key, _VARIANT, _MEMORY.key)
    share = of(_IDLE)
    yield Check("weftd, resident memory", memory, 60, "at most", "MB")
    yield Check(
        "weftd, idle, share of a CPU", None if share is None else share * 100, 0.5, "at most", "%"
    )
    yield Check("weftd, start to ready", of(_START), 1, "at most", "s")
    ports = results.median(_RESTORE.key, _VARIANT, "ports")
    yield Check(f"weftd, {ports or 0:.0f} ports restored", of(_RESTORE), 3, "at most", "s")
    yield Check("map entries written a second", of(_MAPS, _ENCODED), 1e6)
