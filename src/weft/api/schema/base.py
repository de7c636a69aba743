"""What every answer is made of."""

from __future__ import annotations

import msgspec

Scalar = str | int | float | bool | None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is answered."""
