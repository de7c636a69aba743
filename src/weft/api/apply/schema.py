"""What is asked of `POST /v1/apply` and `GET /v1/export`, and what they answer."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from weft.api.schema.base import Answer
from weft.control.specs import LabelKey, Spec

OWNER = "weft.apply"
"""Label of an object that files describe: its value is the name of those files' owner."""
MAX_DOCUMENTS = 20_000


class ApplyRequest(Spec, frozen=True, kw_only=True):
    """Make objects as documents say, or show what that would change."""

    documents: Annotated[
        tuple[msgspec.Raw, ...],
        Meta(
            max_length=MAX_DOCUMENTS,
            extra_json_schema={"items": {"$ref": "#/components/schemas/Document"}},
        ),
    ]
    """In any order."""
    owner: LabelKey | None = None
    """Whose the objects are: their label ``weft.apply``. null: nobody's, and labels stay."""
    is_pruned: bool = False
    """Remove the owner's objects that no document names."""
    is_dry_run: bool = False
    """Change nothing, and answer what would be changed."""


class FieldChange(Answer, frozen=True, kw_only=True):
    """A field that was, or would be, another way."""

    field: str
    old: object
    """As JSON has it."""
    new: object


class AppliedChange(Answer, frozen=True, kw_only=True):
    """What was done, or would be, with an object."""

    kind: str
    name: str
    """As commands name it: ``acme/web``."""
    action: Literal["create", "change", "keep", "remove"]
    fields: tuple[FieldChange, ...] = ()
    """Of one that is changed."""


class ApplyInfo(Answer, frozen=True, kw_only=True):
    """What documents changed, or would change."""

    is_dry_run: bool
    changes: tuple[AppliedChange, ...]
    """One for each document, by kind and as they came; then what is removed."""


class ExportQuery(Spec, frozen=True, kw_only=True):
    """Limits an export to the objects of one owner."""

    owner: str | None = None


class ExportInfo(Answer, frozen=True, kw_only=True):
    """Documents that make all objects as they are."""

    documents: tuple[dict[str, object], ...]
    """In an order in which each comes after those that it refers to."""
