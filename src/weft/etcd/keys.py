"""Where in etcd which record is.

    PREFIX/identity                     a word by which an etcd that lost its data is recognised
    PREFIX/records/OWNER/KIND/ID        a record as `model.codec` encodes it, as in the mesh

OWNER is the host that alone writes it, or `-`. So all that a host owns is one range.
"""

from __future__ import annotations

from weft.mesh.screen import is_name
from weft.store.entry import Key

_NOBODY = "-"


class Keys:
    """Of one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.identity = f"{prefix}/identity".encode()
        self.records = f"{prefix}/records/".encode()
        """All records' keys begin so."""

    def encode(self, key: Key) -> bytes:
        """The key of a record."""
        return self.records + f"{key.owner or _NOBODY}/{key.kind}/{key.id}".encode()

    def decode(self, data: bytes) -> Key | None:
        """The record whose key it is; None: somebody else's."""
        try:
            owner, kind, id = data.removeprefix(self.records).decode().split("/", 2)
        except ValueError:
            return None
        if not data.startswith(self.records) or not owner or not is_name(kind, id):
            return None
        return Key(kind, id, "" if owner == _NOBODY else owner)

    def owned(self, owner: str, kind: str) -> bytes:
        """All that a host owns of a kind begins so."""
        return self.records + f"{owner}/{kind}/".encode()
