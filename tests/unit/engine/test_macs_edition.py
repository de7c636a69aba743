"""Programs that keep what they have found in `macs` learn of each change."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import pytest

from tests.fake_maps import FakeMaps
from weft.engine.ebpf.drivers.macs import MacDriver
from weft.engine.ebpf.policy.generations import Generations
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.tables.macs import MacKey, MacValue
from weft.engine.plumbing.devices import Devices
from weft.errors import KernelError
from weft.kernel.bpf import layouts

KEY = MacKey(7, "02:00:00:00:00:01")


class Macs:
    """The map, which notes the edition at each of its changes."""

    def __init__(self, edition: Edition) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.during: list[int] = []
        self.is_broken = False
        self._edition = edition

    def read(self) -> dict[bytes, bytes]:
        return dict(self.entries)

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, Exception]:
        self.during.append(self._edition.number)
        if self.is_broken:
            raise KernelError("write the map", 5)
        self.entries.update(items)
        return {}

    def delete(self, keys: Iterable[bytes]) -> dict[bytes, Exception]:
        self.during.append(self._edition.number)
        for key in keys:
            del self.entries[key]
        return {}


class Edition:
    """The map of one number."""

    def __init__(self) -> None:
        self.number = 0

    def update(self, items: Mapping[bytes, bytes]) -> dict[bytes, Exception]:
        ((_, value),) = items.items()
        self.number = layouts.Edition.decode(value).number
        return {}


def driver(macs: Macs, edition: Edition) -> MacDriver:
    names = Devices.__new__(Devices)
    names.known_way = names.way = lambda host: 0  # type: ignore[attr-defined]
    maps = FakeMaps()
    generations = Generations(maps.__getitem__, Numbering(maps.__getitem__))
    return MacDriver(lambda: macs, lambda: edition, names, generations)  # type: ignore[arg-type,return-value]


def test_the_edition_is_odd_while_the_map_changes_and_another_one_afterwards() -> None:
    edition = Edition()
    macs = Macs(edition)
    held = driver(macs, edition)
    wanted: dict[Hashable, Hashable] = {KEY: MacValue(is_host=True)}
    numbers = []
    for upserts, deletes in ((wanted, []), ({}, [KEY])):
        assert not held.write(upserts, deletes)
        numbers.append(edition.number)
    assert len(macs.during) == 2
    assert all(number % 2 for number in macs.during)
    assert not any(number % 2 for number in numbers)
    assert len({*numbers}) == 2


def test_a_look_begins_another_one() -> None:
    """Whoever changed the map behind weftd's back told nobody."""
    edition = Edition()
    held = driver(Macs(edition), edition)
    held.read({})
    first = edition.number
    held.read({})
    assert first % 2 == 0 and edition.number % 2 == 0
    assert edition.number != first


def test_a_change_that_fails_may_have_changed_something() -> None:
    edition = Edition()
    macs = Macs(edition)
    held = driver(macs, edition)
    held.read({})
    before = edition.number
    macs.is_broken = True
    with pytest.raises(KernelError):
        held.write({KEY: MacValue(is_host=True)}, [])
    assert edition.number % 2 == 0
    assert edition.number != before


def test_two_weftds_do_not_begin_alike() -> None:
    numbers = set()
    for _ in range(3):
        edition = Edition()
        driver(Macs(edition), edition).read({})
        numbers.add(edition.number)
    assert len(numbers) == 3
