"""How traffic between hosts is encrypted."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from weft.api.schema.base import Answer
from weft.control.specs import Spec
from weft.model.addresses import IPNetwork


class EncryptedHostInfo(Answer, frozen=True, kw_only=True):
    """How far a host is."""

    id: str
    name: str
    is_able: bool
    """Whether it has WireGuard at all."""
    stage: str
    """``off``: sends and takes plain. ``accepts``: sends plain, takes both. ``sends``: sends
    encrypted, takes both. ``refuses``: sends encrypted, and takes nothing else."""
    is_in_force: bool
    """Whether its kernel has followed."""
    public_key: str | None
    """Base64, as wg(8) shows it."""
    port: int | None
    """UDP."""


class EncryptionInfo(Answer, frozen=True, kw_only=True):
    """How traffic between hosts is encrypted."""

    is_encrypted: bool
    """What is wanted."""
    is_settled: bool
    """Whether all hosts are there."""
    plain: tuple[str, ...]
    """Between two hosts with underlay addresses in one of these it is not encrypted."""
    hosts: tuple[EncryptedHostInfo, ...]
    """All hosts, by name."""
    waits_for: tuple[str, ...]
    """What the host that answers waits for before its next step, in words."""
    obstacle: str
    """Why the host that answers cannot encrypt; empty: it can."""
    key_made_s: float | None
    """When the keys of the host that answers were made; null: it has none."""
    problem: str
    """Why these keys are older than they should be; empty: they are not."""


class KeyInfo(Answer, frozen=True, kw_only=True):
    """New keys."""

    public_key: str
    """Base64, as wg(8) shows it."""


class EncryptRequest(Spec, frozen=True, kw_only=True):
    """How it shall be."""

    is_encrypted: bool
    plain: tuple[IPNetwork, ...] | UnsetType = UNSET
    """Exceptions. Left out: as they are."""
