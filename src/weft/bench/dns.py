"""Weft's DNS beside dnsmasq: one name, asked again and again, sixteen questions under way."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from weft.bench import topology
from weft.bench.host import NETWORK_MTU_BYTES, WeftHost
from weft.bench.namespace import Namespace
from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results, Sample
from weft.bench.traffic import Traffic
from weft.errors import UnavailableError
from weft.lab.command import run

_NETWORK = "names"
_NAME = f"web.{_NETWORK}.weft.internal"
_ADDRESS = "10.96.0.10"
_DNSMASQ, _WEFT = "dnsmasq", "weft"
_FIGURE = Figure(
    "dns",
    "DNS, A queries for one name",
    (Quantity("rate", "per s"), Quantity("p50_us", "p50 us"), Quantity("p99_us", "p99 us")),
    "dnsmasq answers over a veth pair; Weft through its packet path, as containers ask it",
)


def measure(plan: Plan, results: Results, weft: WeftHost) -> None:
    """Both servers, interleaved."""
    load = Traffic(plan.folder)
    results.announce(_FIGURE, (_DNSMASQ, _WEFT))
    gateway = str(weft.create_network(_NETWORK, "10.96.0.0/16").subnets[0].gateway)
    weft.host.run(["weft", "dns", "add", "web", _NETWORK, _ADDRESS])
    with topology.raw_veth(NETWORK_MTU_BYTES) as pair, Namespace("asker") as asker:
        weft.attach(asker, _NETWORK)
        with _dnsmasq(pair.server, pair.address):
            for number in range(plan.rounds):
                plan.say(f"dns: round {number + 1} of {plan.rounds}")
                for name, where, server in (
                    (_DNSMASQ, pair.client, pair.address),
                    (_WEFT, asker, gateway),
                ):
                    results.add(_FIGURE, name, _ask(load, plan, where, server))
        weft.detach(asker, _NETWORK)
    ratio = results.ratio(_FIGURE.key, _WEFT, _DNSMASQ, "rate")
    results.checks.append(Check("DNS queries a second, to dnsmasq", ratio, 0.3))


def _ask(load: Traffic, plan: Plan, where: Namespace, server: str) -> Sample:
    command = load.command("dns", server, "53", str(plan.seconds), _NAME)
    sample: Sample = json.loads(where.run(command, timeout_s=plan.seconds + 20))
    return sample


@contextmanager
def _dnsmasq(where: Namespace, address: str) -> Iterator[None]:
    command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv"]
    command += ["--no-hosts", f"--host-record={_NAME},{_ADDRESS}", f"--listen-address={address}"]
    command += ["--bind-interfaces", "--user=root", "--pid-file"]
    held = ["setpriv", "--pdeathsig", "KILL", *where.enter(command)]
    server = subprocess.Popen(held, stderr=subprocess.DEVNULL)
    try:
        run(where.enter(["dig", "+tries=5", "+time=1", f"@{address}", _NAME]))
        if server.poll() is not None:
            raise UnavailableError("dnsmasq does not run; is it installed?")
        yield
    finally:
        server.terminate()
        server.wait(timeout=10)
