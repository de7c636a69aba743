"""The commands of a noun, made from its description (`api.resources`).

What one has to say by itself it says by hand beside these: `group` passes over a verb without
examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar, get_args, get_origin, get_type_hints

import click
import msgspec
from msgspec import inspect

from weft.api.resources.base import A, C, Option, R, Resource, S, Verb
from weft.cli import types
from weft.cli.output import json_option, print_facts, print_json, print_table, progress
from weft.cli.removal import remove_each
from weft.cli.session import connect
from weft.control.specs import Spec

F = TypeVar("F", bound=Callable[..., object])
Body = dict[str, object]
Decorate = Callable[[Callable[..., None]], Callable[..., None]]


def group(resource: Resource[R, S, C, A], *, more: Decorate | None = None) -> click.Group:
    """All commands that are made. `more`: adds options to ``create``, which come to it as fields of
    the spec."""
    made = click.Group(resource.command or resource.noun, help=resource.help)
    makers: dict[str, Callable[[], Callable[..., None]]] = {
        "create": lambda: _create(resource, more),
        "ls": lambda: _list(resource),
        "inspect": lambda: _inspect(resource),
        "set": lambda: _set(resource),
        "rm": lambda: _remove(resource),
    }
    for word, maker in makers.items():
        verb = resource.verbs.get(word)
        if verb is not None and verb.examples:
            made.add_command(click.command(word, help=_help(resource, word, verb))(maker()))
    return made


def _create(resource: Resource[R, S, C, A], more: Decorate | None) -> Callable[..., None]:
    def create(name: str, as_json: bool, **given: object) -> None:
        with progress(f"making {resource.noun} {name}"):
            body = {**_name(resource, name), **_fields(resource, given)}
            made = connect().send(resource.info, "POST", resource.plural, body=body)
        _say(resource, resource.verbs["create"], made, as_json)

    command = json_option(create)
    for option in reversed([one for one in resource.options if one.field != "name"]):
        command = _option(command, resource.spec, option)
    return click.argument("name")(more(command) if more else command)


def _list(resource: Resource[R, S, C, A]) -> Callable[..., None]:
    fields = resource.verbs["ls"].query.__struct_fields__

    def list_(as_json: bool, **given: str | None) -> None:
        answer = connect().get(resource.listing, resource.plural, query=given)
        if as_json:
            print_json(answer)
            return
        print_table(
            [column.name for column in resource.columns],
            [[column.text(one) for column in resource.columns] for one in resource.items(answer)],
            right=[column.name for column in resource.columns if column.is_right],
        )

    command = json_option(list_)
    for field in reversed(fields):
        command = click.argument(field, required=False, type=types.REFERENCES.get(field))(command)
    return command


def _inspect(resource: Resource[R, S, C, A]) -> Callable[..., None]:
    def inspect(reference: str, as_json: bool) -> None:
        found = connect().get(resource.detail, resource.plural, reference)
        if as_json:
            print_json(found)
            return
        assert resource.facts is not None
        click.echo(f"{resource.noun} {_called(resource, found)}")
        print_facts(resource.facts(found))

    return _named(resource)(json_option(inspect))


def _set(resource: Resource[R, S, C, A]) -> Callable[..., None]:
    def set_(reference: str, as_json: bool, **given: object) -> None:
        options = {one.flag: one for one in resource.options}
        body = _fields(resource, given, is_change=True)
        if not body:
            flags = ", ".join(
                flag for flag, one in options.items() if _has(resource.changes, one.field)
            )
            raise click.UsageError(f"say what shall be another way: {flags}")
        changed = connect().send(resource.info, "PATCH", resource.plural, reference, body=body)
        _say(resource, resource.verbs["set"], changed, as_json)

    command = json_option(set_)
    for option in reversed(resource.options):
        command = _option(command, resource.changes, option, is_change=True)
    return _named(resource)(command)


def _remove(resource: Resource[R, S, C, A]) -> Callable[..., None]:
    def remove(names: tuple[str, ...], as_json: bool) -> None:
        remove_each(resource.noun, names, as_json)

    word = resource.noun.upper()
    named = click.argument(
        "names", metavar=f"{word}...", nargs=-1, required=True, type=_reference(resource)
    )
    return named(json_option(remove))


def _say(resource: Resource[R, S, C, A], verb: Verb[A], one: A, as_json: bool) -> None:
    if as_json:
        print_json(one)
    else:
        text = verb.said(one) if verb.said is not None else "done"
        click.echo(f"{resource.noun} {_called(resource, one)}: {text}")


def _name(resource: Resource[R, S, C, A], name: str) -> Body:
    """``acme/web`` is a name, and whose it is."""
    tenant, slash, inner = name.partition("/")
    if not slash or not _has(resource.spec, "tenant"):
        return {"name": name}
    return {"name": inner, "tenant": tenant}


def _called(resource: Resource[R, S, C, A], one: object) -> str:
    assert resource.called is not None and isinstance(one, resource.info)
    return resource.called(one)[0]


def _named(resource: Resource[R, S, C, A]) -> Callable[[F], F]:
    return click.argument("reference", metavar=resource.noun.upper(), type=_reference(resource))


def _reference(resource: Resource[R, S, C, A]) -> click.ParamType[object]:
    return types.REFERENCES[resource.noun]


def _help(resource: Resource[R, S, C, A], word: str, verb: Verb[A]) -> str:
    """As click has it: a paragraph, and examples whose lines stay."""
    more = f" {verb.more}" if verb.more else ""
    if word == "rm":
        more += " The first that fails does not stop the rest."
    command = f"weft {resource.command or resource.noun} {word}"
    lines = "\n".join(f"  {command} {one}".rstrip() for one in verb.examples)
    return f"{verb.summary}.{more}\n\n\b\nExamples:\n{lines}\n"


def _fields(
    resource: Resource[R, S, C, A], given: dict[str, object], *, is_change: bool = False
) -> Body:
    """What was said, as the fields of a request; what was not is left out."""
    body: Body = {}
    fields = {_parameter(one): one.field for one in resource.options}
    for name, value in given.items():
        if value is None or value == () or (value is False and not is_change):
            continue
        *outer, inner = fields.get(name, name).split(".")
        at = body
        for one in outer:
            at = at.setdefault(one, {})  # type: ignore[assignment]
        value = dict(value) if inner in types.BY_KEY else value  # type: ignore[call-overload]
        at[inner] = None if value == types.NONE else _said(value)
    return body


def _said(value: object) -> object:
    """Of a list of which it was said that it is none, an empty one."""
    if not isinstance(value, tuple):
        return value
    return tuple(each for each in value if each is not types.NONE)


def _parameter(option: Option) -> str:
    return option.field.replace(".", "_")


def _option(
    command: Callable[..., None], form: type[Spec], option: Option, *, is_change: bool = False
) -> Callable[..., None]:
    """The command with a flag more, if the form has its field."""
    if not _has(form, option.field):
        return command
    kind, flag = _type_of(form, option.field), option.flag
    settings: dict[str, object] = {"help": option.help}
    match _plain(kind):
        case inspect.BoolType() if is_change:
            flag, settings["default"] = f"{flag}/--no-{flag.lstrip('-')}", None
        case inspect.BoolType():
            settings["is_flag"] = True
        case inspect.IntType(ge=least, le=most, lt=bound):
            number = click.IntRange(least, bound - 1 if bound is not None else most)
            is_nullable = is_change and _is_nullable(kind)
            settings["type"] = types.OrNone(number) if is_nullable else number
            if is_nullable:
                settings["help"] = f"{option.help.removesuffix('.')}, or none."
        case inspect.LiteralType():
            settings["type"] = click.Choice(_words(get_type_hints(form)[option.field]))
        case inspect.VarTupleType() if option.field in types.REPEATED:
            settings.update(type=types.OrNone(types.REPEATED[option.field]), multiple=True)
            if is_change:
                settings["help"] = f"{option.help.removesuffix('.')}, in place of all; or none."
        case inspect.StrType() if is_change and _is_nullable(kind):
            settings["type"] = types.OrNone(click.STRING)
            settings["help"] = f"{option.help.removesuffix('.')}, or none."
        case inspect.DictType() if option.field in types.BY_KEY:
            settings.update(type=types.BY_KEY[option.field], multiple=True)
        case inspect.DictType():
            settings.update(type=types.LABEL, multiple=True)
            if is_change:
                settings["help"] = "KEY=VALUE, in place of all that it has; repeatable."
        case _:
            settings["type"] = types.REFERENCES.get(option.field)
    return click.option(flag, _parameter(option), **settings)(command)  # type: ignore[arg-type]


def _words(hint: object) -> list[str]:
    """Of a Literal, in its own order, which msgspec does not keep."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [word for each in get_args(hint) for word in _words(each)]


def _plain(kind: inspect.Type) -> inspect.Type:
    """The type without null; of labels, the object."""
    if isinstance(kind, inspect.UnionType):
        others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        return _plain(others[0])
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _is_nullable(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.UnionType) and any(
        isinstance(one, inspect.NoneType) for one in kind.types
    )


def _has(form: type[Spec], path: str) -> bool:
    return _find(form, path.split(".")) is not None


def _type_of(form: type[Spec], path: str) -> inspect.Type:
    found = _find(form, path.split("."))
    assert found is not None
    return found


def _find(form: type[msgspec.Struct], path: Sequence[str]) -> inspect.Type | None:
    for field in _struct_fields(form):
        if field.name == path[0]:
            inner = _plain(field.type)
            if len(path) == 1:
                return field.type
            return _find(inner.cls, path[1:]) if isinstance(inner, inspect.StructType) else None
    return None


def _struct_fields(form: type[msgspec.Struct]) -> Iterator[inspect.Field]:
    info = inspect.type_info(form)
    assert isinstance(info, inspect.StructType)
    yield from info.fields
