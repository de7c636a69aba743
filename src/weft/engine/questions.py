"""Answers that are remembered, and what everybody has read, between records and rows.

A reader is a compile function's call, or a question. What it reads through its `TrackingView` is
noted. A change of records makes stale whoever has read what differs now; a stale question is
answered again, and only when its answer is another are its own readers stale (early cut-off). So a
remembered answer always equals a fresh one (`store.asking`).

Questions are answered again by depth: those that ask no others first, and each after all that it
has asked. So whatever rests on a question whose answer is the same costs nothing, however much it
is.

A question that fails has its failure as its answer: it is raised anew in every reader, and it goes
when something changes that the question has read. Questions that wait for each other fail as well.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple, TypeVar, cast

import structlog

from weft.engine.readings import Follower, Reader, Readings
from weft.engine.reads import (
    Asked,
    Beginning,
    Exists,
    FoundBy,
    Got,
    Listed,
    Read,
    touched,
)
from weft.model.records import Record
from weft.store.asking import Failed, circle, failure, is_circle
from weft.store.interface import Changed, Question, QuestionError, View

log = structlog.get_logger()
R = TypeVar("R", bound=Record)
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Stale(NamedTuple):
    """Who must be computed anew after a change."""

    readers: set[Reader]
    """Never a question: these are answered again by then."""
    elements: dict[Read, set[Hashable] | None]
    """Of the sets that followers follow: what may have come or gone. None: it is no set, or was
    none."""


class TrackingView:
    """A view that notes what is read through it, in order."""

    def __init__(self, questions: Questions, view: View, reads: dict[Read, None]) -> None:
        self._questions = questions
        self._view = view
        self._reads = reads

    def get(self, kind: type[R], id: str) -> R | None:
        """See `View.get`."""
        self._reads[Got(kind, id)] = None
        return self._view.get(kind, id)

    def list(self, kind: type[R]) -> Iterable[R]:
        """See `View.list`."""
        self._reads[Listed(kind)] = None
        return self._view.list(kind)

    def by(self, kind: type[R], field: str, value: object) -> Iterable[R]:
        """See `View.by`."""
        found = self._view.by(kind, field, value)
        self._reads[FoundBy(kind, field, value)] = None
        return found

    def any(self, kind: type[Record], field: str, value: object) -> bool:
        """See `View.any`."""
        found = self._view.any(kind, field, value)
        self._reads[Exists(kind, field, value)] = None
        return found

    def beginning(self, kind: type[Record], field: str, first: object) -> Iterable[object]:
        """See `View.beginning`."""
        self._reads[Beginning(kind, field, first)] = None
        return self._view.beginning(kind, field, first)

    def ask(self, question: Question[K, T], key: K) -> T:
        """See `View.ask`."""
        asked = Asked(question, key)
        self._reads[asked] = None
        return cast("T", self._questions.answer(asked))


class Questions:
    """The answers that somebody reads, kept up to date change by change."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._readings = Readings(self._begun, self._ended)
        self._answers: dict[Read, object] = {}
        """As readers know them: to questions, whether there are any, and which values there are."""
        self._depths: dict[Asked, int] = {}
        """More than those of all that a question has asked."""
        self._stale: set[Asked] = set()
        """Questions that have read what is something else now."""
        self._turns: list[tuple[int, int, Asked]] = []
        """Theirs: a heap by depth, and by the order in which they became stale."""
        self._turn = 0
        self._sure: set[Asked] = set()
        """Questions of which it is known that nothing they rest on is stale."""
        self._is_circling = False
        """Some questions have waited for each other. In circles nothing is deeper than the rest, so
        from then on all that a question asks is looked at before its turn."""
        self._reworded: set[Asked] = set()
        """Questions in circles whose readers have been told of other words in this update."""
        self._open: dict[Asked, None] = {}
        """Those that are being answered, each waiting for the next."""
        self._unread: set[Asked] = set()
        """Those that have lost their last reader."""
        self._found = Stale(set(), {})

    def view(self, reads: dict[Read, None]) -> TrackingView:
        """The records, noting in `reads` what is read. To be given to `note`, whatever happens."""
        return TrackingView(self, self._view, reads)

    def note(self, reader: Reader, reads: dict[Read, None]) -> None:
        """This is what a reader has read now; nothing: forget it."""
        self._readings.note(reader, reads)

    def answer(self, asked: Asked) -> object:
        """The answer to a question. Raises QuestionError when it has none."""
        if asked in self._open:
            waiting = tuple(self._open)
            raise circle((each.question, each.key) for each in waiting[waiting.index(asked) :])
        if asked not in self._answers:
            self._answer(asked)
        elif asked in self._stale or self._may_be_later(asked):
            self._settle(asked)
        answer = self._answers[asked]
        if isinstance(answer, Failed):
            raise QuestionError(answer.reason)
        return answer

    def update(self, changed: Sequence[Changed]) -> Stale:
        """Take changes of the view, which already shows them; returns whom they concern."""
        self._found = found = Stale(set(), {})
        self._reworded.clear()
        for read, elements in touched(changed).items():
            if read in self._readings and self._differs(read, elements):
                self._tell(read, elements)
        while self._turns:
            _, _, asked = heappop(self._turns)
            if asked in self._stale:
                self._answer(asked)
        return found

    def forget_unread(self) -> None:
        """Forget the questions that nobody reads any more. To be called when all who are stale have
        been computed anew, for what one of them reads no more another may have begun to read."""
        while self._unread:
            asked = self._unread.pop()
            if asked not in self._readings:
                del self._answers[asked], self._depths[asked]
                self.note(asked, {})

    def _begun(self, read: Read) -> None:
        """Somebody reads this now."""
        if isinstance(read, Exists):
            self._answers[read] = self._view.any(read.kind, read.field, read.value)
        elif isinstance(read, Beginning):
            self._answers[read] = set(read.elements(self._view))

    def _ended(self, read: Read) -> None:
        """Nobody reads this any more."""
        if isinstance(read, Asked):
            self._unread.add(read)
        else:
            self._answers.pop(read, None)

    def _differs(self, read: Read, elements: set[Hashable]) -> bool:
        """Whether readers of something that was touched would read something else now."""
        if isinstance(read, Exists):
            now = self._view.any(read.kind, read.field, read.value)
            former, self._answers[read] = self._answers[read], now
            return now != former
        if isinstance(read, Beginning):
            known = cast("set[Hashable]", self._answers[read])
            flipped = {each for each in elements if read.has(each, self._view) != (each in known)}
            known ^= flipped
            return bool(flipped)
        return True

    def _tell(self, read: Read, elements: set[Hashable] | None) -> None:
        """All who have read this, that they would read something else now."""
        for reader in self._readings.callers(read):
            self._found.readers.add(reader)
            if isinstance(reader, Follower):
                self._found.elements[read] = elements
        for asked in self._readings.questions(read):
            if asked not in self._stale:
                self._take_turn(asked)

    def _take_turn(self, asked: Asked) -> None:
        """It is stale, and is answered again when all are that are less deep."""
        self._stale.add(asked)
        self._turn += 1
        heappush(self._turns, (self._depths.get(asked, 0), self._turn, asked))
        self._sure.clear()

    def _may_be_later(self, asked: Asked) -> bool:
        """Whether a question that another one asks is none that has had its turn before that."""
        if not self._open:
            return False
        if self._is_circling:
            return True
        asking = self._depths.get(next(reversed(self._open)))
        return bool(self._stale) if asking is None else self._depths[asked] >= asking

    def _settle(self, asked: Asked) -> None:
        """Answer a question again, before its turn, if something changed that it rests on. What it
        had read is looked at in the order in which it had: it may be that it reads the rest no
        more."""
        if asked in self._sure:
            return
        self._open[asked] = None
        for read in self._readings.of(asked):
            if asked in self._stale:
                break
            if read in self._open:
                self._stale.add(asked)
            elif isinstance(read, Asked):
                self._settle(read)
        del self._open[asked]
        if asked in self._stale:
            self._answer(asked)
        else:
            self._sure.add(asked)

    def _deepen(self, asked: Asked, reads: Iterable[Read]) -> bool:
        """Whoever has asked a question is deeper than that. False: it has come back to itself."""
        asked_depths = (self._depths.get(read, 0) for read in reads if isinstance(read, Asked))
        depth = 1 + max(asked_depths, default=0)
        if self._is_circling:
            self._depths[asked] = depth
            return True
        deeper = {asked: depth} if depth > self._depths.get(asked, 0) else {}
        while deeper:
            each, depth = deeper.popitem()
            self._depths[each] = depth
            for reader in self._readings.questions(each):
                if reader == asked:
                    return False
                if self._depths.get(reader, 0) <= depth:
                    deeper[reader] = max(depth + 1, deeper.get(reader, 0))
        return True

    def _answer(self, asked: Asked) -> None:
        former = self._answers.get(asked)
        reads: dict[Read, None] = {}
        self._open[asked] = None
        answer: object
        try:
            answer = asked.question.function(asked.key, self.view(reads))
        except Exception as error:
            answer = failure(asked.question, asked.key, error)
            if answer != former and not isinstance(error, QuestionError):
                log.exception("question not answered", question=asked.question.name, key=asked.key)
        finally:
            del self._open[asked]
        self.note(asked, reads)
        self._stale.discard(asked)
        if not self._deepen(asked, reads):
            self._is_circling = True
            self._take_turn(asked)
        is_known = asked in self._answers
        self._answers[asked] = answer
        if is_known and answer != former and not self._is_round_again(asked, former, answer):
            self._tell(asked, _flipped(former, answer))

    def _is_round_again(self, asked: Asked, former: object, answer: object) -> bool:
        """Whether it differs in words alone, as circles do that have questions in common, by which
        one it was come to; and its readers have been told of other words already."""
        if not (self._is_circling and is_circle(former) and is_circle(answer)):
            return False
        is_again = asked in self._reworded
        self._reworded.add(asked)
        return is_again


def _flipped(former: object, answer: object) -> set[Hashable] | None:
    """The elements of a set that have come or gone."""
    if isinstance(former, frozenset) and isinstance(answer, frozenset):
        return set(former ^ answer)
    return None
