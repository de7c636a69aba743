"""Where programs and maps are pinned, and whether there is memory for them."""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Iterator
from pathlib import Path

from weft.doctor.finding import Finding, Subject
from weft.errors import KernelError
from weft.kernel.bpf import syscall
from weft.kernel.bpf.syscall import Command, MapType

_MAP_BYTES = 64 * 1024


def check(subject: Subject) -> Iterator[Finding]:
    """The bpf file system and the limit of locked memory."""
    yield _file_system(subject)
    yield _memory(subject)


def _file_system(subject: Subject) -> Finding:
    name = "bpf file system"
    folder = Path(subject.settings.bpffs_dir)
    mount, kind = _mount_of(folder, Path("/proc/self/mountinfo").read_text())
    if kind == "bpf":
        return Finding(name=name, state="ok", detail=f"{folder}, mounted at {mount}")
    if "\tbpf\n" not in Path("/proc/filesystems").read_text():
        return Finding(
            name=name,
            state="failed",
            detail="this kernel has none",
            fix="use a kernel with CONFIG_BPF_SYSCALL",
        )
    if subject.daemon is not None:
        return Finding(
            name=name,
            state="failed",
            detail=f"{folder} lies on {kind} in this mount namespace",
            fix="run weft in weftd's mount namespace (nsenter --net, not ip netns exec)",
        )
    return Finding(name=name, state="ok", detail=f"not mounted yet; weftd mounts it at {folder}")


def _mount_of(folder: Path, mountinfo: str) -> tuple[str, str]:
    """The innermost mount that holds a path, and its type (proc(5), mountinfo)."""
    best = ("/", "unknown")
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        mount = before.split()[4].encode().decode("unicode_escape")
        if folder.is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, after.split()[0])
    return best


def _memory(subject: Subject) -> Finding:
    """Kernels that count BPF memory by cgroup make a map whatever the limit; older ones do not."""
    name = "locked memory"
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, hard))
    try:
        _make_map()
    except KernelError:
        pass
    else:
        return Finding(name=name, state="ok", detail="counted by cgroup, the limit does not matter")
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
    limit = subject.daemon.facts.memlock_bytes if subject.daemon else _unlimited_is_none(hard)
    if limit is None:
        return Finding(name=name, state="ok", detail="unlimited")
    return Finding(
        name=name,
        state="failed",
        detail=f"limited to {limit} bytes, and this kernel counts BPF maps against it",
        fix="raise it for weftd: ulimit -l unlimited, or LimitMEMLOCK=infinity in its unit",
    )


def _make_map() -> None:
    attribute = bytearray(struct.pack("<5I", MapType.ARRAY, 4, _MAP_BYTES, 1, 0))
    os.close(syscall.call(Command.MAP_CREATE, attribute, "create a BPF map"))


def _unlimited_is_none(limit: int) -> int | None:
    return None if limit == resource.RLIM_INFINITY else limit
