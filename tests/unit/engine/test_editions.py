"""All that a subject's rules say changes at once, and goes when no program can be reading it."""

from __future__ import annotations

import pytest

from tests.fake_maps import FakeMaps
from weft.engine.ebpf.policy.atoms import GroupAtom
from weft.engine.ebpf.policy.editions import At, Editions
from weft.engine.ebpf.policy.identities import MOST_ATOMS, Identities
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.policy.regions import Region, Regions
from weft.errors import ExhaustedError, KernelError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Direction
from weft.model.ids import GroupId

IN, OUT = Direction.INGRESS, Direction.EGRESS


class Clock:
    """Monotonic seconds, which pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def maps() -> FakeMaps:
    return FakeMaps()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def content(*starts: int) -> bytes:
    return b"".join(layouts.Span(start, (1, 2, 3)).encode() for start in starts)


def held(maps: FakeMaps, room: int = 8) -> Regions:
    return Regions(maps.__getitem__, room)


def test_the_same_spans_are_one_region_until_nobody_needs_them(maps: FakeMaps) -> None:
    regions = held(maps)
    one = regions.hold(content(0, 5))
    assert regions.hold(content(0, 5)) == one == Region(0, 2)
    assert regions.hold(content(0)) == Region(2, 1)
    regions.release(one)
    assert regions.hold(content(0, 7)) == Region(3, 2), "the first one is still held"
    regions.release(one)
    assert regions.hold(content(0, 9)) == Region(0, 2)


def test_gaps_are_joined_and_used_first(maps: FakeMaps) -> None:
    regions = held(maps)
    found = [regions.hold(content(0, 10 * at)) for at in range(4)]
    with pytest.raises(ExhaustedError, match="no room for 1 more spans, this host has 8"):
        regions.hold(content(0))
    for each in found[1:3]:
        regions.release(each)
    assert regions.hold(content(0, 1, 2, 3)) == Region(2, 4)
    regions.release(found[3])
    assert regions.end == 6


def test_what_the_kernel_does_not_take_leaves_no_hole(maps: FakeMaps) -> None:
    regions = held(maps)
    maps["spans_v1"].room = 0
    with pytest.raises(KernelError):
        regions.hold(content(0, 1))
    maps["spans_v1"].room = None
    assert regions.hold(content(0, 1)) == Region(0, 2)


class Subject:
    """One, and its editions."""

    def __init__(self, maps: FakeMaps, clock: Clock) -> None:
        self.maps = maps
        self.regions = held(maps, 100)
        self.editions = Editions(maps.__getitem__, self.regions, clock)
        self.heads: dict[At, Region] = {}

    def say(self, **said: tuple[int, ...]) -> None:
        """New heads by atom (``a5``) in place of all; () takes one away."""
        heads, gone = dict(self.heads), []
        for name, starts in said.items():
            at = At(IN, int(name[1:]))
            if at in heads:
                gone.append(heads.pop(at))
            if starts:
                heads[at] = self.regions.hold(content(*starts))
        self.editions.replace(7, heads, gone)
        self.heads = heads

    @property
    def current(self) -> int:
        raw = self.maps["current_v1"].lookup((7).to_bytes(4, "little"))
        return layouts.Current.decode(raw).edition if raw else 0

    def entries(self, edition: int) -> set[int]:
        keys = map(layouts.HeadKey.decode, self.maps["heads_v1"].entries)
        return {key.atom for key in keys if key.edition == edition}


def test_another_edition_is_whole_before_it_is_current_and_the_former_rests(
    maps: FakeMaps, clock: Clock
) -> None:
    subject = Subject(maps, clock)
    subject.say(a0=(0, 1), a5=(0, 2))
    first = subject.current
    subject.say(a5=(), a6=(0, 3), a9=(0, 4))
    second = subject.current
    assert second != first
    assert (subject.entries(first), subject.entries(second)) == ({5}, {6, 9})
    subject.editions.tidy()
    assert subject.entries(first) == {5}
    assert subject.editions.due_in_s == 1.0
    clock.now_s += 1.1
    subject.editions.tidy()
    assert subject.entries(first) == set()
    assert subject.regions.hold(content(0, 77)) == Region(2, 2), "where the gone head's was"


def test_one_head_alone_is_changed_in_place(maps: FakeMaps, clock: Clock) -> None:
    subject = Subject(maps, clock)
    subject.say(**{f"a{atom}": (0, atom) for atom in range(1, 50)})
    first, writes = subject.current, maps.writes
    subject.say(a20=(0, 1000))
    assert subject.current == first
    assert maps.writes - writes == 3, "two spans and a head"
    subject.say(a0=(0, 1))
    assert subject.current != first, "what is about anybody stands in the row of the edition"


def test_an_edition_that_does_not_fit_changes_nothing(maps: FakeMaps, clock: Clock) -> None:
    subject = Subject(maps, clock)
    subject.say(a5=(0, 1))
    first = subject.current
    maps["heads_v1"].room = 2
    with pytest.raises(KernelError, match="it is full"):
        subject.say(a6=(0, 1), a7=(0, 1), a8=(0, 1))
    assert subject.current == first
    assert set(maps["heads_v1"].entries) == {layouts.HeadKey(first, 5).encode()}


def test_a_subject_without_rules_has_no_edition(maps: FakeMaps, clock: Clock) -> None:
    subject = Subject(maps, clock)
    subject.say(a5=(0, 1))
    subject.say(a5=())
    assert subject.current == 0
    clock.now_s += 2
    subject.editions.tidy()
    assert not maps["heads_v1"].entries and subject.editions.due_in_s is None


def atoms(count: int) -> tuple[GroupAtom, ...]:
    return tuple(GroupAtom(GroupId(f"g{number}")) for number in range(count))


def test_an_identity_is_a_set_of_atoms_and_survives_weftd(maps: FakeMaps, clock: Clock) -> None:
    for _ in range(2):
        numbering = Numbering(maps.__getitem__, clock)
        identities = Identities(maps.__getitem__, numbering, clock)
        many, few = identities.of(atoms(MOST_ATOMS)), identities.of(atoms(3))
        assert (many, few, identities.of(())) == (1, 2, 0)
        assert set(identities.atoms(many)) == set(atoms(MOST_ATOMS))
    with pytest.raises(ExhaustedError, match="in 481 groups that rules name: 480 are"):
        identities.of(atoms(MOST_ATOMS + 1))


def test_numbers_that_no_row_needs_are_given_up_at_a_look(maps: FakeMaps, clock: Clock) -> None:
    numbering = Numbering(maps.__getitem__, clock)
    identities = Identities(maps.__getitem__, numbering, clock)
    gone, kept = identities.of(atoms(2)), identities.of(atoms(1))
    numbering.begin_look()
    identities.begin_look()
    assert identities.of(atoms(1)) == kept
    identities.end_look()
    numbering.end_look()
    assert len(maps["symbols_v1"].entries) == 1
    assert len(maps["identities_v1"].entries) == 1
    clock.now_s += 2
    assert identities.of(atoms(3)) == gone
    assert numbering.number(Kind.ATOM, atoms(3)[2]) in (2, 3)
