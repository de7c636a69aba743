"""What a check sees and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from weft.api.schema import FactsInfo, NetworkInfo, Problem, StatusInfo
from weft.config import Settings

State = Literal["ok", "warning", "failed", "skipped"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    """Subject and thing: ``kernel: tcx``."""
    state: State
    """``failed``: Weft cannot do its work. ``warning``: it can, with the consequence that `detail`
    says."""
    detail: str = ""
    fix: str = ""
    """What to do; given with every warning and failure."""


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """What a running weftd says of itself."""

    status: StatusInfo
    facts: FactsInfo
    problems: tuple[Problem, ...]
    networks: tuple[NetworkInfo, ...] = ()


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The host that is looked at."""

    settings: Settings
    daemon: Daemon | None
    """None: weftd does not answer."""
    why_no_daemon: str = ""


Check = Callable[[Subject], Iterable[Finding]]
"""May raise WeftError or OSError: then the subject could not be looked at, which is a warning."""
