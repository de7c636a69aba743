"""Files of documents, and where in them a fault is that weftd names by document and field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import click

from weft.cli.yaml_text import MAX_BYTES, Value, line_of, parse
from weft.errors import InvalidError

_PLACE = re.compile(r"^documents\[(?P<index>\d+)\]\.?(?P<field>[^\s:]*): ", re.MULTILINE)
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Document(NamedTuple):
    """An object, and the file that describes it."""

    file: str
    value: Value


def read_files(names: Sequence[str]) -> list[Document]:
    """All documents of all files; ``-`` is standard input. InvalidError names file and line."""
    found: list[Document] = []
    left = MAX_BYTES
    for name in names:
        data = _read(name, left)
        left -= len(data)
        shown = "<stdin>" if name == "-" else name
        for value in parse(data, shown):
            found += (Document(shown, each) for each in _unpacked(value))
    return found


def located(message: str, documents: Sequence[Document]) -> str:
    """A sentence of weftd's, with file and line in place of the document's number."""

    def place(found: re.Match[str]) -> str:
        index, field = int(found["index"]), found["field"]
        if index >= len(documents):
            return found[0]
        document = documents[index]
        line = line_of(document.value, list(_steps(field)))
        return f"{document.file}:{line}: {field}: " if field else f"{document.file}:{line}: "

    return _PLACE.sub(place, message)


def _steps(field: str) -> Iterator[str | int]:
    for name, number in _STEP.findall(field):
        yield name if name else int(number)


def _unpacked(value: Value) -> Iterable[Value]:
    """A list is of documents; so is the answer of ``weft export --json``."""
    content = value.content
    if isinstance(content, dict) and content.keys() == {"documents"}:
        content = content["documents"].content
    return content if isinstance(content, tuple) else (value,)


def _read(name: str, left: int) -> bytes:
    try:
        with click.open_file(name, "rb") as file:
            data: bytes = file.read(left + 1)
    except OSError as error:
        raise InvalidError(f"file {name}: {error.strerror or error}") from error
    if len(data) > left:
        raise InvalidError(f"file {name}: more than {MAX_BYTES >> 20} MiB, all files together")
    return data
