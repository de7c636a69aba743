"""One measurement of one pair: streams by iperf3, small messages by `traffic.c`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from weft.bench import cpu
from weft.bench.namespace import Namespace
from weft.bench.topology import Pair
from weft.errors import UnavailableError
from weft.lab.command import run

Sample = dict[str, float]
"""Names of what was measured, and its values."""

_PORT = "5201"
ECHO_PORT = 5202
_SLOWEST = 2000
"""Packets a second, on a machine that does something else as well."""
_SHORT = "16M"
_SOURCE = Path(__file__).with_name("traffic.c")
ONE_CPU = (0, 0)
TWO_CPUS = (0, (os.cpu_count() or 1) - 1)
FREE: tuple[int, int] | None = None


class Traffic:
    """The load generator, compiled."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("clang")
        if compiler is None:
            raise UnavailableError("no C compiler for the load generator; run make setup")
        self._program = folder / "traffic"
        run([compiler, "-O2", "-o", str(self._program), str(_SOURCE)])

    def command(self, *arguments: str) -> list[str]:
        """How to run it."""
        return [str(self._program), *arguments]

    def round_trips(self, pair: Pair, duration_s: float, cpus: tuple[int, int] | None) -> Sample:
        """One byte there and back: rate, p50_us, p99_us."""
        return self._answered(pair, "rr", duration_s, cpus)

    def connects(self, pair: Pair, duration_s: float, cpus: tuple[int, int] | None) -> Sample:
        """Connect, one byte there and back, abort: rate, p50_us, p99_us."""
        return self._answered(pair, "connect", duration_s, cpus)

    def packets(self, pair: Pair, duration_s: float, cpus: tuple[int, int] | None) -> Sample:
        """64-byte UDP packets: rate that arrived, and the share that was lost."""
        server_cpu, client_cpu = cpus or (None, None)
        command = self.command("sink", pair.address, _PORT)
        with _server(pair.server, command, server_cpu) as server:
            client = self.command("flood", pair.address, _PORT, str(duration_s))
            sent = _result(pair.client, client, client_cpu, duration_s)
            output, _ = server.communicate(timeout=10)
        received: Sample = json.loads(output)
        return {
            "rate": received["rate"],
            "lost": 1 - received["packets"] / max(1.0, sent["packets"]),
        }

    def flows(
        self, pair: Pair, duration_s: float, cpus: tuple[int, int] | None, flows: int
    ) -> Sample:
        """The same over so many connections in turn."""
        server_cpu, client_cpu = cpus or (None, None)
        with _server(pair.server, self.command("sink", pair.address, _PORT), server_cpu) as server:
            sent = self.flood(pair, duration_s, flows, client_cpu)
            output, _ = server.communicate(timeout=10)
        received: Sample = json.loads(output)
        lost = 1 - received["packets"] / max(1.0, sent["packets"])
        return {"rate": received["rate"], "lost": lost}

    def flood(self, pair: Pair, duration_s: float, flows: int, on_cpu: int | None = None) -> Sample:
        """Send of so many connections in turn, of each once at least, whoever listens: packets, and
        their rate."""
        command = self.command("floods", pair.address, _PORT, str(duration_s), str(flows))
        return _result(pair.client, command, on_cpu, duration_s + flows / _SLOWEST)

    def echo(self, pair: Pair) -> AbstractContextManager[subprocess.Popen[str]]:
        """The server answers each byte of one connection after the other, on `ECHO_PORT`."""
        return _server(pair.server, self.command("echo", pair.address, str(ECHO_PORT)), None)

    def reflector(
        self, pair: Pair, on_cpu: int | None = None
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        """Whatever UDP packet arrives at the server goes back."""
        return _server(pair.server, self.command("reflect", pair.address, _PORT), on_cpu)

    def _answered(
        self, pair: Pair, mode: str, duration_s: float, cpus: tuple[int, int] | None
    ) -> Sample:
        server_cpu, client_cpu = cpus or (None, None)
        with _server(pair.server, self.command("echo", pair.address, _PORT), server_cpu):
            client = self.command(mode, pair.address, _PORT, str(duration_s))
            return _result(pair.client, client, client_cpu, duration_s)


def stream(
    pair: Pair, duration_s: float, streams: int, congestion_control: str, idle: float
) -> Sample:
    """TCP bulk by iperf3: gbit_s, cpu_s_per_gb (whole machine), mss_bytes, retransmits.

    `idle` is the machine's own CPU use (`cpu.idle_rate`). iperf3 knows whole seconds alone, so a
    shorter stream is of so many bytes instead.
    """
    with _server(
        pair.server, ["iperf3", "--server", "--one-off", "--forceflush"], None, "listening"
    ):
        is_short = duration_s < 1
        command = ["iperf3", "--client", pair.address, "--json"]
        command += ["--bytes", _SHORT] if is_short else ["--time", str(round(duration_s))]
        command += ["--parallel", str(streams), "--congestion", congestion_control]
        begin = cpu.Busy.now()
        report: Any = json.loads(run(pair.client.enter(command), timeout_s=duration_s + 20))
        end = cpu.Busy.now()
    if "error" in report:
        raise UnavailableError(f"iperf3: {report['error']}")
    received = report["end"]["sum_received"]
    return {
        "gbit_s": received["bits_per_second"] / 1e9,
        "cpu_s_per_gb": cpu.spent(begin, end, idle) / (received["bytes"] / 1e9),
        "mss_bytes": report["start"]["tcp_mss_default"],
        "retransmits": report["end"]["sum_sent"]["retransmits"],
    }


@contextmanager
def _server(
    where: Namespace, command: Sequence[str], on_cpu: int | None, ready: str = "ready"
) -> Iterator[subprocess.Popen[str]]:
    """Run a server until the end of the block; it listens when the block begins."""
    held = ["setpriv", "--pdeathsig", "KILL", *where.enter(_pinned(command, on_cpu))]
    server = subprocess.Popen(held, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        for line in server.stdout:
            if ready in line:
                break
        else:
            raise UnavailableError(f"{command[0]}: did not start to listen")
        yield server
    finally:
        server.kill()
        server.communicate()


def _result(
    where: Namespace, command: Sequence[str], on_cpu: int | None, duration_s: float
) -> Sample:
    output = run(where.enter(_pinned(command, on_cpu)), timeout_s=duration_s + 20)
    sample: Sample = json.loads(output)
    return sample


def _pinned(command: Sequence[str], on_cpu: int | None) -> list[str]:
    return list(command) if on_cpu is None else ["taskset", "--cpu-list", str(on_cpu), *command]
