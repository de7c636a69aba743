"""Every setting as a flag: made from the fields of `Settings` and the docstrings beneath them."""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, get_type_hints

import click
import msgspec

from weft.cli.types import ADDRESS, SUBNET
from weft.config import ENVIRONMENT_PREFIX, Settings
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.codec import to_builtins

F = TypeVar("F", bound=Callable[..., object])

Flags = Mapping[str, object]


def settings_options(command: F) -> F:
    """Adds one option a setting. A flag that is not given is None."""
    helps = field_docstrings()
    hints = get_type_hints(Settings)
    for field in reversed(msgspec.structs.fields(Settings)):
        command = _option(field, hints[field.name], helps[field.name])(command)
    return command


def field_docstrings() -> dict[str, str]:
    """The docstring beneath each field of `Settings`, read from its source."""
    (klass,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(klass, ast.ClassDef)
    found: dict[str, str] = {}
    for before, node in zip(klass.body, klass.body[1:]):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
        ):
            found[before.target.id] = inspect.cleandoc(str(node.value.value))
    return found


def to_environment(settings: Settings) -> dict[str, str]:
    """The settings as the environment variables that say the same."""
    return {
        ENVIRONMENT_PREFIX + name.upper(): _as_text(value)
        for name, value in typing.cast("Mapping[str, object]", to_builtins(settings)).items()
    }


def absolute(flags: Flags) -> dict[str, object]:
    """The flags that were given, paths made absolute: weftd's own folder is another."""
    return {
        name: str(Path(value).absolute()) if _is_path(name) and isinstance(value, str) else value
        for name, value in flags.items()
        if value is not None
    }


def _is_path(name: str) -> bool:
    return name.endswith(("_dir", "_socket", "_conf", "_file"))


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _option(field: msgspec.structs.FieldInfo, hint: object, help: str) -> Callable[[F], F]:
    flag = "--" + field.name.replace("_", "-")
    if hint is bool:
        flag = f"{flag}/--no-{field.name.replace('_', '-')}"
    default = _default_text(field)
    text = f"{help.rstrip('.')}  [{default}]" if default else help
    return click.option(flag, field.name, default=None, type=_click_type(hint), help=text)


def _click_type(hint: object) -> click.ParamType[object] | type:
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if IPAddress in members or hint == IPAddress | None:
        return ADDRESS
    if IPNetwork in members:
        return SUBNET
    return next(one for one in (bool, int, float, str) if one in members)


def _default_text(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        return _as_text(field.default)
    return (
        _as_text(field.default_factory()) if field.default_factory is not msgspec.NODEFAULT else ""
    )
