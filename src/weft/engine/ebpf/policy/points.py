"""Where on the line of a profile packets lie: family, protocol, and port or ICMP type and code."""

from __future__ import annotations

from typing import NamedTuple

TOP = 2**32 - 1
ICMP = {4: 1, 6: 58}
"""The number of ICMP in each family."""
_FAMILY_BITS, _PROTOCOL_BITS = 24, 16


class Stretch(NamedTuple):
    """A part of the line, both ends included."""

    first: int
    last: int


EVERYTHING = Stretch(0, TOP)


def point(family: int, protocol: int, port: int = 0) -> int:
    """`port`: the destination's; of ICMP the type in the upper byte and the code in the lower one;
    of protocols without ports 0."""
    return family << _FAMILY_BITS | protocol << _PROTOCOL_BITS | port


def stretch(family: int, protocol: int | None = None, ports: range | None = None) -> Stretch:
    """All packets of a family, of one protocol in it, or of these ports."""
    if protocol is None:
        return Stretch(point(family, 0), point(family, 0xFF, 0xFFFF))
    if ports is None:
        return Stretch(point(family, protocol), point(family, protocol, 0xFFFF))
    return Stretch(point(family, protocol, ports.start), point(family, protocol, ports.stop - 1))


def icmp(family: int, kind: int, code: int | None = None) -> Stretch:
    """An ICMP type, with one code or any."""
    codes = range(0x100) if code is None else range(code, code + 1)
    return stretch(family, ICMP[family], range(kind << 8 | codes.start, (kind << 8) + codes.stop))


def of_family(its: Stretch, family: int) -> Stretch | None:
    """What of a stretch is of one family.

    A rule about a prefix speaks of its own family's packets alone: in maps, ::/0 has the addresses
    of IPv4 in it.
    """
    whole = stretch(family)
    first, last = max(its.first, whole.first), min(its.last, whole.last)
    return Stretch(first, last) if first <= last else None
