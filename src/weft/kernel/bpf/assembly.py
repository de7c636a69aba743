"""Small programs written instruction by instruction, to try out what the kernel can."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from weft.kernel.bpf import syscall
from weft.kernel.bpf.syscall import Command

_SCHED_CLS = 3
_LICENCE = b"Dual BSD/GPL\0"
_MOVE, _CALL, _EXIT = 0xB7, 0x85, 0x95


def move(register: int, immediate: int) -> bytes:
    """A number into a register."""
    return _instruction(_MOVE, register, immediate)


def call(helper: int) -> bytes:
    """Call a helper, by its number in linux/bpf.h; what it says is in register 0."""
    return _instruction(_CALL, 0, helper)


def end() -> bytes:
    """Say what is in register 0."""
    return _instruction(_EXIT, 0, 0)


def load_classifier(instructions: Sequence[bytes]) -> int:
    """Its descriptor. Raises KernelError if the kernel refuses it."""
    code = b"".join(instructions)
    attribute = bytearray(
        struct.pack(
            "<IIQQ",
            _SCHED_CLS,
            len(instructions),
            syscall.address_of(code),
            syscall.address_of(_LICENCE),
        )
    )
    return syscall.call(Command.PROGRAM_LOAD, attribute, "load BPF program")


def _instruction(code: int, register: int, immediate: int) -> bytes:
    return struct.pack("<BBhi", code, register, 0, immediate)
