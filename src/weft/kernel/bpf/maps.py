"""BPF maps as Python sees them: bytes to bytes, in batches.

Every map is a cache of what weftd can say again at any time, so an entry that cannot be written is
told to the caller and does not stop the others. An array reads as if it were a hash: what is all
zero is no entry.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from weft.errors import KernelError
from weft.kernel.bpf import syscall
from weft.kernel.bpf.syscall import Command, MapType

BATCH = 16384
"""Entries per system call: large enough that the call itself costs nothing."""
_BLOCK = 64
FIRST_BATCH = 256
"""The same of a read's first call. Most maps hold few entries, and making room for many costs more
than they do."""
_PER_CPU = (MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH)
_ARRAYS = (MapType.ARRAY, MapType.PERCPU_ARRAY)


class Batch(NamedTuple):
    """Entries side by side."""

    keys: bytearray
    values: bytearray
    entries: int
    """How many there are; what lies behind them is none."""


class _NoBatches(Exception):
    """The kernel knows none for this type of map."""


class Entries(Protocol):
    """What one map holds, or several that are used as one; see `BpfMap`."""

    def lookup(self, key: bytes) -> bytes | None:
        """One value."""
        ...

    def read(self) -> dict[bytes, bytes]:
        """All entries."""
        ...

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, KernelError]:
        """Write entries; gives those that were refused."""
        ...

    def delete(self, keys: Iterable[bytes]) -> dict[bytes, KernelError]:
        """Remove entries; gives those that were refused."""
        ...


class Elements(Entries, Protocol):
    """What an array holds; see `BpfMap`."""

    def read_first(self, count: int) -> dict[bytes, bytes]:
        """What its first elements hold."""
        ...


class BpfMap:
    """An open map. Keys and values are bytes of exactly the map's sizes.

    A value of a per-CPU map is the values of all possible CPUs one after the other, each rounded
    up to 8 bytes (`cpu_count`, `stride`).
    """

    def __init__(self, fd: int, name: str = "") -> None:
        """Owns `fd` from now on. `name` is for messages; the kernel's has at most 15 letters."""
        self.fd = fd
        self.info = syscall.map_info(fd)
        self.key_size = self.info.key_size
        self.is_per_cpu = self.info.type in _PER_CPU
        self.stride = (self.info.value_size + 7) // 8 * 8 if self.is_per_cpu else 0
        self.value_size = self.stride * cpu_count() if self.is_per_cpu else self.info.value_size
        self.name = name or self.info.name
        self._none = bytes(self.value_size) if self.info.type in _ARRAYS else None
        self._has_batches = True

    @classmethod
    def open(cls, path: Path) -> Self:
        """The map pinned at `path`."""
        return cls(syscall.get_pinned(path), path.name)

    def close(self) -> None:
        """The map stays while it is pinned or a program uses it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lookup(self, key: bytes) -> bytes | None:
        """One value; of an LPM trie that of the longest prefix that covers `key`."""
        value = bytearray(self.value_size)
        error = self._element(Command.MAP_LOOKUP, key, value)
        if error == errno.ENOENT:
            return None
        self._check(error, "read")
        found = bytes(value)
        return found if found != self._none else None

    def read(self) -> dict[bytes, bytes]:
        """All entries. Those that come or go meanwhile may be there or not. A ring has none."""
        if self.info.type == MapType.RINGBUF:
            return {}
        if self._has_batches:
            entries = self._read_batches()
            if entries is not None:
                return entries
            self._has_batches = False
        return self._read_singly()

    def read_first(self, count: int) -> dict[bytes, bytes]:
        """Of an array what its first elements hold, in one system call where there are batches."""
        found = self._read_batches(count, is_all=False) if self._has_batches else None
        if found is not None:
            return found
        keys = (number.to_bytes(4, "little") for number in range(min(count, self.info.max_entries)))
        singly = {key: self.lookup(key) for key in keys}
        return {key: value for key, value in singly.items() if value is not None}

    def batches(self) -> Iterator[Batch]:
        """All entries as they lie in memory, for who looks at few of very many. Other things may be
        done between two batches; entries that come or go meanwhile may be there or not.
        KernelError: the kernel refuses, or has no batches for this type of map (before 5.6)."""
        try:
            yield from self._batches(FIRST_BATCH)
        except _NoBatches:
            raise KernelError(f"read BPF map {self.name} in batches", errno.EOPNOTSUPP) from None

    def read_summed(self) -> dict[bytes, tuple[int, ...]]:
        """All entries of a per-CPU map whose value is 64-bit numbers, summed over the CPUs."""
        numbers = self.stride // 8
        layout = struct.Struct(f"<{numbers * cpu_count()}Q")
        return {key: _sum(layout.unpack(value), numbers) for key, value in self.read().items()}

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, KernelError]:
        """Write entries, new or not. Gives those that the kernel refused, and why."""
        keys = list(items)
        values = b"".join(items.values())
        if len(values) != len(keys) * self.value_size:
            raise ValueError(f"BPF map {self.name}: a value is not {self.value_size} bytes")
        return self._apply(Command.MAP_UPDATE_BATCH, keys, values)

    def delete(self, keys: Iterable[bytes]) -> dict[bytes, KernelError]:
        """Remove entries; one that is not there is none the worse. Gives those refused."""
        if self._none is not None:
            return self.update(dict.fromkeys(keys, self._none))
        return self._apply(Command.MAP_DELETE_BATCH, list(keys), b"")

    def _apply(
        self, command: Command, keys: list[bytes], values: bytes
    ) -> dict[bytes, KernelError]:
        """A batch command on all `keys`; the kernel stops at a bad entry, we go on after it."""
        joined = b"".join(keys)
        if len(joined) != len(keys) * self.key_size:
            raise ValueError(f"BPF map {self.name}: a key is not {self.key_size} bytes")
        failures: dict[bytes, KernelError] = {}
        position = 0
        while position < len(keys):
            done, error = self._batch(command, joined, values, position, len(keys) - position)
            position += done
            if not error:
                continue
            key = keys[position]
            if not (error == errno.ENOENT and command == Command.MAP_DELETE_BATCH):
                verb = "write" if command == Command.MAP_UPDATE_BATCH else "delete"
                failures[key] = self._error(error, verb)
            position += 1
        return failures

    def _batch(
        self, command: Command, keys: bytes, values: bytes, first: int, count: int
    ) -> tuple[int, int]:
        """(entries done, errno that stopped at the next one)."""
        if not self._has_batches:
            return self._single(command, keys, values, first)
        count = min(count, BATCH)
        key_at = syscall.address_of(keys) + first * self.key_size
        value_at = syscall.address_of(values) + first * self.value_size if values else 0
        attribute = bytearray(
            struct.pack("<QQQQIiQQ", 0, 0, key_at, value_at, count, self.fd, 0, 0)
        )
        _, error = syscall.try_call(command, attribute)
        if not error:
            return count, 0
        done = struct.unpack_from("<I", attribute, 32)[0]
        if syscall.is_unsupported(error):
            # The count is not touched by a kernel that knows no batch for this type of map.
            self._has_batches = False
            return 0 if done == count else done, 0
        return min(done, count - 1), error

    def _single(self, command: Command, keys: bytes, values: bytes, at: int) -> tuple[int, int]:
        key = keys[at * self.key_size : (at + 1) * self.key_size]
        if command == Command.MAP_DELETE_BATCH:
            error = self._element(Command.MAP_DELETE, key, bytearray())
        else:
            value = bytearray(values[at * self.value_size : (at + 1) * self.value_size])
            error = self._element(Command.MAP_UPDATE, key, value)
        return (0, error) if error else (1, 0)

    def _element(self, command: Command, key: bytes, value: bytearray) -> int:
        if len(key) != self.key_size:
            raise ValueError(f"BPF map {self.name}: a key is not {self.key_size} bytes")
        value_at = syscall.address_of(value) if value else 0
        key_at = syscall.address_of(key)
        attribute = bytearray(struct.pack("<iIQQQ", self.fd, 0, key_at, value_at, 0))
        return syscall.try_call(command, attribute)[1]

    def _read_batches(
        self, room: int = FIRST_BATCH, *, is_all: bool = True
    ) -> dict[bytes, bytes] | None:
        """None: this type of map has no batches."""
        entries: dict[bytes, bytes] = {}
        try:
            for batch in self._batches(room):
                entries.update(self._pairs(batch))
                if not is_all:
                    break
        except _NoBatches:
            return None
        return entries

    def _batches(self, room: int) -> Iterator[Batch]:
        size = min(room, max(self.info.max_entries, 1))
        position = bytearray(max(self.key_size, 8))
        is_first = True
        while True:
            keys, values = bytearray(size * self.key_size), bytearray(size * self.value_size)
            at = syscall.address_of(position)
            attribute = bytearray(
                struct.pack(
                    "<QQQQIiQQ",
                    0 if is_first else at,
                    at,
                    syscall.address_of(keys),
                    syscall.address_of(values),
                    size,
                    self.fd,
                    0,
                    0,
                )
            )
            _, error = syscall.try_call(Command.MAP_LOOKUP_BATCH, attribute)
            if error == errno.ENOSPC:  # a hash bucket holds more than a whole batch
                size *= 2
                continue
            if is_first and syscall.is_unsupported(error):
                raise _NoBatches
            if error not in (0, errno.ENOENT):
                raise self._error(error, "read")
            count = struct.unpack_from("<I", attribute, 32)[0]
            is_first = False
            if count:
                yield Batch(keys, values, count)
            if error == errno.ENOENT or count == 0:
                return
            size = min(4 * size, BATCH)

    def _pairs(self, batch: Batch) -> Iterable[tuple[bytes, bytes]]:
        keys, values, count = batch
        size = self.value_size
        if self._none is None:
            yield from zip(_pieces(keys, self.key_size, count), _pieces(values, size, count))
            return
        # Arrays are mostly empty, and what is empty is passed over by the block.
        empty = self._none * _BLOCK
        for first in range(0, count, _BLOCK):
            length = min(_BLOCK, count - first)
            block = values[first * size : (first + length) * size]
            if empty.startswith(block):
                continue
            its_keys = keys[first * self.key_size : (first + length) * self.key_size]
            pairs = zip(_pieces(its_keys, self.key_size, length), _pieces(block, size, length))
            yield from (pair for pair in pairs if pair[1] != self._none)

    def _read_singly(self) -> dict[bytes, bytes]:
        entries: dict[bytes, bytes] = {}
        key: bytes | None = None
        while True:
            following = bytearray(self.key_size)
            key_at = syscall.address_of(key) if key is not None else 0
            attribute = bytearray(
                struct.pack("<iIQQQ", self.fd, 0, key_at, syscall.address_of(following), 0)
            )
            _, error = syscall.try_call(Command.MAP_NEXT_KEY, attribute)
            if error == errno.ENOENT:
                return entries
            self._check(error, "read")
            key = bytes(following)
            value = bytearray(self.value_size)
            error = self._element(Command.MAP_LOOKUP, key, value)
            if error != errno.ENOENT:
                self._check(error, "read")
                if bytes(value) != self._none:
                    entries[key] = bytes(value)

    def _check(self, error: int, verb: str) -> None:
        if error:
            raise self._error(error, verb)

    def _error(self, error: int, verb: str) -> KernelError:
        hints = {
            errno.E2BIG: f"the map holds {self.info.max_entries} entries and is full",
            errno.ENOSPC: f"the map holds {self.info.max_entries} entries and is full",
        }
        return KernelError(f"{verb} BPF map {self.name}", error, hints.get(error, ""))


@cache
def cpu_count() -> int:
    """Possible CPUs, which is how many values a per-CPU map holds for a key."""
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(text.replace("-", ",").split(",")[-1]) + 1


def _sum(numbers: tuple[int, ...], width: int) -> tuple[int, ...]:
    return tuple(sum(numbers[start::width]) for start in range(width))


def _pieces(data: bytearray, size: int, count: int) -> Iterable[bytes]:
    whole = bytes(data)
    return (whole[at : at + size] for at in range(0, count * size, size))
