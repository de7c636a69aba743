"""How often programs ran, and for how long: the kernel's own statistics.

The kernel counts only while somebody asks for it, since counting costs each run some nanoseconds,
which are part of what it counts. So the time of two programs is compared, never taken as it is.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from weft.errors import KernelError
from weft.kernel.bpf import syscall

_RUN_TIME = 0


class RunTime(NamedTuple):
    """What the kernel has counted of programs so far."""

    runs: int
    ns: int

    def since(self, earlier: RunTime) -> RunTime:
        """What was added."""
        return RunTime(self.runs - earlier.runs, self.ns - earlier.ns)

    @property
    def ns_a_run(self) -> float | None:
        """None: it did not run."""
        return self.ns / self.runs if self.runs else None


@contextlib.contextmanager
def counted() -> Iterator[None]:
    """The kernel counts until the end of the block, or of this process.

    The sysctl ``kernel.bpf_stats_enabled`` stays as it is. KernelError: this kernel cannot (before
    5.8).
    """
    attribute = bytearray(struct.pack("<I", _RUN_TIME))
    asked = syscall.call(syscall.Command.ENABLE_STATS, attribute, "count the runs of BPF programs")
    try:
        yield
    finally:
        os.close(asked)


def of(programs: tuple[int, ...]) -> RunTime:
    """Of all these programs (their fds) together."""
    each = [_of_one(fd) for fd in programs]
    return RunTime(sum(one.runs for one in each), sum(one.ns for one in each))


def _of_one(fd: int) -> RunTime:
    try:
        text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    except OSError as error:
        raise KernelError(f"read the statistics of BPF program {fd}", error.errno or 0) from error
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return RunTime(int(facts["run_cnt"]), int(facts["run_time_ns"]))
