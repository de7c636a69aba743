"""What rules speak about that has a number on this host."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """Of what a number is."""

    SUBJECT = 1
    ATOM = 2
    TENANT = 3
    PORT = 4
    """By which a generation's slot is its."""
    NETWORK = 5
    """Likewise."""
    RULE = 6
    ROW = 7
    """Of `port_rules`."""
