"""What programs tell weftd as it happens: a ring that they fill and weftd reads.

Programs never wait: what finds no room is lost, and counted. What an event is, its first bytes say.
"""

from __future__ import annotations

from collections.abc import Mapping

from weft.kernel.bpf.libbpf import RingReader
from weft.kernel.bpf.maps import BpfMap

RING, LOST = "events_v1", "lost_events_v1"
MOST = 1024
"""Events read at once, so that whoever reads gets to do other things in between."""


class Events:
    """The ring, open for reading, by one reader at a time."""

    def __init__(self, maps: Mapping[str, BpfMap]) -> None:
        """The maps remain the caller's."""
        self._lost = maps[LOST]
        self._reader = RingReader(maps[RING].fd)

    def read(self, most: int = MOST) -> list[bytes]:
        """The oldest events that nobody has read; fewer than `most` are all that there are."""
        return self._reader.read(most)

    def lost(self) -> int:
        """How many found no room since the ring was made."""
        return sum(count for (count,) in self._lost.read_summed().values())

    def fileno(self) -> int:
        """Readable when there are events."""
        return self._reader.fileno()

    def close(self) -> None:
        """What is not read stays."""
        self._reader.close()
