"""What packets of workloads tell weftd: heard by one who reads many together, then rests.

A workload can send as many as the program of its port lets pass, so whoever hears them reads a
bounded number at one moment, and while it rests nothing wakes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from weft.errors import KernelError
from weft.kernel.group_wire import Reported

AGAIN_S = 1.0
"""Before a try after one that failed."""
log = structlog.get_logger()


class Wire(Protocol):
    """See `kernel.group_wire.GroupWire`."""

    def open(self) -> None:
        """Listen. KernelError: the device is not there."""
        ...

    def close(self) -> None:
        """Neither listen nor send any more."""
        ...

    def fileno(self) -> int:
        """Becomes readable when something was reported."""
        ...

    def receive(self) -> Reported | None:
        """The next report; None: there is none now. KernelError: the device is gone."""
        ...

    def send(self, ifname: str, frame: bytes) -> bool:
        """Send a frame out of a device; whether it went."""
        ...


class Listening:
    """One wire, open again and again, and turns in which what is due is done."""

    def __init__(
        self, wire: Wire, monotonic: Callable[[], float], what: str, *, gather_s: float = 0.0
    ) -> None:
        """what: is heard, for the log. gather_s: after the first packet, until all that have come
        are read."""
        self._wire = wire
        self._now_s = monotonic
        self._what = what
        self._gather_s = gather_s
        self._wake = asyncio.Event()
        self.read_due_s = math.inf
        """When the wire is to be read; inf: once something comes."""

    def wake(self) -> None:
        """Something is due earlier than the last turn said."""
        self._wake.set()

    async def run(self, turn: Callable[[], Awaitable[float]]) -> None:
        """Until cancelled. `turn` does what is due and says when more is, by the clock; inf: not
        before it is woken."""
        while True:
            try:
                await self._listen(turn)
            except KernelError as error:
                log.warning(f"{self._what} are not heard", reason=str(error))
                await asyncio.sleep(AGAIN_S)

    def rest(self, rest_s: float | None) -> None:
        """The wire was read. rest_s: until it is read again; None: it was empty, so when something
        comes."""
        if rest_s is not None:
            self.read_due_s = self._now_s() + rest_s
            return
        self.read_due_s = math.inf
        asyncio.get_running_loop().add_reader(self._wire.fileno(), self._readable)

    async def _listen(self, turn: Callable[[], Awaitable[float]]) -> None:
        self._wire.open()
        self.read_due_s = -math.inf
        try:
            while True:
                self._wake.clear()
                due_s = min(await turn(), self.read_due_s)
                delay_s = None if due_s == math.inf else max(0.0, due_s - self._now_s())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay_s):
                        await self._wake.wait()
        finally:
            asyncio.get_running_loop().remove_reader(self._wire.fileno())
            self._wire.close()

    def _readable(self) -> None:
        asyncio.get_running_loop().remove_reader(self._wire.fileno())
        self.read_due_s = self._now_s() + self._gather_s
        self._wake.set()
