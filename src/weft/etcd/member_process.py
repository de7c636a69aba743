"""The etcd process of a host: weftd's child, which ends with it, however that ends.

What forwards needs no etcd, and the other members go on; so nothing is gained by outliving weftd.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from weft.errors import UnavailableError

PROGRAM = "etcd"
STOP_S = 5.0
LOG_LIMIT_BYTES = 10_000_000
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
"""All that it gets of weftd's environment."""
if platform.machine() == "aarch64":
    _ENVIRONMENT["ETCD_UNSUPPORTED_ARCH"] = "arm64"  # Debian's etcd runs there if it is told so


class MemberProcess:
    """At most one at a time."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    def program(self) -> str:
        """Its path. UnavailableError: it is not installed."""
        found = shutil.which(PROGRAM, path=_ENVIRONMENT["PATH"])
        if found is None:
            raise UnavailableError("etcd is not installed; apt install etcd-server")
        return found

    async def start(self, words: Sequence[str]) -> None:
        """Start it with these arguments. UnavailableError: it cannot be."""
        program = self.program()
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            is_long = self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES
            with self.log.open("wb" if is_long else "ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *("setpriv", "--pdeathsig", "TERM", program, *words),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=_ENVIRONMENT,
                )
        except OSError as error:
            raise UnavailableError(f"etcd: {error}") from error

    async def stop(self) -> None:
        """End it, if it runs."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
