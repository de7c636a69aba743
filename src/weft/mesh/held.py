"""The entries that a host holds: by key, and by sequence number in the log of their origin.

A log names only what is still held. An entry that is superseded leaves it, so what a host keeps
and sends is bounded by the number of keys and not by the number of writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from weft.mesh.entry import Entry, Key, Origin


def _fingerprint(entry: Entry) -> int:
    text = "\0".join(map(str, (*entry.key, *entry.rank))).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


class Held:
    """One entry a key. Says nothing about which entry should win.

    A host that gave a sequence number twice, against all rules, finds one of the two in the log;
    the other is still held, and found by key and in a full set.
    """

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._logs: dict[Origin, dict[int, Key]] = {}
        self.tombstones: set[Key] = set()
        self.checksum = 0
        """Of all entries but tombstones, whose time need not end everywhere at once."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def get(self, key: Key) -> Entry | None:
        """What is held under a key."""
        return self._entries.get(key)

    def place(self, entry: Entry) -> Entry | None:
        """Hold an entry; returns the one that was there."""
        old = self.remove(entry.key)
        self._entries[entry.key] = entry
        self._logs.setdefault(entry.origin, {})[entry.sequence] = entry.key
        if entry.body is None:
            self.tombstones.add(entry.key)
        else:
            self.checksum ^= _fingerprint(entry)
        return old

    def remove(self, key: Key) -> Entry | None:
        """Hold nothing under a key; returns what was there."""
        old = self._entries.pop(key, None)
        if old is None:
            return None
        log = self._logs.get(old.origin, {})
        if log.get(old.sequence) == key:
            del log[old.sequence]
            if not log:
                del self._logs[old.origin]
        if old.body is None:
            self.tombstones.discard(key)
        else:
            self.checksum ^= _fingerprint(old)
        return old

    def origins(self) -> list[Origin]:
        """Those of which anything is held."""
        return list(self._logs)

    def of(self, origin: Origin) -> list[Entry]:
        """What is held of an origin, in the order in which it was written."""
        log = self._logs.get(origin, {})
        return [self._entries[log[sequence]] for sequence in sorted(log)]

    def between(self, origin: Origin, base: int, mark: int) -> list[Entry]:
        """What is held of an origin's writes after `base` up to `mark`, in order.

        Costs the smaller of the number of writes asked for and of entries held.
        """
        log = self._logs.get(origin)
        if log is None:
            return []
        if mark - base < len(log):
            found = [sequence for sequence in range(base + 1, mark + 1) if sequence in log]
        else:
            found = sorted(sequence for sequence in log if base < sequence <= mark)
        return [self._entries[log[sequence]] for sequence in found]
