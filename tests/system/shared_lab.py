"""One lab of three hosts that all files use in turn: as it is lent, so it must come back.

A test finds hosts on which weftd never ran. When the test is over, faults are healed and weftd is
purged. What is still there is taken away, so that the next test does not meet it, and the test that
left it fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.system.cluster import Cluster
from tests.system.workload import until
from weft.lab import faults
from weft.lab.host import LabHost
from weft.lab.lab import Lab

SETTINGS = {"docker": False, "reconcile_s": 2.0, "rest_s": 0.2}
_COMMANDS = {
    "network namespaces": "ip netns list",
    "devices": "ip -o link | cut -d: -f2",
    "addresses": "ip -o address show scope global | awk '{ print $2, $4 }' | sort",
    "routes": "ip route show; ip -6 route show default",
    "rules": "nft list ruleset",
    "weather": "tc qdisc show dev eth0 | grep netem || true",
    "mounts of state": "grep -c ' /var/lib/weft-lab/.*/weft ' /proc/self/mounts || true",
}
_REMOVE = """
ip netns list | while read -r name rest; do ip netns delete "$name"; done
ls /sys/class/net | grep -vx -e lo -e eth0 | while read -r name; do ip link delete "$name"; done
nft flush ruleset
tc qdisc delete dev eth0 root 2>/dev/null
true"""


class SharedLab:
    """The lab, and how its hosts were when it was made."""

    def __init__(self) -> None:
        self.lab = Lab(f"three-{os.getpid()}")
        self._made: dict[str, dict[str, str]] = {}

    def up(self) -> None:
        """Three hosts without weftd."""
        self.lab.up(3, settings=SETTINGS, has_weftd=False)
        self._made = {host.name: _looks(host) for host in self.lab.hosts()}

    @contextmanager
    def lent(self) -> Iterator[Cluster]:
        """To one test, or to one file."""
        cluster = Cluster(self.lab.hosts())
        try:
            yield cluster
        finally:
            self._take_back(cluster)

    def _take_back(self, cluster: Cluster) -> None:
        left = []
        for host in cluster.hosts:
            faults.heal(self.lab, host.name)
            cluster.weft(host, "down", "--purge")
            made, now = self._made[host.name], _looks(host)
            changed = [what for what in now if now[what] != made[what]]
            if changed:
                left += [f"{host.name}: {what}: {now[what]}" for what in changed]
                host.run(["sh", "-c", _REMOVE])
            until(f"nothing runs on {host.name}", lambda host=host: not host.processes())  # type: ignore[misc]
        assert not left, "left behind:\n" + "\n".join(left)


def _looks(host: LabHost) -> dict[str, str]:
    return {what: host.run(["sh", "-c", line]) for what, line in _COMMANDS.items()}
