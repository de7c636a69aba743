"""A cluster grows: how long until a new host talks, and until all hosts reach a new port."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from weft.bench import pinger
from weft.bench.cluster import Cluster, lab_hosts
from weft.bench.host import WeftHost
from weft.bench.namespace import Namespace
from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results, Sample
from weft.errors import UnavailableError

_HOSTS = 3
_NETWORK = "grow"
_JOIN = Figure(
    "join",
    "A further host joins (s)",
    (
        Quantity("s", "to ping", 2),
        Quantity("up_s", "weft up", 2),
        Quantity("network_s", "network", 2),
    ),
    "to ping: from weft up until its workload was answered by one on the first host",
)
_REACH = Figure(
    "reach",
    "A new port answers the other hosts (ms)",
    (Quantity("ms", "slowest", 1), Quantity("fastest_ms", "fastest", 1)),
    "after attach has returned; each of the others pings every 2 ms",
)
_NEIGHBOURS = "/proc/sys/net/ipv4/neigh/eth0/retrans_time_ms"
_RETRY_MS = 5
_VARIANT = "weft"


def measure(plan: Plan, results: Results) -> None:
    """New ports on three hosts, then further hosts."""
    with (
        lab_hosts(plan.say, _HOSTS + plan.rounds, 1500) as lab,
        ExitStack() as stack,
    ):
        cluster = Cluster(lab)
        for number in range(_HOSTS):
            cluster.join(f"h{number + 1}")
        cluster.hosts[0].create_network(_NETWORK, "10.94.0.0/16")
        cluster.await_network(_NETWORK)
        places = [_Place(stack, host) for host in cluster.hosts]
        for number in range(plan.new_ports):
            if number % 20 == 0:
                plan.say(f"join: new port {number} of {plan.new_ports}")
            here = places[number % _HOSTS]
            others = [place for place in places if place is not here]
            results.add(_REACH, _VARIANT, _new_port(here.host, others))
        for number in range(plan.rounds):
            plan.say(f"join: new host {number + 1} of {plan.rounds}")
            name = f"h{_HOSTS + number + 1}"
            results.add(_JOIN, _VARIANT, _new_host(cluster, name, places[0].address))
    results.checks.extend(_checks(results))


class _Place:
    """A workload on a host, that says when an address first answers it."""

    def __init__(self, stack: ExitStack, host: WeftHost) -> None:
        """Its port goes with the lab."""
        self.host = host
        end = stack.enter_context(Namespace("watcher"))
        self.address = host.attach(end, _NETWORK).addresses[0]
        _ask_often(end)
        command = end.enter([sys.executable, "-m", pinger.__name__])
        pipe = subprocess.PIPE
        held = ["setpriv", "--pdeathsig", "KILL", *command]
        self._process = subprocess.Popen(held, stdin=pipe, stdout=pipe, text=True)
        stack.callback(self._close)
        if self._line() != pinger.READY:
            raise UnavailableError("the pinger does not start")

    def ask(self, address: str, since_s: float) -> None:
        """Begin to ping it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{address} {since_s}\n")
        self._process.stdin.flush()

    def answered_s(self) -> float:
        """Seconds from `since_s` until the first answer; UnavailableError: there was none."""
        took_s = float(self._line())
        if math.isinf(took_s):
            raise UnavailableError(f"no answer within {pinger.WITHIN_S:g} s")
        return took_s

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _close(self) -> None:
        self._process.kill()
        self._process.communicate()


def _new_port(host: WeftHost, others: Sequence[_Place]) -> Sample:
    with Namespace("workload") as end:
        address = host.attach(end, _NETWORK).addresses[0]
        attached_s = time.monotonic()
        for place in others:
            place.ask(address, attached_s)
        answered_s = [place.answered_s() for place in others]
        host.detach(end, _NETWORK)
    return {"ms": max(answered_s) * 1e3, "fastest_ms": min(answered_s) * 1e3}


def _new_host(cluster: Cluster, name: str, first: str) -> Sample:
    """The workload is there before; all else is not."""
    with Namespace("workload") as end:
        begin_s = time.monotonic()
        host = cluster.join(name)
        up_s = time.monotonic()
        cluster.await_network(_NETWORK)
        known_s = time.monotonic()
        host.attach(end, _NETWORK)
        _ask_often(end)
        end.run(["ping", "-c", "1", "-i", "0.01", "-w", "20", "-q", first])
        answered_s = time.monotonic()
        host.detach(end, _NETWORK)
    return {"s": answered_s - begin_s, "up_s": up_s - begin_s, "network_s": known_s - up_s}


def _ask_often(end: Namespace) -> None:
    """Who asks for a neighbour's MAC before its host knows it asks again after a second, and that
    would be all that is measured."""
    end.run(["sh", "-c", f"echo {_RETRY_MS} > {_NEIGHBOURS}"])


def _checks(results: Results) -> Iterator[Check]:
    joined_s = results.median(_JOIN.key, _VARIANT, "s")
    yield Check("a further host joins, to its first ping", joined_s, 2, "at most", "s")
    slowest_ms = results.median(_REACH.key, _VARIANT, "ms")
    yield Check("a new port answers all hosts", slowest_ms, 50, "at most", "ms")
    spread = results.spread(_REACH.key, _VARIANT, "ms")
    worst_ms = None if spread is None else spread.high
    yield Check("a new port answers all hosts, slowest", worst_ms, 50, "at most", "ms")
