"""How a lab is: the form of ``weft lab status --json``. Fields may be added, never renamed."""

from __future__ import annotations

from typing import Literal

import msgspec

from weft.lab.broken_links import Direction
from weft.model.addresses import IPAddress

State = Literal["running", "stopped"]


class HostStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One host."""

    name: str
    address: IPAddress
    """On the underlay."""
    address6: IPAddress
    state: State
    """Of its weftd."""
    is_cut: bool
    """Whether `weft lab cut` keeps it from the underlay."""
    cuts: list[Direction]
    """What else `weft lab cut` keeps from passing, to it or from it."""
    weftd_pid: int | None
    weftd_socket: str
    dockerd_pid: int | None
    docker_socket: str | None
    """As the machine sees it; None in a lab without Docker."""
    logs: list[str]
    """Files."""


class OutsideStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The world outside of the hosts."""

    address: IPAddress
    address6: IPAddress
    state: State
    log: str


class LabStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole lab."""

    name: str
    outside: OutsideStatus
    hosts: list[HostStatus]
