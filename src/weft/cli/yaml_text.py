"""YAML and JSON, from text to values that know their lines, and back. The one module that knows
PyYAML.

libyaml's events are put together here and not by PyYAML, whose loader follows a file wherever that
leads: aliases of aliases to gigabytes, nesting to the end of the stack, tags to other types, a key
that is there twice to its last value, and `no` to false. Here all of these are errors with a line,
but for `no`, which is text: plain words are what YAML 1.2's core schema has (null, true, false,
numbers), so JSON means what it means everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, NoReturn

import yaml  # type: ignore[import-untyped]

from weft.errors import InvalidError

MAX_BYTES = 4 << 20
"""Of all files together: some thirty thousand objects, read in seconds."""
MAX_VALUES = 500_000
"""Of one file, each alias counted with all that it stands for."""
MAX_DEPTH = 24
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT = "tag:yaml.org,2002:str"
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
Plain = str | int | float | bool | None


class Value(NamedTuple):
    """A value, and where it begins."""

    line: int
    """From 1 on."""
    content: Plain | tuple[Value, ...] | dict[str, Value]
    size: int = 1
    """How many values it has, itself counted."""
    depth: int = 1
    """How far it is nested, itself counted."""

    def plain(self) -> object:
        """Without lines."""
        if isinstance(self.content, dict):
            return {key: each.plain() for key, each in self.content.items()}
        if isinstance(self.content, tuple):
            return [each.plain() for each in self.content]
        return self.content


def parse(data: bytes, name: str) -> list[Value]:
    """The documents of a file; empty ones are none. InvalidError: ``NAME:LINE: what is wrong``."""
    try:
        text = data.decode()
        return list(_Composer(name).documents(yaml.parse(text, Loader=_LOADER)))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidError(f"{name}:{line}: not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise InvalidError(f"{name}:{line}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
        reason = getattr(error, "reason", None) or str(error).splitlines()[0]
        raise InvalidError(f"{name}:{line}: {reason}") from error


def dump(documents: Iterable[object]) -> str:
    """As YAML, each behind a line of dashes."""
    text: str = yaml.dump_all(
        documents,
        Dumper=_Dumper,
        explicit_start=True,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
    )
    return text


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """PyYAML's, with quotes around text that would be read here as something else."""


def _text_node(dumper: _Dumper, text: str) -> yaml.Node:
    style = None if isinstance(_plain(text), str) else "'"
    return dumper.represent_scalar(_TEXT, text, style=style)


_Dumper.add_representer(str, _text_node)


class _Open:
    """A list or an object of which not all is there yet."""

    def __init__(self, line: int, anchor: str | None, *, is_object: bool) -> None:
        self.line = line
        self.anchor = anchor
        self.is_object = is_object
        self.items: list[Value] = []
        self.fields: dict[str, Value] = {}
        self.key: str | None = None
        self.size = 1
        self.depth = 1

    def closed(self) -> Value:
        """All is there."""
        content = self.fields if self.is_object else tuple(self.items)
        return Value(self.line, content, self.size, self.depth)


class _Composer:
    """Puts one file's events together."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stack: list[_Open] = []
        self._anchors: dict[str, Value] = {}
        self._root: Value | None = None
        self._count = 0
        self._before = 0
        """How many values the documents before have."""

    def documents(self, events: Iterable[yaml.Event]) -> Iterator[Value]:
        """What the events say."""
        for event in events:
            line = event.start_mark.line + 1
            match event:
                case yaml.DocumentStartEvent():
                    self._root, self._anchors = None, {}
                case yaml.DocumentEndEvent():
                    self._before += self._root.size if self._root is not None else 0
                    if self._root is not None and self._root.content is not None:
                        yield self._root
                case yaml.ScalarEvent():
                    self._put(Value(line, self._scalar(event, line)), event.anchor, line)
                case yaml.AliasEvent():
                    self._put(self._alias(event.anchor, line), None, line)
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self._begin(event, line)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    opened = self._stack.pop()
                    self._put(opened.closed(), opened.anchor, opened.line)

    def _begin(self, event: yaml.CollectionStartEvent, line: int) -> None:
        if event.tag not in (None, "!") and not event.implicit:
            self._fail(line, f"tag {event.tag!r}: is not taken; leave it out")
        if len(self._stack) >= MAX_DEPTH:
            self._fail(line, f"nested more than {MAX_DEPTH} deep")
        is_object = isinstance(event, yaml.MappingStartEvent)
        self._stack.append(_Open(line, event.anchor, is_object=is_object))

    def _put(self, value: Value, anchor: str | None, line: int) -> None:
        self._check_size(value, line)
        if anchor is not None:
            self._anchors[anchor] = value
        if not self._stack:
            self._root = value
            return
        into = self._stack[-1]
        into.size += value.size
        into.depth = max(into.depth, value.depth + 1)
        if not into.is_object:
            into.items.append(value)
        elif into.key is None:
            into.key = self._key(value, into, line)
        else:
            into.fields[into.key], into.key = value, None

    def _check_size(self, value: Value, line: int) -> None:
        if value.depth > MAX_DEPTH:
            self._fail(line, f"nested more than {MAX_DEPTH} deep, aliases counted")
        self._count += 1
        if max(self._count, self._before + value.size) > MAX_VALUES:
            self._fail(line, f"more than {MAX_VALUES} values, aliases counted")

    def _key(self, value: Value, into: _Open, line: int) -> str:
        key = value.content
        if not isinstance(key, str):
            self._fail(line, "a field's name must be text; put it in quotes")
        if key in into.fields:
            first = into.fields[key].line
            self._fail(line, f"field {key[:60]!r}: is there already, in line {first}")
        return key

    def _alias(self, anchor: str, line: int) -> Value:
        found = self._anchors.get(anchor)
        if found is None:
            self._fail(line, f"alias *{anchor[:60]}: nothing before it has this anchor")
        return found

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Plain:
        is_plain, is_quoted = event.implicit
        if is_plain:
            return _plain(event.value)
        if event.tag not in (None, "!", _TEXT) and not is_quoted:
            self._fail(line, f"tag {event.tag!r}: is not taken; leave it out")
        text: str = event.value
        return text

    def _fail(self, line: int, why: str) -> NoReturn:
        raise InvalidError(f"{self._name}:{line}: {why}")


def _plain(text: str) -> Plain:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _REAL.fullmatch(text) else text


def line_of(value: Value, path: Sequence[str | int]) -> int:
    """Of what a path leads to, or of the last thing on the way that is there."""
    for step in path:
        match value.content, step:
            case dict() as fields, str() if step in fields:
                value = fields[step]
            case tuple() as items, int() if 0 <= step < len(items):
                value = items[step]
            case _:
                break
    return value.line
