"""From what must be done to its being done, or to the words for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

import msgspec
from msgspec.structs import fields

from weft.api.apply.document import plain, spec_of
from weft.api.apply.plan import Step
from weft.api.apply.schema import OWNER, AppliedChange
from weft.api.resources.base import AnyResource, Document
from weft.api.resources.table import RESOURCES
from weft.control.control import Control
from weft.control.upkeep.space import SpaceNeeded
from weft.errors import InUseError, WeftError
from weft.model.codec import decode_hook
from weft.model.records import Record
from weft.readiness import ready
from weft.store.interface import View


async def ask(control: Control, steps: Sequence[Step]) -> None:
    """Ask a rehearsal's control for all of it. The error of the first that is refused names the
    document.

    What goes makes room for what comes, so it goes first; but what is in use may be so by something
    that is about to change, and is tried again at the end.
    """
    going = [step for step in steps if step.action == "remove"]
    later = []
    for step in going:
        applied = step.resource.applied
        if applied.later or applied.freed:
            await _change(control, step, {**applied.later, **applied.freed})
    for step in going:
        try:
            await _remove(control, step)
        except InUseError:
            later.append(step)
    finish: list[tuple[Step, Record]] = []
    for step in steps:
        await asyncio.sleep(0)
        if step.action in ("create", "change"):
            finish.append((step, await _make(control, step)))
    for step, record in finish:
        await _finish(control, step, record)
    for step in later:
        await _remove(control, step)


def told(steps: Iterable[Step]) -> Iterator[AppliedChange]:
    """For people and programs."""
    for step in steps:
        yield AppliedChange(
            kind=step.resource.noun,
            name=step.name,
            action=step.action,
            fields=tuple(step.fields),
        )


def export(view: View, owner: str | None) -> Iterator[Document]:
    """All objects, or an owner's, each as briefly as it can be said."""
    for resource in RESOURCES:
        applied = resource.applied
        for record in applied.exported(view):
            document = applied.document(view, record)
            labels = document["labels"]
            assert isinstance(labels, dict)
            if owner in (None, labels.get(OWNER)):
                yield {"kind": resource.noun, **_brief(resource, applied.brief(document))}


def _brief(resource: AnyResource, document: Document) -> Document:
    """Without what is so anyway."""
    required, defaults = _least(resource)
    return {
        field: value
        for field, value in document.items()
        if field in required or value not in (defaults.get(field), {})
    }


@cache
def _least(resource: AnyResource) -> tuple[frozenset[str], Document]:
    """The fields that a document needs, and the others as they are without being said."""
    required = frozenset(each.name for each in fields(resource.spec) if each.required)
    return required, plain(resource.spec(**dict.fromkeys(required, "")))


async def _make(control: Control, step: Step) -> Record:
    """All of it, but for what may name others that are not there yet."""
    resource = step.resource
    body = {
        field: value for field, value in step.body.items() if field not in resource.applied.later
    }
    with _placed(step):
        if step.record is None:
            made: Record = await resource.create(control, spec_of(resource, body))
            return made
        return await _change(control, step, body) if body else step.record


async def _finish(control: Control, step: Step, record: Record) -> None:
    """What was left out."""
    later = step.resource.applied.later
    body = {field: value for field, value in step.body.items() if field in later}
    if body:
        await asyncio.sleep(0)
        with _placed(step):
            await _change(control, replace(step, record=record), body)


async def _change(control: Control, step: Step, body: Mapping[str, object]) -> Record:
    changes = msgspec.convert(body, ready(step.resource.changes), dec_hook=decode_hook)
    changed: Record = await step.resource.change(control, step.record, changes)
    return changed


@contextlib.contextmanager
def _placed(step: Step) -> Iterator[None]:
    """An error says of which document it is, and of which field."""
    try:
        yield
    except SpaceNeeded:
        raise
    except WeftError as error:
        colon = "." if error.field else ": "
        raise type(error)(f"documents[{step.index}]{colon}{error}") from error


async def _remove(control: Control, step: Step) -> None:
    await asyncio.sleep(0)
    assert step.record is not None
    await step.resource.applied.remove(control, step.record)
