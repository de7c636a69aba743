"""Asking a question of a view that remembers no answers: the answer as it is from nothing.

The engine remembers answers and keeps them up to date (`engine.questions`); everybody else asks
here. Both give the same answer, and the same error where there is none.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple, TypeVar, cast

from weft.model.records import Record
from weft.store.interface import Question, QuestionError, View

R = TypeVar("R", bound=Record)
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
_CIRCLE = "questions go round in a circle"


class Failed(NamedTuple):
    """In place of an answer: there is none."""

    reason: str


class Asking:
    """A view for the time of one question: what it asks several times is answered once."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._answers: dict[tuple[object, Hashable], object] = {}
        self._open: list[tuple[object, Hashable]] = []
        """Questions that wait for the answer to the next one."""

    def get(self, kind: type[R], id: str) -> R | None:
        """See `View.get`."""
        return self._view.get(kind, id)

    def list(self, kind: type[R]) -> Iterable[R]:
        """See `View.list`."""
        return self._view.list(kind)

    def by(self, kind: type[R], field: str, value: object) -> Iterable[R]:
        """See `View.by`."""
        return self._view.by(kind, field, value)

    def any(self, kind: type[Record], field: str, value: object) -> bool:
        """See `View.any`."""
        return self._view.any(kind, field, value)

    def beginning(self, kind: type[Record], field: str, first: object) -> Iterable[object]:
        """See `View.beginning`."""
        return self._view.beginning(kind, field, first)

    def ask(self, question: Question[K, T], key: K) -> T:
        """See `View.ask`."""
        asked = (question, key)
        if asked not in self._answers:
            if asked in self._open:
                raise circle(self._open[self._open.index(asked) :])
            self._open.append(asked)
            try:
                self._answers[asked] = question.function(key, self)
            except Exception as error:
                self._answers[asked] = failed = failure(question, key, error)
                raise QuestionError(failed.reason) from error
            finally:
                self._open.pop()
        answer = self._answers[asked]
        if isinstance(answer, Failed):
            raise QuestionError(answer.reason)
        return cast("T", answer)


def failure(question: Question[K, T], key: K, error: Exception) -> Failed:
    """What stands in place of an answer: of several questions on top of each other, the first one
    that failed is named."""
    if isinstance(error, QuestionError):
        return Failed(str(error))
    return Failed(f"{name_of(question, key)}: {type(error).__name__}: {error}")


def circle(asked: Iterable[tuple[object, Hashable]]) -> QuestionError:
    """The error of questions that wait for each other, the same whichever was asked first."""
    names = [name_of(question, key) for question, key in asked]
    first = names.index(min(names))
    names = [*names[first:], *names[:first], names[first]]
    return QuestionError(f"{_CIRCLE}: {' -> '.join(names)}")


def is_circle(answer: object) -> bool:
    """Whether there is no answer because questions wait for each other."""
    return isinstance(answer, Failed) and answer.reason.startswith(_CIRCLE)


def name_of(question: object, key: Hashable) -> str:
    """What a question is called in an error."""
    return f"{question}({key!r})"
