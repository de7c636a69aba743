"""JSON schema of structs, as JSON has patterns, as Weft has addresses, and with what the code says
of each field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import msgspec
from msgspec import inspect

from weft.api.field_docs import field_docs
from weft.model.addresses import IPAddress, IPNetwork

JsonObject = dict[str, object]


def components(types: Iterable[type], reference: str) -> dict[str, JsonObject]:
    """The schemas of structs and of all that they are made of, by name. reference: `…{name}`, where
    they find each other."""
    listed = list(types)
    _, found = msgspec.json.schema_components(
        listed, schema_hook=schema_hook, ref_template=reference
    )
    schemas = cast("dict[str, JsonObject]", portable(found))
    for struct in _structs(inspect.multi_type_info(listed)):
        properties = cast("dict[str, JsonObject]", schemas[struct.__name__].get("properties", {}))
        for field, text in field_docs(struct).items():
            if field in properties:
                properties[field].setdefault("description", text)
    return schemas


def schema_hook(wanted: object) -> JsonObject:
    """JSON schema of the types that msgspec does not know: addresses and prefixes as text,
    and any JSON."""
    if wanted is IPAddress:
        return {"type": "string", "description": "An IPv4 or IPv6 address."}
    if wanted is IPNetwork:
        return {"type": "string", "description": "A prefix: ADDRESS/LENGTH, no host bits set."}
    if wanted is object:
        return {"description": "Any JSON."}
    raise NotImplementedError(f"no JSON schema for {wanted!r}")


def portable(schema: object) -> object:
    r"""The same, with patterns that end in `$`: `\Z` is of Python's regular expressions alone."""
    if isinstance(schema, list):
        return [portable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: each.replace(r"\Z", "$")
        if name == "pattern" and isinstance(each, str)
        else portable(each)
        for name, each in schema.items()
    }


def _structs(types: Iterable[inspect.Type]) -> Iterator[type[msgspec.Struct]]:
    """All structs that types are made of, each once."""
    seen: set[type] = set()
    left = list(types)
    while left:
        match left.pop():
            case inspect.StructType(cls=struct, fields=fields) if struct not in seen:
                seen.add(struct)
                yield struct
                left += (field.type for field in fields)
            case inspect.UnionType(types=several):
                left += several
            case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
                left.append(item)
            case inspect.TupleType(item_types=items):
                left += items
            case inspect.DictType(value_type=value):
                left.append(value)
            case inspect.Metadata(type=inner):
                left.append(inner)
            case _:
                pass
