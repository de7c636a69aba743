"""`heads`: what rules say, as editions of each subject in four maps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import NamedTuple

from weft.engine.ebpf.map_table import Names
from weft.engine.ebpf.policy.atoms import CidrAtom, Subject
from weft.engine.ebpf.policy.clauses import Said
from weft.engine.ebpf.policy.editions import HEADS, At, Edition, Editions, subject_rows
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.policy.profile import Clause, Profile, word
from weft.engine.ebpf.policy.profiles import Profiles
from weft.engine.ebpf.policy.regions import Region, Regions
from weft.engine.ebpf.policy.snapshot import Snapshot
from weft.engine.ebpf.tables.heads import HEADS as TABLE
from weft.engine.ebpf.tables.heads import HeadKey
from weft.engine.rows import RowFailure, RowKey
from weft.errors import WeftError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RuleAction, Tier
from weft.kernel.bpf.maps import Elements

_Said = tuple[Said, ...]


class GoneSubject(NamedTuple):
    """A subject that no row is about, by its number."""

    subject: int


class Leftover(NamedTuple):
    """Something in a subject's rules that no row says."""

    subject: Subject


class ForeignHead(NamedTuple):
    """An entry of no edition that is current."""

    raw: bytes


class HeadDriver:
    """See `engine.rows.Driver`."""

    def __init__(
        self,
        open_map: Callable[[str], Elements],
        names: Names,
        end_of_subjects: Callable[[], int],
        hold: Callable[[Kind, int], None],
        changed: Callable[[Subject], None],
    ) -> None:
        """`end_of_subjects`: no number of one is as large. `hold` is told of numbers that
        are needed still; `changed` is told of subjects whose
        rules are about to change."""
        self.name = TABLE.name
        self._open_map = open_map
        self._names = names
        self._end_of_subjects = end_of_subjects
        self._hold = hold
        self._changed = changed
        self._regions = Regions(open_map)
        self._editions = Editions(open_map, self._regions)
        self._contents: dict[_Said, bytes] = {}
        self._profiles = Profiles(self._clause)
        self._gone: list[Subject | GoneSubject] = []
        """What goes when all tables are written."""

    @property
    def tidy_in_s(self) -> float | None:
        """In how many seconds to call `tidy`; None: there is nothing to give back."""
        return self._editions.due_in_s

    def tidy(self) -> None:
        """Give back what programs read no more."""
        self._editions.tidy()

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. Rows of a subject that is not whole are not there."""
        wanted: dict[Subject, dict[At, tuple[HeadKey, _Said]]] = defaultdict(dict)
        for key, said in desired.items():
            assert isinstance(key, HeadKey) and isinstance(said, tuple)
            wanted[key.subject][self._at(key)] = key, said
        maps = Snapshot.read(self._open_map, self._end_of_subjects())
        held = Counter(maps.regions())
        held.update(self._editions.resting_regions)
        contents = self._regions.read(held)
        self._forget_contents(desired.values())
        self._profiles.forget()
        found: dict[Hashable, Hashable] = {}
        current: dict[int, Edition] = {}
        known = {self._names.number(Kind.SUBJECT, subject): subject for subject in wanted}
        for number, subject in known.items():
            edition = maps.current.get(number)
            if edition is None:
                continue
            heads = wanted[subject]
            there = maps.heads(edition, heads)
            right = {
                at: region
                for at, region in there.items()
                if contents.get(region) == self._content(heads[at][1])
            }
            current[number] = Edition(edition, right, maps.strays(edition, right))
            if maps.rows(edition) == subject_rows(edition, there):
                found.update(heads[at] for at in right)
            if maps.count(edition) > len(there):
                found[Leftover(subject)] = None
        gone = maps.current.keys() - known.keys()
        for number in gone:
            found[GoneSubject(number)] = None
            self._hold(Kind.SUBJECT, number)
        stale = maps.outside(each.number for each in current.values())
        resting = self._editions.resting_keys
        found.update((ForeignHead(raw), None) for raw in stale if raw not in resting)
        self._regions.found(held, contents)
        self._editions.found(current, maps.by_edition)
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`. A subject's rows become true together, or none does; one that has
        none any more has them until `finish`, for ports may still be its."""
        self.tidy()
        changes: dict[Subject, dict[HeadKey | Leftover, _Said | None]] = defaultdict(dict)
        for key in deletes:
            if isinstance(key, HeadKey | Leftover):
                changes[key.subject][key] = None
            elif isinstance(key, GoneSubject):
                self._gone.append(key)
            elif isinstance(key, ForeignHead):
                self._open_map(HEADS).delete([key.raw])
        for key, said in upserts.items():
            assert isinstance(key, HeadKey) and isinstance(said, tuple)
            changes[key.subject][key] = said
        failures: list[RowFailure] = []
        for subject, those in changes.items():
            try:
                self._change(subject, those)
            except WeftError as error:
                reason = (
                    f"security group {', '.join(subject)}: its rules stay as they were: {error}"
                )
                failures += [RowFailure(RowKey(self.name, key), reason) for key in those]
        return failures

    def finish(self) -> None:
        """All other tables are written: what nothing leads to any more goes."""
        for key in self._gone:
            if isinstance(key, GoneSubject):
                self._editions.remove(key.subject)
            else:
                number = self._names.number(Kind.SUBJECT, key)
                self._editions.replace(number, {}, self._editions.heads(number).values())
        self._gone.clear()

    def _change(self, subject: Subject, changes: Mapping[HeadKey | Leftover, _Said | None]) -> None:
        number = self._names.number(Kind.SUBJECT, subject)
        heads = dict(self._editions.heads(number))
        self._changed(subject)
        held: list[Region] = []
        gone: list[Region] = []
        try:
            for key, said in changes.items():
                if isinstance(key, Leftover):
                    continue
                at = self._at(key)
                if at in heads:
                    gone.append(heads.pop(at))
                if said is not None:
                    heads[at] = self._regions.hold(self._content(said, (number, at)))
                    held.append(heads[at])
            if heads:
                self._editions.replace(number, heads, gone)
            else:
                self._gone.append(subject)
        except WeftError:
            for region in held:
                self._regions.release(region)
            raise

    def _at(self, key: HeadKey) -> At:
        atom = 0 if key.atom is None else self._names.number(Kind.ATOM, key.atom)
        return At(key.direction, atom, isinstance(key.atom, CidrAtom))

    def _content(self, said: _Said, head: tuple[int, At] | None = None) -> bytes:
        """`head`: which one is to say that from now on; None: it is only compared."""
        content = self._contents.get(said)
        if content is None:
            if head is not None:
                profile = self._profiles.of(head, said)
            else:
                profile = Profile(self._clause(each) for each in said)
            content = b"".join(layouts.Span(*span).encode() for span in profile.spans)
            self._contents[said] = content
        return content

    def _clause(self, said: Said) -> Clause:
        number = self._names.number(Kind.RULE, said.id)
        its = word(said.rank, RuleAction(said.action), number)
        return Clause(said.first, said.last, Tier(said.tier), its)

    def _forget_contents(self, desired: Iterable[Hashable]) -> None:
        """But for those that are still desired."""
        self._contents = {said: self._contents[said] for said in desired if said in self._contents}
