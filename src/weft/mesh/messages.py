"""What two linked hosts say to each other.

`Hello` opens a link from both sides. `Summary` goes out from time to time; a host that finds that
it does not match answers with its `Digest`. A `Digest` is answered with what it lacks, in parts of
bounded size; each `Part` is acknowledged by `Ack`.
"""

from __future__ import annotations

from typing import NamedTuple

from weft.mesh.delta import Delta
from weft.mesh.digest import Digest


class Hello(NamedTuple):
    """The host that speaks, and what it has seen."""

    host: str
    digest: Digest
    is_answer: bool = False
    """False: the receiver shall say hello too."""


class Summary(NamedTuple):
    """Both numbers are equal on hosts that hold the same."""

    digest_hash: int
    checksum: int


class DigestMessage(NamedTuple):
    """What the sender has seen; takes the place of all that the receiver believed of it."""

    digest: Digest
    is_answer_wanted: bool = False
    refused: int = 0
    """The transfer that builds on what the sender has not seen; 0: none."""


class Part(NamedTuple):
    """A piece of a delta. Only the last one carries spans and purged marks."""

    transfer: int
    """Counts the deltas of one side of a link, from 1."""
    piece: int
    is_last: bool
    delta: Delta


class Ack(NamedTuple):
    """All parts of a transfer before `next_piece` have arrived."""

    transfer: int
    next_piece: int


Message = Hello | Summary | DigestMessage | Part | Ack
