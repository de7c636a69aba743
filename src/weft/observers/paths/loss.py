"""How often a path loses packets that it could carry, lest chance be taken for a limit. Pure.

The loss is known from probes that certainly fit. Losses that lie further back count ever less.
"""

from __future__ import annotations

import math

_LOST_BEFORE, _SENT_BEFORE = 1.0, 5.0
"""The loss that is supposed of a path of which nothing is known: it weighs as much as so many
probes."""
_MEMORY = 100.0
"""Probes; when there are so many, all count half."""
_LEAST, _MOST = 2, 30
"""Losses in a row that tell anything, and that tell enough on the worst of paths."""


class Loss:
    """The loss of one path."""

    def __init__(self) -> None:
        self._lost, self._sent = _LOST_BEFORE, _SENT_BEFORE

    def count(self, *, arrived: int = 0, lost: int = 0) -> None:
        """Of probes that fit."""
        self._lost += lost
        self._sent += arrived + lost
        if self._sent > _MEMORY:
            self._lost, self._sent = self._lost / 2, self._sent / 2

    @property
    def share(self) -> float:
        """Of the probes, that are lost: never 0 and never 1."""
        return self._lost / self._sent

    def beyond(self, chance: float) -> int:
        """Losses in a row that come about by chance less often than this."""
        return max(_LEAST, min(_MOST, math.ceil(math.log(chance) / math.log(self.share))))
