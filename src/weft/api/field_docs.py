"""What the fields of structs are for, as the sentences below them say in the code.

So a field is explained once: in the code, in OpenAPI, and in the schema of files.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache

import msgspec


def field_docs(struct: type[msgspec.Struct]) -> Mapping[str, str]:
    """By field, those of its bases included; fields without a sentence are left out. Nothing, where
    the code is not there to read."""
    found: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        found.update(_of_module(base.__module__).get(base.__qualname__, {}))
    return found


@lru_cache(maxsize=64)
def _of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """By class, those at the top of the module alone."""
    module = sys.modules.get(name)
    try:
        source = inspect.getsource(module) if module is not None else ""
    except (OSError, TypeError):
        return {}
    return {
        node.name: dict(_of_class(node))
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
    }


def _of_class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    field = ""
    for each in node.body:
        match each:
            case ast.AnnAssign(target=ast.Name(id=name)):
                field = name
            case ast.Expr(value=ast.Constant(value=str() as text)) if field:
                yield field, " ".join(text.split()).replace("``", "`")
                field = ""
            case _:
                field = ""
