"""Profiles of large heads, kept from one change to the next: a rule more or less among ten thousand
costs that rule, and not a profile of all of them.

What a kept profile gives is what a fresh one of the same clauses has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

from weft.engine.ebpf.policy.clauses import Said
from weft.engine.ebpf.policy.profile import Clause, Profile

LEAST = 64
"""Of fewer clauses a fresh profile is as fast."""
MOST_CHANGES = 32
"""With more, a fresh profile is faster."""
KEPT = 4
"""Profiles; one of ten thousand rules takes some megabytes."""


class _Known(NamedTuple):
    said: frozenset[Said]
    profile: Profile


class Profiles:
    """Of heads, by any name that a head has."""

    def __init__(self, clause: Callable[[Said], Clause]) -> None:
        """`clause`: what is said, with the number that its rule has as long as it is said."""
        self._clause = clause
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()

    def of(self, head: Hashable, said: tuple[Said, ...]) -> Profile:
        """The profile of a head that says this from now on. The caller does not keep it."""
        known = self._known.pop(head, None)
        if len(said) < LEAST:
            return self._fresh(said)
        wanted = frozenset(said)
        profile = None
        if known is not None and len(wanted) == len(said):
            profile = self._changed(known, wanted)
        if profile is None:
            profile = self._fresh(said)
        if len(wanted) == len(said):
            self._known[head] = _Known(wanted, profile)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return profile

    def forget(self) -> None:
        """All of them: rules may have other numbers."""
        self._known.clear()

    def _fresh(self, said: tuple[Said, ...]) -> Profile:
        return Profile(self._clause(each) for each in said)

    def _changed(self, known: _Known, wanted: frozenset[Said]) -> Profile | None:
        """None: too much has changed."""
        gone, come = known.said - wanted, wanted - known.said
        if len(gone) + len(come) > MOST_CHANGES:
            return None
        for each in gone:
            known.profile.remove(self._clause(each))
        for each in come:
            known.profile.add(self._clause(each))
        return known.profile
