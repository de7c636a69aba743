"""How long to rest between two sweeps. Pure."""

from __future__ import annotations

SHARE = 0.01
"""Of one CPU that sweeping takes at most, however large the tables are."""
CROWDED_SHARE = 0.05
"""The same where they are nearly full."""
IDLE_S = 5.0
"""The shortest rest."""
FOLLOWED_S = 1.0
"""The same while somebody follows the connections, or rules log."""


def rest_s(cost_s: float, *, is_followed: bool, is_crowded: bool) -> float:
    """After a sweep that took so much CPU time."""
    share = CROWDED_SHARE if is_crowded else SHARE
    least_s = FOLLOWED_S if is_followed or is_crowded else IDLE_S
    return max(least_s, cost_s * (1 / share - 1))
