"""What all hosts of a simulated cluster hold from the start, held once.

A thousand real copies of 100 000 ports would need 100 GB and an hour to make. Each host looks
through its own changes at the common state; replication cannot tell the difference.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.mesh.held import Held, fingerprint
from weft.store.entry import Entry, Key, Origin


class SharedHeld(Held):
    """A host's own changes over entries that all share and nobody changes."""

    def __init__(self, shared: Held) -> None:
        super().__init__()
        self.checksum = shared.checksum
        self.tombstones = set(shared.tombstones)
        self._shared = shared
        self._gone: set[Key] = set()
        """Keys of shared entries that are superseded or removed here."""

    def __len__(self) -> int:
        return super().__len__() + len(self._shared) - len(self._gone)

    def __iter__(self) -> Iterator[Entry]:
        yield from super().__iter__()
        for entry in self._shared:
            if entry.key not in self._gone:
                yield entry

    def get(self, key: Key) -> Entry | None:
        """See `Held.get`."""
        entry = super().get(key)
        return entry if entry is not None or key in self._gone else self._shared.get(key)

    def remove(self, key: Key) -> Entry | None:
        """See `Held.remove`."""
        old = super().remove(key)
        if old is not None or key in self._gone:
            return old
        old = self._shared.get(key)
        if old is not None:
            self._gone.add(key)
            if old.content is None:
                self.tombstones.discard(key)
            else:
                self.checksum ^= fingerprint(key, old)
        return old

    def origins(self) -> list[Origin]:
        """See `Held.origins`; shared ones of which nothing is left are among them."""
        return list({*super().origins(), *self._shared.origins()})

    def of(self, origin: Origin) -> list[Entry]:
        """See `Held.of`."""
        return self._together(super().of(origin), self._shared.of(origin))

    def between(self, origin: Origin, base: int, mark: int) -> list[Entry]:
        """See `Held.between`."""
        own = super().between(origin, base, mark)
        return self._together(own, self._shared.between(origin, base, mark))

    def _together(self, own: list[Entry], shared: list[Entry]) -> list[Entry]:
        kept = [entry for entry in shared if entry.key not in self._gone]
        return sorted((*own, *kept), key=lambda entry: entry.sequence)
