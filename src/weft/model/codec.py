"""Records to bytes and back: JSON, addresses and prefixes as text.

Decoding refuses what does not fit the record's types, naming the field; unknown fields are
ignored by the decoder and so must be kept by whoever stores the bytes of another's record.
"""

from __future__ import annotations

import re
import sys
from typing import TypeVar

import msgspec

from weft.errors import InvalidError
from weft.model.addresses import (
    IPAddress,
    IPNetwork,
    plain_address,
    plain_network,
)
from weft.model.records import KINDS, OtherDevice, Port, Record
from weft.model.records.devices import KINDS as DEVICE_KINDS
from weft.readiness import ready

R = TypeVar("R")

_TYPES: dict[str, type[Record]] = {kind.KIND: kind for kind in KINDS}


MAX_NESTING = 32
"""What Weft writes is nested four deep; newer versions may want more."""
_SHALLOW = 4
"""So deep records are nested, and what is no deeper is taken away fast."""
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_MAX_REASON = 400
_ADDRESS: object = IPAddress
_NETWORK: object = IPNetwork


def encode_hook(value: object) -> object:
    """For msgspec: addresses and prefixes as text."""
    if isinstance(value, IPAddress | IPNetwork):
        return str(value)
    raise NotImplementedError(f"cannot encode {type(value).__name__}")


def decode_hook(wanted: type, value: object) -> object:
    """For msgspec: text as addresses and prefixes; ValueError when it is none."""
    if wanted is _ADDRESS:
        return plain_address(str(value))
    if wanted is _NETWORK:
        return plain_network(str(value))
    raise NotImplementedError(f"cannot decode {wanted!r}")


_REFERENCES = {
    name: tuple(field for field in kind.__struct_fields__ if field.endswith("_id"))
    for name, kind in _TYPES.items()
}
"""What many records have in common: held once, for there may be a hundred thousand of them."""
_ENCODER = msgspec.json.Encoder(enc_hook=encode_hook)
_DECODERS = {
    name: msgspec.json.Decoder(kind, dec_hook=decode_hook) for name, kind in _TYPES.items()
}


def encode(value: object) -> bytes:
    """JSON of a record or of any struct made of the model's types."""
    return _ENCODER.encode(value)


def decode(kind: str, data: bytes) -> Record:
    """The record of a kind; InvalidError names the field that does not fit."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise InvalidError(f"record kind {kind!r}: unknown to this version of weft")
    check_nesting(data, f"{kind} record")
    try:
        record = _decoded(decoder, data)
        record.check()
    except Exception as error:
        # Whatever a record holds and whatever that makes fail, it is the record that is wrong.
        raise InvalidError(f"{kind} record: {_printable(str(error))}") from error
    for field in _REFERENCES[kind]:
        reference = getattr(record, field)
        if type(reference) is str:
            msgspec.structs.force_setattr(record, field, sys.intern(reference))
    if isinstance(record, Port):
        _share_name(record)
    return record


def _decoded(decoder: msgspec.json.Decoder[Record], data: bytes) -> Record:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        if decoder.type is not Port:
            raise
        body = msgspec.json.decode(data)
        device = body.get("device") if isinstance(body, dict) else None
        named = device.get("kind") if isinstance(device, dict) else None
        if not isinstance(named, str) or named in DEVICE_KINDS:
            raise
        # The fallback for what `choices` cannot say: a kind that only a newer weft knows.
        return decoder.decode(msgspec.json.encode(body | {"device": OtherDevice()}))


def _share_name(port: Port) -> None:
    """Most are called like their container."""
    owner = port.owner
    for name in port.names:
        if name == owner.container_name:
            msgspec.structs.force_setattr(owner, "container_name", name)


def check_nesting(data: bytes, what: str) -> None:
    """InvalidError: JSON that is nested too deep.

    The decoder's own limit is that of the interpreter's stack, so it would depend on who asks and
    on the version of Python what can be read. It costs next to nothing for nearly all.
    """
    if data.count(b"[") + data.count(b"{") <= MAX_NESTING:
        return
    left = _STRINGS.sub(b"", data).translate(None, _NOT_BRACKETS)
    for _ in range(_SHALLOW):
        left = left.replace(b"{}", b"").replace(b"[]", b"")
    depth = 0
    for bracket in left:
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_NESTING - _SHALLOW:
            raise InvalidError(f"{what}: nested more than {MAX_NESTING} deep")


def decode_file(data: bytes, wanted: type[R], what: str) -> R:
    """What weftd kept in a file, as JSON. InvalidError, which quotes nothing of it: it is not that,
    whatever is in the file."""
    check_nesting(data, what)
    try:
        return msgspec.json.decode(data, type=ready(wanted))
    except Exception:
        raise InvalidError(f"{what}: not readable") from None


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text[:_MAX_REASON])


def to_builtins(value: object) -> object:
    """The same as `encode`, as dicts, lists and text."""
    return msgspec.to_builtins(value, enc_hook=encode_hook)


def convert(value: object, wanted: type[R]) -> R:
    """A struct from dicts, lists and text; InvalidError names the field that does not fit."""
    try:
        return msgspec.convert(value, ready(wanted), dec_hook=decode_hook)
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidError(str(error)) from error
