"""How soon a change of the rules is in force on all hosts of a cluster.

On each of three hosts one workload is sent a small packet every millisecond, on one connection
that stands: by another workload of the host, or by one of the first host. A rule lets them through,
or is taken away, or the sender becomes a member of the group that a rule names, or ceases to be,
all on the first host; what counts is when the first packet arrives, and when the last one did, on
each host, from the moment in which the API was asked.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from weft.api.schema import PortInfo
from weft.api.schema.groups import GroupInfo, GroupList, RuleInfo, RuleRequest
from weft.bench.cluster import JOINED_WITHIN_S, weft_cluster
from weft.bench.host import WeftHost
from weft.bench.namespace import Namespace
from weft.bench.plan import Plan
from weft.bench.results import Check, Figure, Quantity, Results, Sample
from weft.control.group_specs import GroupSpec
from weft.control.specs import PortChanges
from weft.errors import UnavailableError
from weft.kernel import netns
from weft.lab.processes import wait_until

_HOSTS = 3
_NETWORK, _GROUP, _FRIENDS = "effect", "effect", "friends"
_PORT, _PORT_OF_FRIENDS = 7000, 7001
_EVERY_S = 0.001
_SILENCE_S = 0.2
"""Without a packet on a host: there it is in force."""
_WITHIN_S = 5.0
_ALLOW = f"allow ingress udp {_PORT} from any"
_ALLOW_FRIENDS = f"allow ingress udp {_PORT_OF_FRIENDS} from group:{_FRIENDS}"
_EFFECT = Figure(
    "groups_effect",
    "A change of the rules is in force on all of 3 hosts (ms)",
    (
        Quantity("ms", "last host", 1),
        Quantity("first_ms", "first", 1),
        Quantity("api_ms", "API", 1),
    ),
    "from the API's being asked; a packet a millisecond on each host shows it",
)
LET, REFUSED = "let through", "refused"
JOINS, LEAVES = "joins", "leaves"


class Probe:
    """Two workloads: one sends packets to the other, and says when they arrived."""

    def __init__(self, stack: ExitStack, host: WeftHost, client: Namespace, port: int) -> None:
        """The one that is sent to is a new one on the host. Its port goes with the lab."""
        server = stack.enter_context(Namespace("server"))
        address = host.attach(server, _NETWORK, groups=(_GROUP,)).addresses[0]
        self.receiver = _socket(stack, server)
        self.receiver.bind((address, port))
        self.receiver.setblocking(False)
        self._sender = _socket(stack, client)
        self._sender.connect((address, port))
        self.arrived_s: list[float] = []

    def send(self) -> None:
        """One packet; of one that cannot be sent nothing arrives."""
        try:
            self._sender.send(b"w")
        except OSError as error:
            raise UnavailableError(f"no packet could be sent: {error}") from error

    def take(self) -> None:
        """Note that something has arrived, now."""
        while True:
            try:
                self.receiver.recv(16)
            except BlockingIOError:
                return
            self.arrived_s.append(time.monotonic())


def _socket(stack: ExitStack, where: Namespace) -> socket.socket:
    with netns.entered(netns.path_of(where.pid)):
        return stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))


def measure(plan: Plan, results: Results) -> None:
    """`plan.policy_changes` of each kind."""
    with weft_cluster(plan.say, _HOSTS) as cluster, ExitStack() as stack:
        first = cluster.hosts[0]
        first.create_network(_NETWORK, "10.93.0.0/16")
        cluster.await_network(_NETWORK)
        for spec in (GroupSpec(name=_FRIENDS), GroupSpec(name=_GROUP, denied=("ingress",))):
            first.api.send(GroupInfo, "POST", "groups", body=spec)
        for host in cluster.hosts:
            _await_group(host)
        pool = stack.enter_context(ThreadPoolExecutor(1))
        _measure_rules(plan, results, stack, pool, cluster.hosts)
        _measure_members(plan, results, stack, pool, cluster.hosts)


def _measure_rules(
    plan: Plan,
    results: Results,
    stack: ExitStack,
    pool: ThreadPoolExecutor,
    hosts: Sequence[WeftHost],
) -> None:
    """Of the group of those who are sent to."""
    probes = []
    for host in hosts:
        client = stack.enter_context(Namespace("client"))
        host.attach(client, _NETWORK)
        probes.append(Probe(stack, host, client, _PORT))
    api = hosts[0].api

    def allow() -> None:
        body = RuleRequest(rule=_ALLOW)
        api.send(RuleInfo, "POST", "groups", _GROUP, "rules", body=body)

    def refuse() -> None:
        api.delete("groups", _GROUP, "rules", _ALLOW)

    for number in range(plan.policy_changes):
        if number % 20 == 0:
            plan.say(f"groups: change of the rules {number} of {plan.policy_changes}")
        results.add(_EFFECT, LET, _one(pool, probes, allow, is_let=True))
        results.add(_EFFECT, REFUSED, _one(pool, probes, refuse, is_let=False))


def _measure_members(
    plan: Plan,
    results: Results,
    stack: ExitStack,
    pool: ThreadPoolExecutor,
    hosts: Sequence[WeftHost],
) -> None:
    """Of a group that a rule names: the sender, on the first host, joins and leaves it."""
    api = hosts[0].api
    sender = stack.enter_context(Namespace("friend"))
    id = hosts[0].attach(sender, _NETWORK).id
    probes = [Probe(stack, host, sender, _PORT_OF_FRIENDS) for host in hosts]
    body = RuleRequest(rule=_ALLOW_FRIENDS)
    api.send(RuleInfo, "POST", "groups", _GROUP, "rules", body=body)

    def join() -> None:
        api.send(PortInfo, "PATCH", "ports", id, body=PortChanges(groups=(_FRIENDS,)))

    def leave() -> None:
        api.send(PortInfo, "PATCH", "ports", id, body=PortChanges(groups=()))

    for number in range(plan.policy_changes):
        if number % 20 == 0:
            plan.say(f"groups: change of a member {number} of {plan.policy_changes}")
        results.add(_EFFECT, JOINS, _one(pool, probes, join, is_let=True))
        results.add(_EFFECT, LEAVES, _one(pool, probes, leave, is_let=False))


def _await_group(host: WeftHost) -> None:
    def is_known() -> bool:
        found = host.api.get(GroupList, "groups").groups
        return any(group.name == _GROUP for group in found)

    wait_until(f"{host.host.name} knows group {_GROUP}", is_known, JOINED_WITHIN_S)


def _one(
    pool: ThreadPoolExecutor,
    probes: Sequence[Probe],
    change: Callable[[], None],
    *,
    is_let: bool,
) -> Sample:
    for probe in probes:
        probe.take()
        probe.arrived_s.clear()
    begin_s = time.monotonic()
    asked = pool.submit(_timed, change)

    def is_through() -> bool:
        if not asked.done():
            return False
        now_s = time.monotonic()
        if is_let:
            return all(probe.arrived_s for probe in probes)
        last_s = max((probe.arrived_s[-1] for probe in probes if probe.arrived_s), default=begin_s)
        return now_s - max(last_s, begin_s) > _SILENCE_S

    _pulse(probes, is_through, begin_s + _WITHIN_S)
    took_s = [_effect_s(probe, begin_s, is_let=is_let) for probe in probes]
    return {
        "ms": max(took_s) * 1e3,
        "first_ms": min(took_s) * 1e3,
        "api_ms": asked.result() * 1e3,
    }


def _effect_s(probe: Probe, begin_s: float, *, is_let: bool) -> float:
    """To the first packet that arrived, or to the first that did not any more."""
    since = [each for each in probe.arrived_s if each >= begin_s]
    if is_let:
        if not since:
            raise UnavailableError(f"no packet arrived within {_WITHIN_S:g} s")
        return since[0] - begin_s
    return since[-1] + _EVERY_S - begin_s if since else 0.0


def _timed(change: Callable[[], None]) -> float:
    begin_s = time.monotonic()
    change()
    return time.monotonic() - begin_s


def _pulse(probes: Sequence[Probe], is_over: Callable[[], bool], until_s: float) -> None:
    """Send on all hosts, and take what arrives, until it is over; UnavailableError: never."""
    by_socket = {probe.receiver: probe for probe in probes}
    due_s = time.monotonic()
    while not is_over():
        now_s = time.monotonic()
        if now_s >= until_s:
            raise UnavailableError(f"not in force within {_WITHIN_S:g} s")
        if now_s >= due_s:
            for probe in probes:
                probe.send()
            due_s = max(due_s + _EVERY_S, now_s)
        ready, _, _ = select.select(list(by_socket), [], [], max(0.0, due_s - time.monotonic()))
        for each in ready:
            by_socket[each].take()


def checks(results: Results) -> Iterator[Check]:
    """Of rules and of members the median, and the slowest but one in a hundred, of both ways."""
    for what, ways in (("rules", (LET, REFUSED)), ("members", (JOINS, LEAVES))):
        yield from _checks(results, what, ways)


def _checks(results: Results, what: str, ways: Sequence[str]) -> Iterator[Check]:
    found = sorted(
        sample["ms"] for way in ways for sample in results.samples.get(_EFFECT.key, {}).get(way, [])
    )
    for share, said, limit_ms in ((0.5, "p50", 20), (0.99, "p99", 100)):
        at = min(len(found) - 1, int(share * len(found)))
        measured = found[at] if found else None
        yield Check(
            f"groups, {what} in force on 3 hosts, {said}", measured, limit_ms, "at most", "ms"
        )
