"""What a map takes over from one of another layout that it replaces.

A map that weftd writes needs nothing of its former self: it is filled from the records before any
program uses it. What programs write (connections, counters, DNS queries on their way) nobody can
say again. For such a map `CONVERTERS` says how an entry of the last layout becomes one of the next.

Programs write into the former map until the new ones have taken their place, so entries are taken
over twice: all of them at once, and at the end what has changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from weft.kernel.bpf.maps import BpfMap

Entry = tuple[bytes, bytes]


class Converter(NamedTuple):
    """From one layout to the next."""

    former: str
    """Name of the map before."""
    convert: Callable[[bytes, bytes], Entry | None]
    """Key and value (of one CPU, where there is one each) to those of the new layout; None: the
    entry means nothing there."""


_COUNTERS_BYTES = 32

CONVERTERS: Mapping[str, Converter] = {
    # Ports that were there have no berth, and their drops are counted anew.
    "other_counters_v1": Converter("counters_v1", lambda key, raw: (key, raw[:_COUNTERS_BYTES])),
}
"""By the name of the new map: one for every map that programs write and that has changed."""


def steps_to(
    name: str, converters: Mapping[str, Converter], is_there: Callable[[str], bool]
) -> tuple[str, list[Converter]] | None:
    """The newest former map that is there, and the converters from it to `name`."""
    steps: list[Converter] = []
    while (converter := converters.get(name)) is not None:
        steps.insert(0, converter)
        name = converter.former
        if is_there(name):
            return name, steps
    return None


class Handover:
    """From one map to another, both open as long as this is."""

    def __init__(self, former: BpfMap, new: BpfMap, steps: list[Converter]) -> None:
        """`former` is closed with this; `new` is not."""
        self._former = former
        self._new = new
        self._steps = steps
        self._seen: dict[bytes, bytes] = {}
        self._given: dict[bytes, bytes] = {}

    def begin(self) -> None:
        """Take over all that the new map has not got."""
        self._seen = self._former.read()
        known = self._new.read()
        self._given = {key: value for key, value in self._converted(self._seen) if key not in known}
        self._new.update(self._given)

    def finish(self) -> None:
        """Take over what has changed since, unless the new programs have written it, too."""
        now = self._former.read()
        changed = {key: value for key, value in now.items() if self._seen.get(key) != value}
        known = self._new.read()
        self._new.update(
            {
                key: value
                for key, value in self._converted(changed)
                if known.get(key) == self._given.get(key)
            }
        )

    def close(self) -> None:
        """Give the former map back."""
        self._former.close()

    def _converted(self, entries: Mapping[bytes, bytes]) -> Iterator[Entry]:
        for key, value in entries.items():
            entry = self._convert(key, value)
            if entry is not None:
                yield entry

    def _convert(self, key: bytes, value: bytes) -> Entry | None:
        former, new = self._former.stride, self._new.stride
        values = _pieces(value, former) if former else [value]
        for step in self._steps:
            entries = [step.convert(key, each) for each in values]
            if any(entry is None for entry in entries):
                return None
            key = next(entry[0] for entry in entries if entry is not None)
            values = [entry[1] for entry in entries if entry is not None]
        return key, b"".join(each.ljust(new, b"\0") for each in values)


def _pieces(value: bytes, size: int) -> list[bytes]:
    return [value[at : at + size] for at in range(0, len(value), size)]
