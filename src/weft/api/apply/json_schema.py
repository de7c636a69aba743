"""JSON schema of documents, for OpenAPI and for editors."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from weft.api.json_schema import JsonObject, components
from weft.api.resources.table import RESOURCES

DOCUMENT = "Document"


def document_components(reference: str) -> Mapping[str, JsonObject]:
    """The schema of each noun's documents, and that of any. reference: `…{name}`, where the others
    are found."""
    found = dict(components(_forms(), reference))
    found[DOCUMENT] = {
        "title": DOCUMENT,
        "description": "An object of weft apply.",
        "anyOf": [{"$ref": reference.format(name=form.__name__)} for form in _forms()],
        "discriminator": {"propertyName": "kind"},
    }
    return found


def for_editors() -> JsonObject:
    """One schema by itself."""
    found = dict(document_components("#/$defs/{name}"))
    any_of = found.pop(DOCUMENT)
    del any_of["discriminator"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **any_of,
        "$defs": found,
    }


def _forms() -> tuple[type[msgspec.Struct], ...]:
    """A noun's spec, and beside its fields the kind that tells it from others."""
    return tuple(
        msgspec.defstruct(
            f"{resource.noun.title()}Document",
            [],
            bases=(resource.spec,),
            namespace={"__doc__": f"A {resource.noun}, as files describe it."},
            tag_field="kind",
            tag=resource.noun,
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
        )
        for resource in RESOURCES
    )
