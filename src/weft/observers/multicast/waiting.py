"""Reports that were heard and not read yet, a short queue a port, read in turn.

Reading one costs much more than hearing it. So ports that report without end, however many, have
each other wait, and a port that reports now and then is read at its next turn.
"""

from __future__ import annotations

from collections import deque

from weft.kernel.group_wire import Reported

OF_PORT = 256
"""As many as the port's program lets pass at once (REPORTS_BURST)."""
TOGETHER = 2048
OF_PORT_IN_A_CROWD = 8
"""When so many wait together."""


class Waiting:
    """Bounded: some 3 MB, and 12 KB a port."""

    def __init__(self) -> None:
        self._count = 0
        self._queues: dict[int, deque[Reported]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, reported: Reported) -> bool:
        """False: the port's oldest had to go for it; what a workload says last counts most."""
        queue = self._queues.setdefault(reported.ifindex, deque())
        is_full = len(queue) >= (OF_PORT if self._count < TOGETHER else OF_PORT_IN_A_CROWD)
        if is_full:
            queue.popleft()
        queue.append(reported)
        self._count += not is_full
        return not is_full

    def take(self) -> Reported:
        """The oldest of the port whose turn it is. There must be one."""
        ifindex = next(iter(self._queues))
        queue = self._queues.pop(ifindex)
        reported = queue.popleft()
        self._count -= 1
        if queue:
            self._queues[ifindex] = queue
        return reported
