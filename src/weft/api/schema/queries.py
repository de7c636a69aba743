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


class PortQuery(NetworkQuery, frozen=True, kw_only=True):
    """Limits a list of ports to one network, or to the members of a security group, or both."""

    group: str | None = None
