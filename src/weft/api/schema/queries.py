"""What several requests say beside their path."""

from __future__ import annotations

from weft.control.specs import Spec


class Empty(Spec, frozen=True, kw_only=True):
    """A query without parameters."""


class ForceQuery(Spec, frozen=True, kw_only=True):
    """Says that somebody insists."""

    force: bool = False


class NetworkQuery(Spec, frozen=True, kw_only=True):
    """Limits a list to one network."""

    network: str | None = None
