"""Documents: from bytes to what is wanted, with every fault of all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from weft.api.request import sentence
from weft.api.resources.base import AnyResource, Document
from weft.api.resources.table import RESOURCES
from weft.control.specs import Spec
from weft.errors import InvalidError
from weft.model.codec import MAX_NESTING, check_nesting, decode_hook, encode
from weft.readiness import ready

_BY_NOUN = {resource.noun: resource for resource in RESOURCES}
MAX_FAULTS = 20
"""Of all documents together: more are not read by anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One document."""

    index: int
    """Where it is in the request."""
    resource: AnyResource
    spec: Spec
    given: Document
    """The fields that it says, as JSON has them, each in its one form."""

    @property
    def key(self) -> str:
        """What it names."""
        key: str = self.resource.applied.key(self.spec)
        return key


class Faults:
    """What is wrong, sentence by sentence; each names the document, and the field if it is one."""

    def __init__(self) -> None:
        self._sentences: list[str] = []

    def add(self, index: int, text: str, field: str = "") -> None:
        """One more: of a field, or of the document as a whole."""
        place = f"documents[{index}]"
        if field:
            place += field if field.startswith("[") else f".{field}"
        self._sentences.append(f"{place}: {text}")

    def check(self) -> None:
        """InvalidError: there are some."""
        if not self._sentences:
            return
        more = len(self._sentences) - MAX_FAULTS
        lines = self._sentences[:MAX_FAULTS] + ([f"and {more} more like these"] if more > 0 else [])
        raise InvalidError("\n".join(lines))


def read(documents: Sequence[msgspec.Raw], faults: Faults) -> Iterator[Wanted]:
    """The documents in which nothing is wrong by itself."""
    for index, raw in enumerate(documents):
        wanted = _read(index, bytes(raw), faults)
        if wanted is not None:
            yield wanted


def in_order(found: Sequence[Wanted], faults: Faults) -> list[Wanted]:
    """Documents in the order in which their nouns are applied. InvalidError: one is wrong, or two
    contradict each other; it has a line for each."""
    _check_unique(found, faults)
    faults.check()
    return sorted(found, key=lambda wanted: RESOURCES.index(wanted.resource))


def _read(index: int, data: bytes, faults: Faults) -> Wanted | None:
    try:
        check_nesting(data, "document")
    except InvalidError:
        faults.add(index, f"nested more than {MAX_NESTING} deep")
        return None
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        faults.add(index, "is no JSON")
        return None
    if not isinstance(value, dict):
        faults.add(index, f"expected an object with a kind, got {_kind(value)}")
        return None
    resource = _resource(index, value, faults)
    if resource is None:
        return None
    said = {field: each for field, each in value.items() if field != "kind"}
    try:
        spec = spec_of(resource, said)
    except (msgspec.ValidationError, ValueError) as error:
        where, what = sentence(str(error), resource.spec)
        faults.add(index, what, where)
        return None
    wrong = list(resource.applied.faults(spec))
    for where, what in wrong:
        faults.add(index, what, where)
    if wrong:
        return None
    given = resource.applied.normal(spec, cast("Document", restrict(plain(spec), said)))
    if isinstance(given.get("labels"), list):
        given["labels"] = dict(given["labels"])  # type: ignore[call-overload]
    return Wanted(index=index, resource=resource, spec=spec, given=given)


def _resource(index: int, value: Mapping[str, object], faults: Faults) -> AnyResource | None:
    kind, known = value.get("kind"), ", ".join(_BY_NOUN)
    if kind is None:
        faults.add(index, f"field 'kind' is missing; it is one of {known}")
        return None
    found = _BY_NOUN.get(kind) if isinstance(kind, str) else None
    if found is None:
        near = difflib.get_close_matches(str(kind), _BY_NOUN, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {known}"
        faults.add(index, f"{str(kind)[:60]!r} is no kind of object; {hint}", "kind")
    return found


def _check_unique(found: Iterable[Wanted], faults: Faults) -> None:
    first: dict[tuple[str, str], Wanted] = {}
    for wanted in found:
        noun = wanted.resource.noun
        other = first.setdefault((noun, wanted.key), wanted)
        if other is not wanted:
            faults.add(wanted.index, f"{noun} {wanted.key}: is described twice")


def spec_of(resource: AnyResource, document: Document) -> Spec:
    """A document as its noun's spec; msgspec.ValidationError."""
    spec: Spec = msgspec.convert(document, ready(resource.spec), dec_hook=decode_hook)
    return spec


def plain(spec: Spec) -> Document:
    """A spec as JSON has it."""
    return cast("Document", msgspec.json.decode(encode(spec)))


def restrict(whole: object, said: object) -> object:
    """The parts of `whole` that are in `said`: what was left out there is no part of it."""
    if isinstance(whole, dict) and isinstance(said, dict):
        return {name: restrict(whole[name], each) for name, each in said.items() if name in whole}
    if isinstance(whole, list) and isinstance(said, list):
        return [restrict(one, each) for one, each in zip(whole, said)]
    return whole


def _kind(value: object) -> str:
    names = {list: "a list", str: "text", bool: "a truth value", type(None): "nothing"}
    return names.get(type(value), "a number")
