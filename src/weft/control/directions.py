"""Directions of traffic as requests say them."""

from __future__ import annotations

from collections.abc import Iterable

from weft.model.choices import Direction


def directions(words: Iterable[str]) -> tuple[Direction, ...]:
    """As records have them: each once, in order."""
    return tuple(sorted({Direction(word) for word in words}, reverse=True))
