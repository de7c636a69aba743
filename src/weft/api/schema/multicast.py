"""Multicast groups, and what is asked about them."""

from __future__ import annotations

from weft.api.schema.base import Answer
from weft.control.specs import Spec
from weft.model.addresses import IPAddress


class MulticastMember(Answer, frozen=True, kw_only=True):
    """A port that is a member of a multicast group."""

    port_id: str
    names: tuple[str, ...]
    host: str | None
    """null: it is on no host (yet)."""
    host_id: str | None
    is_joined: bool
    """Whether it has joined by itself."""
    is_static: bool
    """Whether somebody made it a member."""


class MulticastGroupInfo(Answer, frozen=True, kw_only=True):
    """A multicast group that has members."""

    network: str
    network_id: str
    address: str
    is_static: bool
    """Whether somebody made all ports of the network members."""
    members: tuple[MulticastMember, ...]
    """Those that are named or have joined, on all hosts, by host and name."""


class MulticastGroupList(Answer, frozen=True, kw_only=True):
    """Multicast groups that have members, by network."""

    multicast_groups: tuple[MulticastGroupInfo, ...]
    statistics: dict[str, int]
    """Of the host that answers, since weftd started: `reports` of its ports, of them `malformed`,
    those that were never read because too many came (`limited`), `queries` sent, and `refused`
    joins, for which there was no room."""


class MulticastGroupRequest(Spec, frozen=True, kw_only=True):
    """A multicast group of which somebody shall be a member."""

    address: IPAddress
    port: str | None = None
    """A port of the host that is asked, by name or id; null: all ports of the network."""


class RemoveMulticastGroupQuery(Spec, frozen=True, kw_only=True):
    """Says of whom it is about."""

    port: str | None = None
    """A port of the host that is asked, by name or id; null: all ports of the network."""
