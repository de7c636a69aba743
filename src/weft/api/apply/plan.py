"""From what is wanted and the records to what must be done. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from weft.api.apply.document import Faults, Wanted, spec_of
from weft.api.apply.schema import OWNER, FieldChange
from weft.api.resources.base import AnyResource, Document
from weft.api.resources.table import RESOURCES
from weft.errors import WeftError
from weft.model.records import Record
from weft.store.interface import View

Labels = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One object, and what must be done with it."""

    resource: AnyResource
    name: str
    action: Literal["create", "change", "keep", "remove"]
    record: Record | None = None
    """None: it is to be created."""
    body: Document
    """Of one that is created, all that is said of it; of one that is changed, what must be another
    way."""
    fields: Sequence[FieldChange] = ()
    index: int | None = None
    """Of the document; None: there is none, so it goes."""


def plan(
    wanted: Sequence[Wanted], view: View, owner: str | None, *, is_pruned: bool
) -> Iterator[Step]:
    """A step for each document, in order; then what goes, in the reverse order of nouns.

    InvalidError has a line for each document that cannot be made so.
    """
    faults = Faults()
    kept = set()
    for each in wanted:
        step = _step(each, view, owner, faults)
        if step is not None:
            if step.record is not None:
                kept.add(step.record.id)
            yield step
    faults.check()
    if is_pruned and owner is not None:
        yield from _leftovers(view, owner, kept)


def _step(wanted: Wanted, view: View, owner: str | None, faults: Faults) -> Step | None:
    resource = wanted.resource
    try:
        record: Record | None = resource.applied.find(view, wanted.spec)
    except WeftError as error:
        faults.add(wanted.index, str(error))
        return None
    actual = {} if record is None else resource.applied.document(view, record)
    body = _labelled(wanted, cast("Labels", actual.get("labels", {})), owner, faults)
    if record is None:
        return Step(
            resource=resource, name=wanted.key, action="create", body=body, index=wanted.index
        )
    fields = _differences(wanted, body, actual, faults)
    return Step(
        resource=resource,
        name=wanted.key,
        action="change" if fields else "keep",
        record=record,
        body={each.field: each.new for each in fields},
        fields=fields,
        index=wanted.index,
    )


def _labelled(wanted: Wanted, actual: Labels, owner: str | None, faults: Faults) -> Document:
    """What is said of an object, with the labels that it shall have: the owner is nothing that a
    document says, or leaves out, but for one without an owner that says it itself."""
    said = wanted.given.get("labels")
    labels = dict(cast("Labels", actual if said is None else said))
    known = actual.get(OWNER)
    if owner is not None:
        if known not in (None, owner):
            name = f"{wanted.resource.noun} {wanted.key}"
            faults.add(
                wanted.index,
                f"{name}: is owner {known!r}'s (label {OWNER}), so {owner!r} cannot have it; name "
                "it in the files of one owner alone",
            )
        labels[OWNER] = owner
    elif known is not None:
        labels.setdefault(OWNER, known)
    elif said is None:
        return wanted.given
    return {**wanted.given, "labels": labels}


def _differences(
    wanted: Wanted, body: Document, actual: Document, faults: Faults
) -> list[FieldChange]:
    applied, changeable = wanted.resource.applied, wanted.resource.can_change()
    found = []
    for field, value in body.items():
        if field in applied.identity:
            continue
        fits: Callable[[object, object], bool] = applied.fits.get(field, operator.eq)
        if fits(value, actual[field]):
            continue
        found.append(FieldChange(field=field, old=actual[field], new=value))
        if field not in changeable:
            name = f"{wanted.resource.noun} {wanted.key}"
            faults.add(
                wanted.index,
                f"cannot be changed while {name} is there; leave it out, or remove the "
                f"{wanted.resource.noun} first",
                field,
            )
    return found


def _leftovers(view: View, owner: str, kept: Collection[str]) -> Iterator[Step]:
    for resource in reversed(RESOURCES):
        applied = resource.applied
        for record in applied.exported(view):
            document = applied.document(view, record)
            labels = cast("Labels", document["labels"])
            if labels.get(OWNER) == owner and record.id not in kept:
                yield Step(
                    resource=resource,
                    name=applied.key(spec_of(resource, document)),
                    action="remove",
                    record=record,
                    body={},
                )
