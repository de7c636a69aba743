"""BPF programs of the variants: compiled, put on a device's hook, and held until they are let go.

A program is loaded as weftd loads its own. tc's hooks vanish with their devices and tcx links with
the process, so whatever a benchmark dies of, nothing stays.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

from weft.bench.namespace import Namespace
from weft.config import Settings
from weft.errors import UnavailableError
from weft.kernel import netns, tc
from weft.kernel.bpf import run_stats, syscall, tcx
from weft.kernel.bpf.libbpf import Object
from weft.kernel.bpf.syscall import AttachType
from weft.kernel.netlink import Netlink
from weft.lab.command import run

FROM_PORT, FROM_WIRE = "from_port", "from_wire"
"""Where a program works: on what a workload sends, and on what arrives from another host."""
Programs = Mapping[str, tuple[int, ...]]
"""Fds of the programs of a variant, by where they work."""
_LOOPBACK = 1


class Hook(Enum):
    """A place at a device's ingress."""

    CLSACT = "clsact"
    TCX = "tcx"


def check(hook: Hook) -> None:
    """UnavailableError where the kernel has no such hook."""
    if hook is Hook.TCX and tcx.attached(_LOOPBACK) is None:
        raise UnavailableError("this kernel has no tcx (it came with Linux 6.6)")


class BareProgram:
    """A C program of this folder on devices' hooks; a context manager that lets go of them."""

    def __init__(self, source: str, hook: Hook) -> None:
        """UnavailableError: see `check`."""
        check(hook)
        self._source = Path(__file__).with_name(source)
        self._hook = hook
        self._stack = ExitStack()
        self._fds: dict[str, tuple[int, ...]] = {}

    def __enter__(self) -> Self:
        self._folder = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-bench-"))
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def programs(self) -> Programs:
        """All that are attached."""
        return self._fds

    def attach(
        self, where: Namespace, device: str, role: str, definitions: Mapping[str, str]
    ) -> None:
        """Compile with these macros, and run the program of this name on what a device receives."""
        file = self._folder / "program.o"
        _compile(self._source, file, definitions)
        with Object(file) as loaded:
            loaded.load()
            program = self._hold(loaded.duplicate_program_fd(role))
        self._fds[role] = (*self._fds.get(role, ()), program)
        with netns.entered(netns.path_of(where.pid)):
            ifindex = socket.if_nametoindex(device)
            if self._hook is Hook.TCX:
                self._hold(syscall.create_tcx_link(program, ifindex, AttachType.TCX_INGRESS))
            else:
                with Netlink() as netlink:
                    netlink.do(
                        tc.add_clsact(ifindex), tc.replace_filter(tc.Hook(ifindex), program, role)
                    )

    def _hold(self, fd: int) -> int:
        self._stack.callback(os.close, fd)
        return fd


@contextmanager
def of_weft(pids: Sequence[int], roles: Sequence[str]) -> Iterator[Programs]:
    """Those that the weftd processes with these pids have pinned, each in its own mounts."""
    folders = [Path(f"/proc/{pid}/root{Settings().bpffs_dir}/programs") for pid in pids]
    with ExitStack() as stack:
        found: dict[str, tuple[int, ...]] = {}
        for role in roles:
            for folder in folders:
                program = syscall.get_pinned(folder / role)
                stack.callback(os.close, program)
                found[role] = (*found.get(role, ()), program)
        yield found


@contextmanager
def spent(programs: Programs) -> Iterator[dict[str, float]]:
    """Nanoseconds that a packet takes in each of them during the block; known at its end."""
    found: dict[str, float] = {}
    with run_stats.counted():
        before = {role: run_stats.of(fds) for role, fds in programs.items()}
        yield found
        for role, fds in programs.items():
            ns = run_stats.of(fds).since(before[role]).ns_a_run
            if ns is None:
                raise UnavailableError(f"program {role}: no packet met it")
            found[role] = ns


def _compile(source: Path, out: Path, definitions: Mapping[str, str]) -> None:
    compiler = shutil.which("clang")
    if compiler is None:
        raise UnavailableError("clang is not installed; run make setup")
    headers = f"-I/usr/include/{os.uname().machine}-linux-gnu"
    flags = ["-target", "bpf", "-mcpu=v3", "-g", "-O2", headers]
    flags += [f"-D{name}={value}" for name, value in definitions.items()]
    run([compiler, *flags, "-c", str(source), "-o", str(out)])
