"""What a reader must know of the machine to judge the figures."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import weft
from weft.bench.results import Results

_BUSY = 0.10


def describe(mtu_bytes: int) -> dict[str, str]:
    """The machine, its kernel and the terms of the comparison."""
    control = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return {
        "title": f"weft {weft.__version__}, {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC",
        "kernel": platform.release(),
        "cpus": f"{os.cpu_count()} x {_model()}",
        "mtu": f"{mtu_bytes} everywhere; the machine's own congestion control is {control}",
    }


def warn_if_busy(results: Results) -> None:
    """Other work on the machine makes every figure worse; say so."""
    idle = results.spread("idle", "machine", "share")
    if idle is not None and idle.median > _BUSY:
        results.remarks.append(
            f"The machine was not idle: others used {idle.median:.2f} CPUs (up to {idle.high:.2f})."
        )


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
