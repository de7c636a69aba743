"""Writes before they have a version."""

from __future__ import annotations

from typing import NamedTuple


class Draft(NamedTuple):
    """A write of this host, before it has a version. `body` None deletes."""

    kind: str
    id: str
    body: bytes | None
    is_owned: bool
