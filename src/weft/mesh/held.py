"""The entries that a host holds: by key, and by sequence number in the log of their origin.

A log names only what is still held. An entry that is superseded leaves it, so what a host keeps
and sends is bounded by the number of keys and not by the number of writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from weft.store.entry import Entry, Key, Origin


def fingerprint(key: Key, entry: Entry) -> int:
    """64 bits that stand for one write under its key."""
    kind, id, owner = key
    host, incarnation = entry.origin
    clock = 0 if entry.is_owned else entry.clock
    text = f"{kind}\0{id}\0{owner}\0{clock} {incarnation} {entry.sequence} {host}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


class Held:
    """One entry a key. Says nothing about which entry should win.

    A host that gave a sequence number twice, against all rules, finds one of the two in the log;
    the other is still held, and found by key and in a full set.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], dict[str, Entry]] = {}
        """By kind and owner, then by id."""
        self._count = 0
        self._logs: dict[Origin, dict[int, Entry]] = {}
        self.tombstones: set[Key] = set()
        self.checksum = 0
        """Of all entries but tombstones, whose time need not end everywhere at once."""

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return iter([entry for group in self._entries.values() for entry in group.values()])

    def get(self, key: Key) -> Entry | None:
        """What is held under a key."""
        kind, id, owner = key
        group = self._entries.get((kind, owner))
        return None if group is None else group.get(id)

    def place(self, key: Key, entry: Entry) -> Entry | None:
        """Hold an entry under its key; returns the entry that was there."""
        old = self.remove(key)
        kind, id, owner = key
        group = self._entries.get((kind, owner))
        if group is None:
            group = self._entries[kind, owner] = {}
        group[id] = entry
        self._count += 1
        log = self._logs.get(entry.origin)
        if log is None:
            log = self._logs[entry.origin] = {}
        log[entry.sequence] = entry
        if entry.content is None:
            self.tombstones.add(key)
        else:
            self.checksum ^= fingerprint(key, entry)
        return old

    def exchange(self, key: Key, old: Entry, new: Entry) -> None:
        """Hold `new` in place of `old`, which is the same write in another form."""
        kind, id, owner = key
        group = self._entries.get((kind, owner), {})
        if group.get(id) is old:
            group[id] = new
            log = self._logs[old.origin]
            if log.get(old.sequence) is old:
                log[old.sequence] = new

    def remove(self, key: Key) -> Entry | None:
        """Hold nothing under a key; returns what was there."""
        kind, id, owner = key
        group = self._entries.get((kind, owner))
        old = None if group is None else group.pop(id, None)
        if old is None:
            return None
        self._count -= 1
        if not group:
            del self._entries[kind, owner]
        log = self._logs.get(old.origin, {})
        if log.get(old.sequence) is old:
            del log[old.sequence]
            if not log:
                del self._logs[old.origin]
        if old.content is None:
            self.tombstones.discard(key)
        else:
            self.checksum ^= fingerprint(key, old)
        return old

    def origins(self) -> list[Origin]:
        """Origins of which any entry is held."""
        return list(self._logs)

    def of(self, origin: Origin) -> list[Entry]:
        """What is held of an origin, in the order in which it was written."""
        log = self._logs.get(origin, {})
        return [log[sequence] for sequence in sorted(log)]

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
        return [log[sequence] for sequence in found]
