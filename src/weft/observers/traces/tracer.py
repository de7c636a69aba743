"""Moves packets of traces on this host, one trace after the other.

The programs are loaded for the first one and kept for a minute, for loading takes some tenths of a
second. All that is done with them is done in one thread, so that what a trace that was given up has
begun is over before the next one begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from weft.cluster.inquiry import Terms
from weft.kernel.bpf.rehearsal import Rehearsal
from weft.model.ids import HostId
from weft.model.records import Port
from weft.observers.traces.moves import Moves
from weft.observers.traces.seen import Asked, Move, Moved
from weft.store.interface import View

T = TypeVar("T")

KEPT_S = 60.0
"""How long loaded programs are kept that nobody uses."""


class Tracer:
    """Of the programs that are pinned below a directory. Implements `interface.Traces`."""

    def __init__(
        self,
        view: View,
        host_id: HostId,
        bpffs_dir: Path,
        overlay_port: int,
        port_of: Callable[[int], Port | None],
    ) -> None:
        """port_of: the port behind a device of this host, by its ifindex."""
        self._view = view
        self._host_id = host_id
        self._bpffs_dir = bpffs_dir
        self._overlay_port = overlay_port
        self._port_of = port_of
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="traces")
        self._kept: Rehearsal | None = None
        self._used = 0

    async def told(self, asked: Asked) -> Sequence[Moved]:
        """See `interface.Traces`."""
        async with self._turn:
            rehearsal = await self._work(self._begin)
            self._used += 1
            asyncio.get_running_loop().call_later(KEPT_S, self._let_go, self._used)
            moves = Moves(
                self._view, self._host_id, rehearsal, self._overlay_port, self._port_of, self._work
            )
            moved: list[Moved] = []
            for moving in asked.moves:
                if moving.move is Move.ANSWERED and not moves.is_answerable:
                    break
                moved.append(await moves.move(moving))
            return moved

    async def answer(self, asked: Asked, terms: Terms) -> AsyncGenerator[Moved, None]:
        """Handler of `seen.TRACES`."""
        for moved in await self.told(asked):
            yield moved

    def close(self) -> None:
        """Give back what was loaded, when it is used no more."""
        self._thread.submit(self._forget)
        self._thread.shutdown()

    def _work(self, work: Callable[[], T]) -> Awaitable[T]:
        """Done in the thread, after all that was to be done there."""
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _forget(self) -> None:
        """In the thread."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _begin(self) -> Rehearsal:
        """In the thread."""
        if self._kept is not None and not self._kept.is_current:
            self._forget()
        if self._kept is None:
            self._kept = Rehearsal(self._bpffs_dir)
        self._kept.begin()
        return self._kept

    def _let_go(self, used: int) -> None:
        if used == self._used and not self._turn.locked():
            self._thread.submit(self._forget)
