"""What is not in force: rows that the kernel refused, and records that did not become rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import structlog

from weft.engine.claims import RecordName
from weft.engine.rows import RowFailure, RowKey
from weft.errors import WeftError
from weft.store.interface import Key

NOT_COMPILED = "records"
"""Stands for a table in the failure of a record that did not become rows."""
log = structlog.get_logger()


class Failure(NamedTuple):
    """A row that is not in force: for which records, and why."""

    row: RowKey
    records: Sequence[RecordName]
    reason: str


class Failures:
    """The rows that are not in force, as of the last try."""

    def __init__(
        self,
        owners: Callable[[RowKey], Sequence[RecordName]],
        faults: Callable[[], Mapping[Key, str]],
    ) -> None:
        """`owners`: the records that want a row; `faults`: why records did not become rows."""
        self._owners = owners
        self._faults = faults
        self._reasons: dict[RowKey, str] = {}

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def all(self) -> Sequence[Failure]:
        """All failures, those of records first."""
        return [*self.of_records(self._faults()), *self.of(self._reasons)]

    def of(self, rows: Iterable[RowKey]) -> Sequence[Failure]:
        """The failures of these rows, where they are not in force."""
        return [
            Failure(row, self._owners(row), self._reasons[row])
            for row in rows
            if row in self._reasons
        ]

    def of_records(self, keys: Iterable[Key]) -> Sequence[Failure]:
        """The failures of these records, where they did not become rows."""
        faults = self._faults()
        named = [(key, record_name(key)) for key in keys if key in faults]
        return [Failure(RowKey(NOT_COMPILED, name), [name], faults[key]) for key, name in named]

    def keep_only(self, rows: Collection[RowKey]) -> None:
        """A look found all others in force, or no longer wanted."""
        self._reasons = {row: why for row, why in self._reasons.items() if row in rows}

    def tried(self, rows: Iterable[RowKey], failures: Sequence[RowFailure]) -> None:
        """`rows` were applied. Of them, and of rows that rest on them, `failures` failed."""
        for row in rows:
            self._reasons.pop(row, None)
        self.note(failures)

    def note(self, failures: Sequence[RowFailure]) -> None:
        """These failed. A full map refuses thousands for one reason: one line tells of all."""
        for failure in failures:
            self._reasons[failure.row] = failure.reason
        counts = Counter((failure.row.table, failure.reason) for failure in failures)
        for (table, reason), count in counts.items():
            log.warning("rows not applied", table=table, reason=reason, count=count)


def record_name(key: Key) -> RecordName:
    """A record as failures name it."""
    kind, id = key
    return kind.KIND, id


def words(error: Exception) -> str:
    """The words that are shown of an error; one that is not Weft's may have none, and is named."""
    return str(error) if isinstance(error, WeftError) else f"{type(error).__name__}: {error}"


def by_record(failures: Iterable[Failure]) -> Mapping[RecordName, Sequence[str]]:
    """Records -> why something that they want is not in force."""
    reasons: dict[RecordName, list[str]] = defaultdict(list)
    for failure in failures:
        for record in failure.records:
            if failure.reason not in reasons[record]:
                reasons[record].append(failure.reason)
    return reasons
