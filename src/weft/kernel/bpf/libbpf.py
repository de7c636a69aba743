"""libbpf.so.1 by ctypes: from an object file to maps and programs in the kernel.

Only what loading takes, and reading rings. The object lives as long as the `with` block, so that
weftd does not carry its memory; what is to stay is duplicated (fds) or pinned.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from ctypes import c_bool, c_char_p, c_int, c_longlong, c_size_t, c_uint32, c_void_p
from functools import cache
from pathlib import Path
from typing import Self

from weft.errors import KernelError, UnavailableError
from weft.kernel.bpf import layouts

_LOG_LINES = 25
_BTF_KIND_STRUCT = 4
_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
_SAMPLE = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)
_FUNCTIONS: dict[str, tuple[object, tuple[object, ...]]] = {
    "libbpf_set_print": (c_void_p, (_PRINT,)),
    "bpf_object__open_file": (c_void_p, (c_char_p, c_void_p)),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_object__close": (None, (c_void_p,)),
    "bpf_object__btf": (c_void_p, (c_void_p,)),
    "bpf_object__next_map": (c_void_p, (c_void_p, c_void_p)),
    "bpf_object__find_program_by_name": (c_void_p, (c_void_p, c_char_p)),
    "bpf_program__fd": (c_int, (c_void_p,)),
    "bpf_map__name": (c_char_p, (c_void_p,)),
    "bpf_map__fd": (c_int, (c_void_p,)),
    "bpf_map__is_internal": (c_bool, (c_void_p,)),
    "bpf_map__type": (c_uint32, (c_void_p,)),
    "bpf_map__key_size": (c_uint32, (c_void_p,)),
    "bpf_map__value_size": (c_uint32, (c_void_p,)),
    "bpf_map__max_entries": (c_uint32, (c_void_p,)),
    "bpf_map__map_flags": (c_uint32, (c_void_p,)),
    "bpf_map__set_max_entries": (c_int, (c_void_p, c_uint32)),
    "bpf_map__reuse_fd": (c_int, (c_void_p, c_int)),
    "bpf_map__set_initial_value": (c_int, (c_void_p, c_char_p, c_size_t)),
    "btf__find_by_name_kind": (c_int, (c_void_p, c_char_p, c_uint32)),
    "btf__type_by_id": (c_void_p, (c_void_p, c_uint32)),
    "btf__name_by_offset": (c_char_p, (c_void_p, c_uint32)),
    "btf__resolve_size": (c_longlong, (c_void_p, c_uint32)),
    "ring_buffer__new": (c_void_p, (c_int, _SAMPLE, c_void_p, c_void_p)),
    "ring_buffer__free": (None, (c_void_p,)),
    "ring_buffer__consume": (c_int, (c_void_p,)),
    "ring_buffer__epoll_fd": (c_int, (c_void_p,)),
}
_log: list[str] = []


class _BtfMember(ctypes.Structure):
    _fields_ = (("name", c_uint32), ("type", c_uint32), ("offset", c_uint32))


class _BtfType(ctypes.Structure):
    _fields_ = (("name", c_uint32), ("info", c_uint32), ("size", c_uint32))


class ObjectMap:
    """A map that an object file declares; not in the kernel before the object is loaded."""

    def __init__(self, handle: int) -> None:
        lib = _library()
        self._handle = handle
        self.name: str = lib.bpf_map__name(handle).decode()
        self.is_internal: bool = lib.bpf_map__is_internal(handle)
        self.type: int = lib.bpf_map__type(handle)
        self.key_size: int = lib.bpf_map__key_size(handle)
        self.value_size: int = lib.bpf_map__value_size(handle)
        self.max_entries: int = lib.bpf_map__max_entries(handle)
        self.flags: int = lib.bpf_map__map_flags(handle)

    def resize(self, entries: int) -> None:
        """Give it room for so many, before loading."""
        result = _library().bpf_map__set_max_entries(self._handle, entries)
        _check(result, f"give BPF map {self.name} room for {entries} entries")
        self.max_entries = entries

    def reuse(self, fd: int) -> None:
        """Use this map of the kernel instead of making one. The fd remains the caller's."""
        _check(_library().bpf_map__reuse_fd(self._handle, fd), f"reuse BPF map {self.name}")

    def set_initial(self, value: bytes) -> None:
        """The contents of a data section, before loading."""
        result = _library().bpf_map__set_initial_value(self._handle, value, len(value))
        _check(result, f"set constants in {self.name}")

    def duplicate_fd(self) -> int:
        """A new fd of the loaded map."""
        return _duplicate(_library().bpf_map__fd(self._handle), f"open BPF map {self.name}")


class Object:
    """An object file, open; `with` closes it."""

    def __init__(self, path: Path) -> None:
        lib = _library()
        self.path = path
        if not path.exists():
            raise UnavailableError(f"BPF object {path} is missing: build it with `make setup`")
        _log.clear()
        self._handle: int | None = lib.bpf_object__open_file(os.fsencode(path), None)
        if not self._handle:
            raise KernelError(f"open BPF object {path}", ctypes.get_errno(), _log_tail())
        self.maps = {each.name: each for each in self._maps()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle:
            _library().bpf_object__close(self._handle)
            self._handle = None

    def check_layouts(self) -> None:
        """UnavailableError when a struct of the object is not what `layouts` says."""
        lib = _library()
        btf = lib.bpf_object__btf(self._handle)
        for name, expected in layouts.STRUCTS.items():
            number = lib.btf__find_by_name_kind(btf, name.encode(), _BTF_KIND_STRUCT)
            if number > 0 and tuple(_members(btf, number)) != expected:
                raise UnavailableError(
                    f"BPF object {self.path}: struct {name} is not the one that this weftd knows; "
                    "build both from one source with `make setup`"
                )

    def members(self, struct: str) -> dict[str, layouts.Member]:
        """Of a struct that the object knows, by name; UnavailableError: it knows none."""
        lib = _library()
        btf = lib.bpf_object__btf(self._handle)
        number = lib.btf__find_by_name_kind(btf, struct.encode(), _BTF_KIND_STRUCT)
        if number <= 0:
            raise UnavailableError(f"BPF object {self.path}: holds no struct {struct}")
        return {each.name: each for each in _members(btf, number)}

    def load(self) -> None:
        """Into the kernel; KernelError carries the end of the verifier's log."""
        _log.clear()
        result = _library().bpf_object__load(self._handle)
        _check(result, f"load BPF object {self.path.name}", _log_tail)

    def duplicate_program_fd(self, name: str) -> int:
        """A new fd of a loaded program."""
        lib = _library()
        program = lib.bpf_object__find_program_by_name(self._handle, name.encode())
        if not program:
            raise UnavailableError(f"BPF object {self.path}: holds no program {name}")
        return _duplicate(lib.bpf_program__fd(program), f"open BPF program {name}")

    def _maps(self) -> Iterator[ObjectMap]:
        handle = None
        while handle := _library().bpf_object__next_map(self._handle, handle):
            yield ObjectMap(handle)


class RingReader:
    """Reads what programs have put into a ring; one reader a ring."""

    def __init__(self, map_fd: int) -> None:
        """The fd remains the caller's."""
        self._found: list[bytes] = []
        self._most = 0
        self._callback = _SAMPLE(self._take)
        self._handle = _library().ring_buffer__new(map_fd, self._callback, None, None)
        if not self._handle:
            raise KernelError("read BPF ring", ctypes.get_errno())

    def read(self, most: int) -> list[bytes]:
        """Up to so many, the oldest first; fewer are all that there are."""
        if not self._handle:
            raise KernelError("read BPF ring", errno.EBADF)
        self._found, self._most = [], most
        result = _library().ring_buffer__consume(self._handle)
        if len(self._found) < most:
            _check(result, "read BPF ring")
        return self._found

    def fileno(self) -> int:
        """For whoever waits until there is something to read; -1: it is closed."""
        if not self._handle:
            return -1
        return int(_library().ring_buffer__epoll_fd(self._handle))

    def close(self) -> None:
        """What is not read stays for the next reader."""
        if self._handle:
            _library().ring_buffer__free(self._handle)
            self._handle = None

    def _take(self, _: int, data: int, size: int) -> int:
        """Called by libbpf; a negative number ends the reading behind this one."""
        self._found.append(ctypes.string_at(data, size))
        return 0 if len(self._found) < self._most else -errno.ENOBUFS


def _members(btf: int, number: int) -> Iterator[layouts.Member]:
    lib = _library()
    address = lib.btf__type_by_id(btf, number)
    count = _BtfType.from_address(address).info & 0xFFFF
    first = address + ctypes.sizeof(_BtfType)
    for member in (_BtfMember * count).from_address(first):
        name = lib.btf__name_by_offset(btf, member.name).decode()
        size = lib.btf__resolve_size(btf, member.type)
        yield layouts.Member(name, member.offset // 8, size)


def _keep_log(level: int, form: bytes, arguments: int) -> int:
    """Called by libbpf; level 2 is for debugging, what may explain a failure is below."""
    if level < 2:
        buffer = ctypes.create_string_buffer(65536)
        libc = ctypes.CDLL(None)
        libc.vsnprintf(buffer, c_size_t(len(buffer)), c_char_p(form), c_void_p(arguments))
        _log.extend(buffer.value.decode(errors="replace").splitlines())
        del _log[:-1000]
    return 0


_keep_log_callback = _PRINT(_keep_log)
"""Kept here, for libbpf holds only its address."""


def _log_tail() -> str:
    return "\n".join(_log[-_LOG_LINES:])


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise UnavailableError(f"libbpf.so.1: {error}; install it (Debian: libbpf1)") from error
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.libbpf_set_print(_keep_log_callback)
    return library


def _check(result: int, operation: str, hint: object = None) -> None:
    if result < 0:
        raise KernelError(operation, -result, hint() if callable(hint) else "")


def _duplicate(fd: int, operation: str) -> int:
    if fd < 0:
        raise KernelError(operation, errno.EBADF)
    return os.dup(fd)
