"""Datagrams and connections that go on while something happens, and claims about them.

Clients send numbered datagrams to servers all the time, on ports of which some are always allowed,
some never, and some from one moment to another; and each holds connections. All clocks are this
machine's one. Servers note what gets to them and answer; in the end `Claims` compares that with
what was allowed when.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.system.workload import PATIENCE, Workload

INTERVAL_S = 0.05 * PATIENCE
GRACE_S = 1.0 * PATIENCE
"""For the answer to a datagram."""
HELD = 80
"""The port of the connections that are held."""


class Flow(NamedTuple):
    """Datagrams of one kind."""

    client: str
    server: str
    """Address."""
    port: int


class Seen(NamedTuple):
    """What became of one datagram."""

    sent_s: float
    got_s: float | None
    """By the server; None: never."""
    answered_s: float | None


class Connection(NamedTuple):
    """One that was held."""

    client: str
    server: str
    longest_s: float
    """Between a byte and its echo."""
    error: str
    """Why it ended before its time; empty: it did not."""


class Load:
    """Servers, and clients that send to them until `end`."""

    def __init__(
        self, servers: Sequence[Workload], clients: Sequence[Workload], ports: Iterable[int]
    ) -> None:
        """The first port is the one of connections, which all clients that `holds` names hold."""
        self._ports = [str(each) for each in ports]
        self._servers = [_started(each, _SERVE, *self._ports) for each in servers]
        self._clients: dict[str, subprocess.Popen[str]] = {}
        self._addresses = [a for each in servers for a in (each.address4, each.address6)]
        self._all = list(clients)

    def begin(self, holding: Iterable[Workload]) -> None:
        """`holding`: those that hold connections as well, which must be allowed by now."""
        held = {each.name for each in holding}
        for each in self._all:
            words = (each.name, str(int(each.name in held)), f"{INTERVAL_S:g}", *self._addresses)
            self._clients[each.name] = _started(each, _SEND, ",".join(self._ports), *words)

    def end(self) -> tuple[dict[Flow, list[Seen]], list[Connection]]:
        """What became of everything."""
        flows: dict[Flow, list[Seen]] = {}
        connections = []
        told = {name: _told(child) for name, child in self._clients.items()}
        got: dict[tuple[str, str, int, int], float] = {}
        for child in self._servers:
            for client, server, port, number, at in _told(child)["got"]:
                got[client, server, port, number] = at
        for client, answer in told.items():
            for server, port, number, sent, answered in answer["sent"]:
                seen = Seen(sent, got.get((client, server, port, number)), answered)
                flows.setdefault(Flow(client, server, port), []).append(seen)
            connections += [Connection(client, *each) for each in answer["held"]]
        return flows, connections


class Claim(NamedTuple):
    """Of what is sent from `since_s` on, until `until_s`."""

    passes: bool
    clients: frozenset[str]
    servers: frozenset[str]
    ports: frozenset[int]
    since_s: float
    until_s: float
    why: str


class Claims:
    """What was allowed when."""

    def __init__(self) -> None:
        self._claims: list[Claim] = []

    @contextmanager
    def while_so(
        self,
        why: str,
        clients: Iterable[Workload],
        servers: Iterable[Workload],
        *ports: int,
        passes: bool,
    ) -> Iterator[None]:
        """As long as this goes on, all of these datagrams pass, or none does."""
        since_s = time.monotonic()
        yield
        self._claims.append(
            Claim(
                passes,
                frozenset(each.name for each in clients),
                frozenset(a for each in servers for a in (each.address4, each.address6)),
                frozenset(ports),
                since_s,
                time.monotonic(),
                why,
            )
        )

    def lengthen(self, seconds: float) -> None:
        """Let all of them hold for so much longer."""
        self._claims = [each._replace(until_s=each.until_s + seconds) for each in self._claims]

    def check(self, flows: dict[Flow, list[Seen]], least: int = 3) -> None:
        """All of them hold, and each is about `least` datagrams of a flow at least."""
        for claim in self._claims:
            checked = 0
            for flow, seen in flows.items():
                if not (
                    flow.client in claim.clients
                    and flow.server in claim.servers
                    and flow.port in claim.ports
                ):
                    continue
                until_s = claim.until_s - (GRACE_S if claim.passes else 0)
                within = [each for each in seen if claim.since_s <= each.sent_s < until_s]
                if claim.passes:
                    wrong = [each for each in within if each.answered_s is None]
                else:
                    wrong = [
                        each
                        for each in within
                        if each.got_s is not None and each.got_s < claim.until_s
                    ]
                assert not wrong, (claim.why, flow, claim.since_s, claim.until_s, wrong[:3])
                checked = max(checked, len(within))
            assert checked >= least, (claim.why, checked)


def _started(workload: Workload, script: str, *words: str) -> subprocess.Popen[str]:
    child = workload.start(sys.executable, "-c", script, *words, stdin=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n", workload.name
    return child


def _told(child: subprocess.Popen[str]) -> dict[str, list[list[Any]]]:
    out, _ = child.communicate("end\n", timeout=30 * PATIENCE)
    found: dict[str, list[list[Any]]] = json.loads(out)
    return found


_SERVE = """
import json, select, socket, struct, sys, time
udp, tcp, got = {}, {}, []
for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for port in map(int, sys.argv[1:]):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            one = socket.socket(family, kind)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((host, port))
            if kind == socket.SOCK_STREAM:
                one.listen(64)
                tcp[one] = port
            else:
                udp[one] = port
streams = set()
print("ready", flush=True)
while True:
    ready = select.select([*udp, *tcp, *streams, sys.stdin], [], [])[0]
    now = time.monotonic()
    for one in ready:
        if one in udp:
            data, source = one.recvfrom(2048)
            client, server, number = data.decode().split(" ")
            got.append([client, server, udp[one], int(number), now])
            one.sendto(data, source)
        elif one in tcp:
            streams.add(one.accept()[0])
        elif one is not sys.stdin:
            try:
                data = one.recv(4096)
                one.sendall(data)
            except OSError:
                data = b""
            if not data:
                streams.discard(one)
                one.close()
    if sys.stdin in ready:
        break
print(json.dumps({"got": got}))
"""
_SEND = """
import json, select, socket, sys, time
ports, name, holds, interval, *addresses = sys.argv[1:]
ports, holds, interval = ports.split(","), int(holds), float(interval)
flows, sent, held = {}, {}, []
for address in addresses:
    for port in map(int, ports):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        one = socket.socket(family, socket.SOCK_DGRAM)
        one.setblocking(False)
        flows[one] = (address, port)
if holds:
    for address in addresses:
        one = socket.create_connection((address, int(ports[0])), 10)
        one.setblocking(False)
        held.append([one, address, 0.0, "", None])
print("ready", flush=True)
number, next_s, ends_s = 0, time.monotonic(), None
while ends_s is None or time.monotonic() < ends_s:
    now = time.monotonic()
    if ends_s is None and now >= next_s:
        next_s = now + interval
        number += 1
        for one, (address, port) in flows.items():
            sent[address, port, number] = [address, port, number, time.monotonic(), None]
            try:
                one.sendto(f"{name} {address} {number}".encode(), (address, port))
            except OSError:
                pass  # told that it may not: it stays without an answer
        for each in held:
            if each[4] is None and not each[3]:
                try:
                    each[0].send(b"x")
                    each[4] = now
                except OSError as error:
                    each[3] = str(error)
    alive = [each[0] for each in held if not each[3]]
    until = ends_s if ends_s is not None else next_s
    watched = [*flows, *alive] + ([sys.stdin] if ends_s is None else [])
    ready = select.select(watched, [], [], max(0.0, until - time.monotonic()))[0]
    now = time.monotonic()
    for one in ready:
        if one in flows:
            try:
                data = one.recv(2048).decode()
            except OSError:
                continue
            sent[flows[one] + (int(data.split(" ")[2]),)][4] = now
    for each in held:
        if each[0] in ready and not each[3]:
            try:
                data = each[0].recv(16)
                if not data:
                    each[3] = "closed"
                elif each[4] is not None:
                    each[2], each[4] = max(each[2], now - each[4]), None
            except OSError as error:
                each[3] = str(error)
    if sys.stdin in ready:
        ends_s = now + 1.5
for each in held:
    if each[4] is not None and not each[3]:
        each[2] = max(each[2], time.monotonic() - each[4])
print(json.dumps({"sent": list(sent.values()), "held": [each[1:4] for each in held]}))
"""
