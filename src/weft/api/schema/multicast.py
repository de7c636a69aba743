"""Multicast groups, and what is asked about them."""

from __future__ import annotations

from weft.api.schema.base import Answer
from weft.control.specs import Spec
from weft.model.addresses import IPAddress


class GroupMember(Answer, frozen=True, kw_only=True):
    """A port that is a member of a group."""

    port_id: str
    names: tuple[str, ...]
    host: str
    host_id: str
    is_joined: bool
    """Whether it has joined by itself."""
    is_static: bool
    """Whether somebody made it a member."""


class GroupInfo(Answer, frozen=True, kw_only=True):
    """A multicast group that has members."""

    network: str
    network_id: str
    group: str
    is_static: bool
    """Whether somebody made all ports of the network members."""
    members: tuple[GroupMember, ...]
    """Those that are named or have joined, on all hosts, by host and name."""


class GroupList(Answer, frozen=True, kw_only=True):
    """Multicast groups that have members, by network."""

    groups: tuple[GroupInfo, ...]
    statistics: dict[str, int]
    """Of the host that answers, since weftd started: `reports` of its ports, of them `malformed`,
    those that were never read because too many came (`limited`), `queries` sent, and `refused`
    joins, for which there was no room."""


class GroupRequest(Spec, frozen=True, kw_only=True):
    """A multicast group of which somebody shall be a member."""

    group: IPAddress
    port: str | None = None
    """A port of the host that is asked, by name or id; null: all ports of the network."""


class RemoveGroupQuery(Spec, frozen=True, kw_only=True):
    """Says of whom it is about."""

    port: str | None = None
    """A port of the host that is asked, by name or id; null: all ports of the network."""
