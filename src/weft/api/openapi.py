"""The OpenAPI 3.1 description, generated from the route table and the structs.

Nothing in it is written twice, so it cannot drift from what is served.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import cast

import weft
from weft.api.apply.json_schema import document_components
from weft.api.errors import ErrorBody, mapped_class
from weft.api.json_schema import JsonObject, components
from weft.api.lines import CONTENT_TYPE
from weft.api.route import AnyRoute
from weft.errors import InvalidError, KernelError, UnavailableError, WeftError

_JSON = "application/json"
_REFERENCE = "#/components/schemas/{name}"
_ERROR = {"$ref": _REFERENCE.format(name="ErrorBody")}


def describe(routes: Sequence[AnyRoute]) -> JsonObject:
    """The whole description, ready for JSON."""
    types = _types(routes)
    schemas = {**components(types, _REFERENCE), **document_components(_REFERENCE)}
    paths: dict[str, JsonObject] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Weft",
            "version": weft.__version__,
            "description": "What weftd serves on its unix socket.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _types(routes: Iterable[AnyRoute]) -> list[type]:
    types: dict[type, None] = {ErrorBody: None}
    for route in routes:
        for one in (route.body, route.answer):
            if one is not None:
                types[one] = None
    return list(types)


def _operation(route: AnyRoute) -> JsonObject:
    operation: JsonObject = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "description": inspect.getdoc(route.handler) or route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": _responses(route),
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route.body)}
    return operation


def _operation_id(route: AnyRoute) -> str:
    words = [word for word in route.path.split("/")[2:] if not word.startswith("{")]
    return "-".join([route.method.lower(), *words, *(f"by-{name}" for name in route.parameters)])


def _path_parameters(route: AnyRoute) -> list[JsonObject]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in route.parameters
    ]


def _query_parameters(route: AnyRoute) -> list[JsonObject]:
    schema = components([route.query], _REFERENCE)[route.query.__name__]
    required = cast("list[str]", schema.get("required", []))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": property_}
        for name, property_ in cast("JsonObject", schema["properties"]).items()
    ]


def _responses(route: AnyRoute) -> JsonObject:
    success: JsonObject = {"description": "Done."}
    if route.answer is not None:
        success["content"] = _content(route.answer, CONTENT_TYPE if route.is_lines else _JSON)
    responses: JsonObject = {str(route.status): success}
    always = (InvalidError, UnavailableError, KernelError, WeftError)
    by_status: dict[int, list[str]] = {}
    for error in (*route.errors, *always):
        line = mapped_class(error)
        kinds = by_status.setdefault(line.status, [])
        if line.kind not in kinds:
            kinds.append(line.kind)
    for status, kinds in sorted(by_status.items()):
        responses[str(status)] = {
            "description": f"Error of kind {' or '.join(kinds)}.",
            "content": {_JSON: {"schema": _ERROR}},
        }
    return responses


def _content(struct: type, content_type: str = _JSON) -> JsonObject:
    reference = {"$ref": _REFERENCE.format(name=struct.__name__)}
    return {content_type: {"schema": reference}}
