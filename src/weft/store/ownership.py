"""Who may write which record.

A host alone writes its own Host record and the records with its `host_id`; a record whose `host_id`
may be None belongs to nobody while it is None. Replication keeps what hosts own apart by itself
(`Entry.is_owned`); here is checked that an entry says the same as the record in it. One that does
not is passed on like any other, and shown instead of used.
"""

from __future__ import annotations

import msgspec

from weft.model.records import KINDS, Host, Record
from weft.store.entry import Entry


def _is_owned(kind: type[Record]) -> bool:
    return kind is Host or "host_id" in kind.__struct_fields__


def _may_be_nobodys(kind: type[Record]) -> bool:
    return not _is_owned(kind) or "host_id" in {
        field.name for field in msgspec.structs.fields(kind) if not field.required
    }


OWNED_KINDS = frozenset(kind.KIND for kind in KINDS if _is_owned(kind))
SHARED_KINDS = frozenset(kind.KIND for kind in KINDS if _may_be_nobodys(kind))
"""Some are among the owned ones, too: each record of theirs says which it is."""


def owner_of(record: Record) -> str | None:
    """The host that alone writes a record; None: any may."""
    if isinstance(record, Host):
        return record.id
    return getattr(record, "host_id", None)


def objection(entry: Entry, record: Record | None) -> str | None:
    """Why an entry must not be used: it is not its origin's to write. None: it may be.

    record: the one in it; None for a tombstone.
    """
    writer = entry.origin.host
    owner = None if record is None else owner_of(record)
    if not entry.is_owned:
        if entry.kind in SHARED_KINDS and owner is None:
            return None
        return f"host {writer} wrote it as if it belonged to nobody"
    if record is None or owner == writer:
        return None
    whose = f"host {owner}" if owner is not None else "nobody"
    return f"host {writer} wrote it, but it belongs to {whose}"
