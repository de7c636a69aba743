"""How much is measured, and where the output goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from weft.bench.logical import Size


@dataclass(frozen=True)
class Plan:
    """One run of the benchmark."""

    folder: Path
    """For the results and for what is built on the way."""
    say: Callable[[str], None]
    """Shows progress."""
    is_quick: bool = False
    """Once and briefly: shows that everything runs, measures nothing worth keeping."""
    beside: frozenset[str] = frozenset()
    """What Weft is compared with, where packets are; empty: with all that there is."""

    @property
    def rounds(self) -> int:
        """How often each variant is measured."""
        return 1 if self.is_quick else 5

    @property
    def seconds(self) -> float:
        """Of one sample."""
        return 0.3 if self.is_quick else 2.0

    @property
    def short_s(self) -> float:
        """The same where there are many variants."""
        return 0.2 if self.is_quick else 0.8

    @property
    def idle_s(self) -> float:
        """How long the idle machine is watched before each sample."""
        return 0.05 if self.is_quick else 0.25

    @property
    def attachments(self) -> int:
        """How often something is attached, and how many containers are run."""
        return 5 if self.is_quick else 100

    @property
    def many_ports(self) -> int:
        """For the restart with many ports."""
        return 100 if self.is_quick else 10_000

    @property
    def new_ports(self) -> int:
        """How often a port is made that other hosts wait for."""
        return 3 if self.is_quick else 60

    @property
    def many_rules(self) -> int:
        """Of one security group, the most that a request may have."""
        return 300 if self.is_quick else 10_000

    @property
    def members(self) -> int:
        """Ports of other hosts in a group that rules name."""
        return 300 if self.is_quick else 10_000

    @property
    def connections(self) -> int:
        """In a table of flows that is made for so many."""
        return 8_000 if self.is_quick else 1_000_000

    @property
    def policy_changes(self) -> int:
        """Each way, one by one."""
        return 3 if self.is_quick else 60

    @property
    def logical_size(self) -> Size:
        """Of the logical network that is compiled."""
        return Size(20, 200, 20) if self.is_quick else Size(1000, 10_000, 1000)

    @property
    def mesh_hosts(self) -> tuple[int, ...]:
        """Sizes of the simulated clusters, ascending."""
        return (4, 20) if self.is_quick else (10, 100, 500, 1000)

    @property
    def mesh_ports(self) -> tuple[int, ...]:
        """In each of them, ascending."""
        return (100, 1000) if self.is_quick else (1000, 100_000)

    @property
    def mesh_changes(self) -> int:
        """Measured one by one."""
        return 2 if self.is_quick else 5

    @property
    def remote_ports(self) -> int:
        """Of other hosts, for a new host and for the daemon that knows them all."""
        return 1000 if self.is_quick else 100_000
