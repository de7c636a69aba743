"""Schedules: what happens to a cluster, drawn from a seed or by hypothesis."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.mesh.simulation import DAY_S, Cluster, SimulatedHost
from weft.mesh.fake_transport import Weather
from weft.model.records import ForgottenHost
from weft.store.draft import Draft

Step = Callable[[Cluster, random.Random], None]

WEATHERS = (
    Weather(),
    Weather(loss=0.2),
    Weather(duplication=0.3, is_reordering=True, latency_s=(0.001, 0.5)),
    Weather(loss=0.3, duplication=0.2, is_reordering=True, latency_s=(0.01, 1.0)),
)


def _some_up(cluster: Cluster, source: random.Random) -> SimulatedHost | None:
    up = [host for host in cluster.hosts if host.is_up]
    return source.choice(up) if up else None


def write(cluster: Cluster, source: random.Random) -> None:
    """Shared or own, of a kind known or unknown, new or in place of another."""
    host = _some_up(cluster, source)
    if host is None:
        return
    is_owned = source.random() < 0.5
    kind = source.choice(("port", "host") if is_owned else ("network", "from-the-future"))
    body = f'{{"n":{cluster.random.getrandbits(40)},"by":"{host.name}"}}'.encode()
    host.write(Draft(kind, f"i{source.randrange(6)}", body, is_owned))


def delete(cluster: Cluster, source: random.Random) -> None:
    host = _some_up(cluster, source)
    if host is None:
        return
    is_owned = source.random() < 0.5
    kind = source.choice(("port", "host") if is_owned else ("network", "from-the-future"))
    host.write(Draft(kind, f"i{source.randrange(6)}", None, is_owned))


def burst(cluster: Cluster, source: random.Random) -> None:
    for _ in range(10):
        write(cluster, source)


def partition(cluster: Cluster, source: random.Random) -> None:
    names = list(range(len(cluster.hosts)))
    source.shuffle(names)
    cut = source.randrange(1, len(names))
    cluster.partition([names[:cut], names[cut:]])


def cut_one_way(cluster: Cluster, source: random.Random) -> None:
    one, other = source.choice(cluster.topology)
    if source.random() < 0.5:
        one, other = other, one
    cluster.network.cut(cluster.hosts[one].name, cluster.hosts[other].name)


def join_again(cluster: Cluster, source: random.Random) -> None:
    cluster.blocked.clear()
    cluster.network.heal()
    cluster.connect()


def break_a_link(cluster: Cluster, source: random.Random) -> None:
    one, other = source.choice(cluster.topology)
    cluster.network.disconnect(cluster.hosts[one].name, cluster.hosts[other].name)


def weather(cluster: Cluster, source: random.Random) -> None:
    cluster.network.weather = source.choice(WEATHERS)


def crash(cluster: Cluster, source: random.Random) -> None:
    host = _some_up(cluster, source)
    if host is not None:
        host.crash()


def power_cut(cluster: Cluster, source: random.Random) -> None:
    host = _some_up(cluster, source)
    if host is not None:
        host.crash(lost_batches=source.randrange(1, 12))


def restart(cluster: Cluster, source: random.Random) -> None:
    down = [host for host in cluster.members if not host.is_up]
    if down:
        source.choice(down).start()
        cluster.connect()


def remove(cluster: Cluster, source: random.Random) -> None:
    """One host dies for good, and another says so. Three are left, to disagree."""
    by = _some_up(cluster, source)
    others = [host for host in cluster.members if host is not by]
    if by is None or len(others) < 3:
        return
    gone = source.choice(others)
    cluster.remove(gone)
    by.write(Draft(ForgottenHost.KIND, gone.name, b"{}", False))


def skew(cluster: Cluster, source: random.Random) -> None:
    source.choice(cluster.hosts).skew_s = source.choice((-2 * DAY_S, -DAY_S, 0.0, DAY_S, 2 * DAY_S))


def purge(cluster: Cluster, source: random.Random) -> None:
    for host in cluster.hosts:
        if host.is_up and source.random() < 0.7:
            host.purge()


def wait(cluster: Cluster, source: random.Random) -> None:
    cluster.run(source.choice((0.01, 0.1, 1.0, 4.0)))


def wait_long(cluster: Cluster, source: random.Random) -> None:
    cluster.run(20.0)


STEPS: dict[Step, int] = {
    write: 12,
    delete: 5,
    burst: 1,
    partition: 2,
    cut_one_way: 1,
    join_again: 4,
    break_a_link: 1,
    weather: 1,
    crash: 1,
    power_cut: 1,
    restart: 3,
    skew: 1,
    purge: 2,
    remove: 1,
    wait: 8,
}
"""How often each happens, relative to the others."""


def run(cluster: Cluster, steps: int) -> None:
    """A schedule drawn from the cluster's seed."""
    source = random.Random(cluster.seed)
    cluster.connect()
    for step in source.choices(list(STEPS), list(STEPS.values()), k=steps):
        step(cluster, source)
