"""A program on a device's tcx hook, held there by a link that is pinned.

The pin says that the hook is Weft's, and the kernel keeps the program on it while weftd is away.
A link whose device is gone holds nothing any more; its pin is in the way of a new one and goes.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from weft.errors import KernelError
from weft.kernel.bpf import syscall
from weft.kernel.bpf.syscall import AttachType


def attached(ifindex: int) -> list[int] | None:
    """Ids of the programs on a device's ingress; None: this kernel has no such hook (it came
    with Linux 6.6)."""
    try:
        return [each.program_id for each in syscall.query_tcx(ifindex, AttachType.TCX_INGRESS)]
    except KernelError as error:
        if error.errno == errno.ENODEV:
            return []
        if syscall.is_unsupported(error.errno):
            return None
        raise


def attach(program: int, ifindex: int, pin: Path) -> None:
    """Have a program (its fd) run on what a device receives, in place of the one that is held by
    `pin`: no packet passes in between. KernelError."""
    if _replace(program, ifindex, pin):
        return
    detach(pin)
    pin.parent.mkdir(parents=True, exist_ok=True)
    link = syscall.create_tcx_link(program, ifindex, AttachType.TCX_INGRESS)
    try:
        syscall.pin(link, pin)
    finally:
        os.close(link)


def detach(pin: Path) -> None:
    """Let go; nothing happens if it is not held."""
    pin.unlink(missing_ok=True)


def _replace(program: int, ifindex: int, pin: Path) -> bool:
    """Whether the pinned link is one of this device and has the program now."""
    try:
        link = syscall.get_pinned(pin)
    except KernelError:
        return False
    try:
        with contextlib.suppress(KernelError):
            if syscall.tcx_link_ifindex(link) == ifindex:
                syscall.update_link(link, program)
                return True
        return False
    finally:
        os.close(link)
