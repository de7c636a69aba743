"""Who may write which record.

A host alone writes its own Host record and the records with its `host_id`. Replication keeps what
hosts own apart by itself (`Entry.is_owned`); here is checked that an entry says the same as the
record in it. One that does not is passed on like any other, and shown instead of used.
"""

from __future__ import annotations

import msgspec

from weft.mesh.entry import Entry
from weft.model.records import KINDS, Host, Record


def _is_owned(kind: type[Record]) -> bool:
    return kind is Host or "host_id" in kind.__struct_fields__


OWNED_KINDS = frozenset(kind.KIND for kind in KINDS if _is_owned(kind))


class _Owner(msgspec.Struct):
    host_id: str = ""


_DECODER = msgspec.json.Decoder(_Owner)


def owner_of(record: Record) -> str | None:
    """The host that alone writes a record; None: any may."""
    if isinstance(record, Host):
        return record.id
    return getattr(record, "host_id", None)


def objection(entry: Entry) -> str | None:
    """Why an entry must not be used: it is not its origin's to write. None: it may be."""
    writer = entry.origin.host
    if not entry.is_owned:
        if entry.kind not in OWNED_KINDS:
            return None
        return f"host {writer} wrote it as if it belonged to nobody"
    if entry.body is None:
        return None
    owner = _owner_in(entry, entry.body)
    if owner is None or owner == writer:
        return None
    return f"host {writer} wrote it, but it belongs to host {owner}"


def _owner_in(entry: Entry, body: bytes) -> str | None:
    """The owner that the body names; None when it cannot be told, which decoding will show."""
    if entry.kind == Host.KIND:
        return entry.id
    if entry.kind not in OWNED_KINDS:
        return None
    try:
        return _DECODER.decode(body).host_id
    except msgspec.DecodeError:
        return None
