"""The edge of the API: bytes and query strings into checked structs, errors into answers.

What does not fit is refused with a sentence that names the field; nothing behind this module sees
an unchecked value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from weft.control.specs import Spec
from weft.errors import InvalidError
from weft.model.codec import decode_hook
from weft.readiness import ready

T = TypeVar("T")
Q = TypeVar("Q", bound=Spec)

BODY_LIMIT_BYTES = 1 << 20
"""The largest request has some hundred addresses; a body beyond this is a mistake."""

_PLACE = re.compile(r"^(?P<what>.*) - at (?:`key` in )?`\$\.?(?P<where>.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>.*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<field>.*)`$", re.DOTALL)


def decode_body(data: bytes, wanted: type[T]) -> T:
    """A request's body; none at all counts as ``{}``. InvalidError says what does not fit."""
    try:
        return msgspec.json.decode(data or b"{}", type=ready(wanted), dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        raise InvalidError(f"request body: {_sentence(str(error), wanted)}") from error
    except msgspec.DecodeError as error:
        raise InvalidError(f"request body: {_lower(str(error))}") from error
    except UnicodeDecodeError as error:
        raise InvalidError(f"request body: not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise InvalidError("request body: nested too deeply") from error


def decode_query(pairs: Iterable[tuple[str, str]], wanted: type[Q]) -> Q:
    """A query string's parameters. One that is no list may come only once."""
    lists = _list_fields(wanted)
    values: dict[str, str | list[str]] = {}
    for name, value in pairs:
        if name in lists:
            values.setdefault(name, []).append(value)  # type: ignore[union-attr]
        elif name in values:
            raise InvalidError(f"query: parameter {name} is given twice")
        else:
            values[name] = value
    return _convert_query(values, wanted)


def _convert_query(values: Mapping[str, object], wanted: type[Q]) -> Q:
    try:
        return msgspec.convert(values, ready(wanted), dec_hook=decode_hook, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidError(f"query: {_sentence(str(error), wanted)}") from error


def _list_fields(wanted: type[Spec]) -> frozenset[str]:
    info = msgspec.inspect.type_info(wanted)
    assert isinstance(info, msgspec.inspect.StructType)
    return frozenset(
        field.encode_name
        for field in info.fields
        if isinstance(field.type, msgspec.inspect.VarTupleType)
    )


def sentence(text: str, wanted: type) -> tuple[str, str]:
    """Of what the decoder says: the field, or empty, and what does not fit."""
    place = _PLACE.match(text)
    what, where = (place["what"], place["where"]) if place else (text, "")
    if unknown := _UNKNOWN.match(what):
        what = f"unknown field {unknown['field']!r}"
        if not where:
            what += _suggestion(unknown["field"], wanted)
    elif missing := _MISSING.match(what):
        what = f"field {missing['field']!r} is missing"
    else:
        what = _lower(what.replace("`", ""))
    return where, what


def _sentence(text: str, wanted: type) -> str:
    where, what = sentence(text, wanted)
    return f"{where}: {what}" if where else what


def _suggestion(field: str, wanted: type) -> str:
    known: tuple[str, ...] = getattr(wanted, "__struct_encode_fields__", ())
    near = difflib.get_close_matches(field, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(known)}" if known else "; there are none here"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
