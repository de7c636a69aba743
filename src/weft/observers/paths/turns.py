"""When a path is probed next. Pure.

Many paths share one moment, so that weftd wakes up seldom; the tag of a path's host says which
moment. A path that carries packets is probed every second, for a fault on it hurts at once. A path
that carries none is probed seldom: so its MTU is known, and whether it works, when the first packet
comes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

INTERVAL_S = 1.0
"""Between two probes of a path that carries packets and on which all is well."""
IDLE_INTERVAL_S = 20.0
"""The same of a path that carries none. Firewalls that forget a UDP flow do so after 30 s."""
BURST = 64
"""Paths that are probed at one moment: few wake-ups, and none that takes long."""
_PATHS_A_SECOND, _IDLE_PATHS_A_SECOND = 250, 10
"""More paths are probed less often."""
_SILENT_INTERVAL_S = 12.0
"""Between two probes of a path that has been silent for long; a host that comes back says so in its
records, and is asked at once."""
_SILENT_PART = 8
"""The silence is so many times the pause between two probes: a path that has just broken is probed
as ever."""


class Crowd(NamedTuple):
    """How many paths share the time."""

    talking: int
    idle: int


class Standing(NamedTuple):
    """One path, as far as its turn depends on it."""

    tag: int
    """Of its host."""
    is_talking: bool
    """It carries packets."""
    is_linked: bool
    """A link of the mesh to the host is up, so the host lives, broken path or not."""
    silent_since_s: float | None
    """The last answer, or the last reason to hope for one, of a path that is broken; else None."""


def next_turn_s(path: Standing, crowd: Crowd, now_s: float) -> float:
    """After now."""
    if path.is_talking:
        interval_s = max(INTERVAL_S, crowd.talking / _PATHS_A_SECOND)
        turn_s = _moment_s(path.tag, crowd.talking, interval_s, now_s)
    else:
        interval_s = max(IDLE_INTERVAL_S, crowd.idle / _IDLE_PATHS_A_SECOND)
        turn_s = _moment_s(path.tag, crowd.idle, interval_s, now_s)
    if path.silent_since_s is None or (path.is_talking and path.is_linked):
        return turn_s
    silent_s = (now_s - path.silent_since_s) / _SILENT_PART
    if path.is_talking:
        turns = math.floor(min(_SILENT_INTERVAL_S, silent_s) / interval_s)
        return turn_s + max(0, turns - 1) * interval_s
    return min(turn_s, now_s + max(INTERVAL_S, silent_s))


def _moment_s(tag: int, count: int, interval_s: float, now_s: float) -> float:
    moments = max(1, math.ceil(count / BURST))
    phase_s = tag % moments * interval_s / moments
    return (math.floor((now_s - phase_s) / interval_s) + 1) * interval_s + phase_s
