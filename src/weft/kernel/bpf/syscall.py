"""The bpf() system call, for what libbpf 1.1 lacks and for what is faster without it.

One function per command that Weft uses; each raises KernelError and nothing else. Numbers and
struct layouts are those of linux/bpf.h, which never change once released.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from weft.errors import KernelError, UnavailableError

ENOTSUPP = 524
"""The kernel's own "not supported", which has no name in user space."""

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_ATTRIBUTE_SIZE = 128
_LINK_TCX = 11
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)
_libc.syscall.restype = ctypes.c_long


class Command(IntEnum):
    """enum bpf_cmd."""

    MAP_CREATE = 0
    MAP_LOOKUP = 1
    MAP_UPDATE = 2
    MAP_DELETE = 3
    MAP_NEXT_KEY = 4
    PROGRAM_LOAD = 5
    PIN = 6
    GET = 7
    TEST_RUN = 10
    PROGRAM_FD = 13
    MAP_FD = 14
    INFO = 15
    PROGRAM_QUERY = 16
    MAP_LOOKUP_BATCH = 24
    MAP_UPDATE_BATCH = 26
    MAP_DELETE_BATCH = 27
    LINK_CREATE = 28
    LINK_UPDATE = 29
    ENABLE_STATS = 32


class MapType(IntEnum):
    """enum bpf_map_type, as far as Weft uses it."""

    HASH = 1
    ARRAY = 2
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    RINGBUF = 27


class AttachType(IntEnum):
    """enum bpf_attach_type, as far as Weft uses it."""

    TCX_INGRESS = 46
    TCX_EGRESS = 47


class MapInfo(NamedTuple):
    """What the kernel says of a map."""

    type: int
    id: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    name: str


_PROGRAM_INFO = 224
"""Of struct bpf_prog_info, up to what 5.16 added; older kernels fill in less."""


class ProgramInfo(NamedTuple):
    """What the kernel says of a program."""

    type: int
    id: int
    tag: str
    """Hash of the instructions, not of the constants."""
    name: str
    map_ids: tuple[int, ...]
    verified: int
    """Instructions that the verifier went through, of at most a million; 0: this kernel does not
    say (before 5.16)."""


class RunResult(NamedTuple):
    """What a program made of a packet."""

    verdict: int
    packet: bytes
    context: bytes
    """struct __sk_buff afterwards."""
    duration_ns: int
    """Mean of the repeats."""


class Attachment(NamedTuple):
    """A program on a tcx hook; `link_id` 0: attached without a link."""

    program_id: int
    link_id: int


def call(command: Command, attribute: bytearray, operation: str, hint: str = "") -> int:
    """One bpf() call; what it returns (often an fd). `attribute` is read and written."""
    result, error = try_call(command, attribute)
    if error:
        raise KernelError(operation, error, hint)
    return result


def try_call(command: Command, attribute: bytearray) -> tuple[int, int]:
    """The same without an exception: (result, errno or 0)."""
    if len(attribute) < _ATTRIBUTE_SIZE:
        attribute.extend(bytes(_ATTRIBUTE_SIZE - len(attribute)))
    buffer = (ctypes.c_char * len(attribute)).from_buffer(attribute)
    result = _libc.syscall(_number(), command, ctypes.addressof(buffer), len(attribute))
    return (result, 0) if result >= 0 else (-1, ctypes.get_errno())


def address_of(data: bytes | bytearray) -> int:
    """Address of an object's bytes; the caller keeps the object alive."""
    if isinstance(data, bytearray):
        return ctypes.addressof(ctypes.c_char.from_buffer(data))
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def get_pinned(path: Path) -> int:
    """A new fd of the map, program or link that is pinned at `path`."""
    name = os.fsencode(path) + b"\0"
    attribute = bytearray(struct.pack("<QII", address_of(name), 0, 0))
    return call(Command.GET, attribute, f"open BPF object {path}")


def pin(fd: int, path: Path) -> None:
    """Pin at `path`, which must not exist yet."""
    name = os.fsencode(path) + b"\0"
    attribute = bytearray(struct.pack("<QII", address_of(name), fd, 0))
    call(Command.PIN, attribute, f"pin BPF object {path}")


def map_fd(map_id: int) -> int:
    """A new fd of a map."""
    return call(Command.MAP_FD, bytearray(struct.pack("<I", map_id)), f"open BPF map {map_id}")


def program_fd(program_id: int) -> int:
    """A new fd of a program."""
    attribute = bytearray(struct.pack("<I", program_id))
    return call(Command.PROGRAM_FD, attribute, f"open BPF program {program_id}")


def map_info(fd: int) -> MapInfo:
    """Facts of a map; KernelError when the fd is none."""
    _check_kind(fd, "bpf-map")
    raw = _info(fd, 88)
    numbers, name = struct.unpack_from("<6I", raw), raw[24:40]
    return MapInfo._make((*numbers, name.rstrip(b"\0").decode()))


def program_info(fd: int) -> ProgramInfo:
    """Facts of a program, with the maps that it uses; KernelError when the fd is none."""
    _check_kind(fd, "bpf-prog")
    count = struct.unpack_from("<I", _info(fd, _PROGRAM_INFO), 52)[0]
    ids = bytearray(4 * count)
    request = bytearray(_PROGRAM_INFO)
    struct.pack_into("<IQ", request, 52, count, address_of(ids) if count else 0)
    raw = _info(fd, _PROGRAM_INFO, request)
    kind, number, tag = struct.unpack_from("<II8s", raw)
    count = min(count, struct.unpack_from("<I", raw, 52)[0])
    name = raw[64:80].rstrip(b"\0").decode()
    map_ids = struct.unpack_from(f"<{count}I", ids)
    (verified,) = struct.unpack_from("<I", raw, 216)
    return ProgramInfo(kind, number, tag.hex(), name, map_ids, verified)


def run_program(fd: int, packet: bytes, context: bytes = b"", repeat: int = 1) -> RunResult:
    """Run a classifier on a packet, `repeat` times for a time; `context` is a struct __sk_buff.

    Devices are those of the calling thread's network namespace.
    """
    out = bytearray(len(packet) + 512)
    context_out = bytearray(256)
    attribute = bytearray(
        struct.pack(
            "<IIIIQQIIIIQQIII4x",
            fd,
            0,
            len(packet),
            len(out),
            address_of(packet),
            address_of(out),
            repeat,
            0,
            len(context),
            len(context_out),
            address_of(context) if context else 0,
            address_of(context_out),
            0,
            0,
            0,
        )
    )
    call(Command.TEST_RUN, attribute, "test-run BPF program")
    _, verdict, _, size, _, _, _, duration, _, context_size = struct.unpack_from(
        "<IIIIQQIIII", attribute
    )
    return RunResult(verdict, bytes(out[:size]), bytes(context_out[:context_size]), duration)


def create_tcx_link(program: int, ifindex: int, attach_type: AttachType) -> int:
    """Put a program on a device's tcx hook; an fd that holds it there until closed or unpinned."""
    attribute = bytearray(struct.pack("<4I", program, ifindex, attach_type, 0))
    operation = f"attach BPF program to {attach_type.name} of device {ifindex}"
    return call(Command.LINK_CREATE, attribute, operation)


def update_link(link: int, program: int) -> None:
    """Replace the program of a link; no packet sees none or both."""
    attribute = bytearray(struct.pack("<4I", link, program, 0, 0))
    call(Command.LINK_UPDATE, attribute, "replace BPF program of a link")


def tcx_link_ifindex(link: int) -> int:
    """The device on whose tcx hook a link holds a program; 0: the device is gone."""
    _check_kind(link, "bpf_link")
    kind, _, _, _, ifindex = struct.unpack_from("<5I", _info(link, 32))
    if kind != _LINK_TCX:
        raise KernelError(
            "read facts of a tcx link", errno.EINVAL, "this is a link of another kind"
        )
    return int(ifindex)


def query_tcx(ifindex: int, attach_type: AttachType) -> list[Attachment]:
    """Programs on a device's tcx hook in order, at most 64; older kernels raise EINVAL."""
    programs, links = bytearray(4 * 64), bytearray(4 * 64)
    attribute = bytearray(
        struct.pack(
            "<4IQIIQQQQ",
            ifindex,
            attach_type,
            0,
            0,
            address_of(programs),
            64,
            0,
            0,
            address_of(links),
            0,
            0,
        )
    )
    call(Command.PROGRAM_QUERY, attribute, f"list BPF programs on device {ifindex}")
    count = struct.unpack_from("<I", attribute, 24)[0]
    ids = struct.unpack_from(f"<{count}I", programs), struct.unpack_from(f"<{count}I", links)
    return [Attachment(program, link) for program, link in zip(*ids)]


def is_unsupported(error: int) -> bool:
    """Whether this errno of a batch call means that the map type has none."""
    return error in (ENOTSUPP, errno.EINVAL, errno.EOPNOTSUPP)


def _check_kind(fd: int, kind: str) -> None:
    """The kernel gives the facts of any object of its own, each with another layout."""
    try:
        found = Path(f"/proc/self/fd/{fd}").readlink().name
    except OSError as error:
        raise KernelError(f"read facts of a {kind}", errno.EBADF) from error
    if found != f"anon_inode:{kind}":
        raise KernelError(f"read facts of a {kind}", errno.EINVAL, f"this is a {found}")


def _info(fd: int, size: int, request: bytearray | None = None) -> bytearray:
    raw = request or bytearray(size)
    attribute = bytearray(struct.pack("<IIQ", fd, len(raw), address_of(raw)))
    call(Command.INFO, attribute, "read facts of a BPF object")
    return raw


def _number() -> int:
    machine = platform.machine()
    if machine not in _NUMBERS:
        raise UnavailableError(f"bpf(): its number on {machine} is not known to Weft")
    return _NUMBERS[machine]
