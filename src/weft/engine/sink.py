"""Where rows become true: the half of an engine that knows the kernel, as its loop sees it."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Protocol

from weft.engine.rows import RowFailure

Tables = Mapping[str, Mapping[Hashable, Hashable]]
"""Table -> key -> value."""


class Counters(Protocol):
    """A port's traffic as its workload sees it; `drops` by reason."""

    @property
    def rx_packets(self) -> int:
        """Received."""
        ...

    @property
    def rx_bytes(self) -> int:
        """Received."""
        ...

    @property
    def tx_packets(self) -> int:
        """Sent."""
        ...

    @property
    def tx_bytes(self) -> int:
        """Sent."""
        ...

    @property
    def drops(self) -> Mapping[str, int]:
        """Packets by reason."""
        ...


class Sink(Protocol):
    """Where rows become true. Synchronous; called in one thread only."""

    def start(self) -> None:
        """Prepare what all rows need. Nothing happens when it is there."""
        ...

    def actual(self, desired: Tables) -> dict[str, dict[Hashable, Hashable]]:
        """The rows that are there; see `Driver.read`."""
        ...

    def apply(
        self, upserts: Tables, deletes: Mapping[str, Collection[Hashable]]
    ) -> list[RowFailure]:
        """Make the changes in the order that the tables need; see `Driver.write`."""
        ...

    def follow(self) -> list[RowFailure]:
        """Others have changed in the kernel what some rows rest on: make these rows true again."""
        ...

    @property
    def follow_in_s(self) -> float | None:
        """In how many seconds `follow` has something to do that the kernel does not tell of; None:
        nothing. As it is after `apply` and `follow`."""
        ...

    def counters(self) -> Mapping[str, Counters]:
        """Traffic by ifname of the host's end."""
        ...

    def stop(self) -> None:
        """Give back file descriptors; what forwards goes on."""
        ...
