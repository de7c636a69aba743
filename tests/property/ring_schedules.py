"""What happens to hosts that share a subnet, drawn from a seed or by hypothesis."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.property.ring_world import TIMES, RingHost, RingWorld
from weft.ipam.ring import Need
from weft.model.addresses import ip_address
from weft.model.records import Host

Step = Callable[[RingWorld, random.Random], None]

MAX_HOSTS = 7


def _one(world: RingWorld, source: random.Random) -> RingHost | None:
    live = world.live()
    return source.choice(live) if live else None


def allocate(world: RingWorld, source: random.Random) -> None:
    host = _one(world, source)
    free = host.free() if host is not None else []
    if host is not None and free:
        host.allocate(source.choice((free[0], free[-1])))


def burst(world: RingWorld, source: random.Random) -> None:
    for _ in range(8):
        allocate(world, source)


def release(world: RingWorld, source: random.Random) -> None:
    host = _one(world, source)
    ports = host.ports() if host is not None else []
    if host is not None and ports:
        host.release(source.choice(ports))


def want(world: RingWorld, source: random.Random) -> None:
    """Somebody on a host waits for an address, or for a certain one."""
    host = _one(world, source)
    if host is None:
        return
    number = int(world.subnet.cidr.network_address) + source.randrange(2, 30)
    address = ip_address(number) if source.random() < 0.4 else None
    host.ring.needs = [Need(world.subnet.id, address)] if source.random() < 0.7 else []


def pass_on(world: RingWorld, source: random.Random) -> None:
    """News from one host to another, whole or not."""
    one, other = _one(world, source), _one(world, source)
    if one is not None and other is not None and one is not other:
        world.pass_on(one, other, source.choice((1.0, 1.0, 1.0, 0.3, 0.7)))


def spread(world: RingWorld, source: random.Random) -> None:
    world.spread()


def step(world: RingWorld, source: random.Random) -> None:
    host = _one(world, source)
    if host is not None:
        host.step()


def step_all(world: RingWorld, source: random.Random) -> None:
    for host in world.live():
        host.step()


def step_astray(world: RingWorld, source: random.Random) -> None:
    """A host that is wrong about whom it reaches."""
    host = _one(world, source)
    if host is not None:
        others = [other.id for other in world.hosts if other is not host]
        host.step(frozenset(source.sample(others, source.randrange(len(others) + 1))))


def settle(world: RingWorld, source: random.Random) -> None:
    for _ in range(3):
        world.spread()
        for host in world.live():
            host.step()
        world.now_s += 0.3


def partition(world: RingWorld, source: random.Random) -> None:
    world.partition([source.randrange(source.choice((2, 2, 3))) for _ in range(MAX_HOSTS)])


def heal(world: RingWorld, source: random.Random) -> None:
    world.cuts.clear()


def wait(world: RingWorld, source: random.Random) -> None:
    world.now_s += source.choice((0.2, 1.0, 5.0))


def wait_long(world: RingWorld, source: random.Random) -> None:
    world.now_s += TIMES.taken_after_s * 1.3


def drift(world: RingWorld, source: random.Random) -> None:
    host = _one(world, source)
    if host is not None:
        host.drift = source.uniform(0.8, 1.25)


def crash(world: RingWorld, source: random.Random) -> None:
    live = world.live()
    if len(live) > 1:
        source.choice(live).is_up = False


def restart(world: RingWorld, source: random.Random) -> None:
    for host in world.hosts:
        if not host.is_up and not host.is_out and source.random() < 0.6:
            host.start(is_continued=source.random() < 0.5)


def join(world: RingWorld, source: random.Random) -> None:
    if len(world.hosts) < MAX_HOSTS:
        world.join()


def forget(world: RingWorld, source: random.Random) -> None:
    gone = [host for host in world.hosts if not host.is_up and not host.is_out]
    by = _one(world, source)
    if gone and by is not None:
        world.forget(source.choice(gone), by)


def back_up(world: RingWorld, source: random.Random) -> None:
    """Of a host that knows of another: before, nothing tells it that there may be one by now."""
    host = _one(world, source)
    if host is not None and len(list(host.store.list(Host))) > 1:
        host.backups.append(host.batches)


def restore(world: RingWorld, source: random.Random) -> None:
    """One host at a time: what two forget together, nobody knows."""
    hosts = [h for h in world.hosts if not h.is_out and h.backups]
    if not hosts or any(h.ring.is_returning for h in world.hosts if not h.is_out):
        return
    host = source.choice(hosts)
    world.restore(host, source.choice([n for n in host.backups if n <= host.batches]))
    host.backups = [n for n in host.backups if n <= host.batches]


STEPS: dict[Step, int] = {
    allocate: 12,
    burst: 1,
    release: 11,
    want: 8,
    pass_on: 16,
    spread: 2,
    step: 16,
    step_all: 4,
    step_astray: 3,
    settle: 3,
    partition: 3,
    heal: 3,
    wait: 6,
    wait_long: 3,
    drift: 1,
    crash: 3,
    restart: 5,
    join: 1,
    forget: 1,
    back_up: 2,
    restore: 2,
}
"""How often each happens, relative to the others."""


def run(world: RingWorld, seed: int, steps: int) -> None:
    """A schedule drawn from a seed."""
    source = random.Random(seed)
    for one in source.choices(list(STEPS), list(STEPS.values()), k=steps):
        one(world, source)
