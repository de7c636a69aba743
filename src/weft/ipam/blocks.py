"""Which host owns which address of a subnet: from the statements of many hosts to one owner an
address.

A host states what it owns and what it has given away. Only an owner gives, under a greater epoch,
and only the heir that a lease quorum decided on takes. So of all statements about an address the
one with the greatest epoch is the truth or an older state of it, and there are never two truths.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from weft.ipam.intervals import Interval
from weft.model.addresses import IPNetwork
from weft.model.ids import HostId, SubnetId
from weft.model.records import AddressBlocks, Block

FIRST_EPOCH = 1
"""Of what a host owns because it made the subnet."""
TAKEOVER = 1 << 32
END_OF_EPOCHS = 1 << 56
"""No history of gifts and takeovers leads to such an epoch. A statement that claims it counts for
nothing, or no host could ever take over from the one that claims it."""


class Segment(NamedTuple):
    """Addresses as integers, both ends included, and what holds for them."""

    first: int
    last: int
    epoch: int
    owner: HostId
    is_reserve: bool
    since: int
    writer: HostId
    """Whose statement it is: the owner's, or the giver's until the owner says the same."""

    @property
    def interval(self) -> Interval:
        """First and last."""
        return self.first, self.last

    @property
    def is_taken_up(self) -> bool:
        """Whether the owner says itself that it owns it."""
        return self.writer == self.owner


def epoch_of_takeover(epoch: int) -> int:
    """Greater than any that the owner of a block with this epoch can have given to parts of it."""
    return (epoch // TAKEOVER + 1) * TAKEOVER


def segments(statements: Iterable[AddressBlocks]) -> list[Segment]:
    """One a run of addresses about which the same holds, ascending. n log n in the blocks."""
    stated = [
        _segment(block, record.host_id)
        for record in statements
        for block in record.blocks
        if block.epoch < END_OF_EPOCHS
    ]
    events: list[tuple[int, int, Segment]] = []
    for segment in stated:
        events.append((segment.first, 1, segment))
        events.append((segment.last + 1, 0, segment))
    events.sort(key=lambda event: event[:2])
    found: list[Segment] = []
    active: list[Segment] = []
    start = 0
    for at, is_start, segment in events:
        if active and at > start:
            best = max(active, key=_rank)
            _append(found, best._replace(first=start, last=at - 1))
        start = at
        if is_start:
            active.append(segment)
        else:
            active.remove(segment)
    return found


def as_blocks(found: Iterable[Segment], cidr: IPNetwork) -> tuple[Block, ...]:
    """The blocks of a record that states these."""
    make = type(cidr.network_address)
    merged: list[Segment] = []
    for segment in sorted(found):
        _append(merged, segment)
    return tuple(
        Block(
            first=make(segment.first),
            last=make(segment.last),
            epoch=segment.epoch,
            owner=segment.owner,
            is_reserve=segment.is_reserve,
            since=segment.since,
        )
        for segment in merged
    )


def stated(record: AddressBlocks | None) -> list[Segment]:
    """What one record says."""
    if record is None:
        return []
    return [_segment(block, record.host_id) for block in record.blocks]


def replace_in(found: Sequence[Segment], first: int, last: int, **changes: object) -> list[Segment]:
    """The same segments, with the part between `first` and `last` changed."""
    done: list[Segment] = []
    for segment in found:
        low, high = max(first, segment.first), min(last, segment.last)
        if low > high:
            done.append(segment)
            continue
        if segment.first < low:
            done.append(segment._replace(last=low - 1))
        done.append(segment._replace(first=low, last=high)._replace(**changes))  # type: ignore[arg-type]
        if high < segment.last:
            done.append(segment._replace(first=high + 1))
    return done


def without(found: Sequence[Segment], first: int, last: int) -> list[Segment]:
    """The same segments, with nothing between `first` and `last`."""
    cut = replace_in(found, first, last, epoch=-1)
    return [segment for segment in cut if segment.epoch >= 0]


def digest_of(statements: Iterable[AddressBlocks]) -> str:
    """A digest of all that one host states: two digests are equal if and only if the statements
    are. A subnet that is as it was made counts only from the first change on: its maker may have
    died before it could count.
    """
    hashed = blake2b(digest_size=12)
    for record in sorted(statements, key=lambda record: record.subnet_id):
        if not _is_as_made(record):
            hashed.update(_text(record.subnet_id, record.blocks).encode())
    return hashed.hexdigest()


def _is_as_made(record: AddressBlocks) -> bool:
    return all(
        block.owner == record.host_id and block.epoch == FIRST_EPOCH and not block.since
        for block in record.blocks
    )


def _text(subnet_id: SubnetId, blocks: Iterable[Block]) -> str:
    lines = [f"{b.first} {b.last} {b.epoch} {b.owner} {b.is_reserve:d} {b.since}" for b in blocks]
    return "\n".join((subnet_id, *lines, ""))


def _segment(block: Block, writer: HostId) -> Segment:
    return Segment(
        int(block.first),
        int(block.last),
        block.epoch,
        block.owner,
        block.is_reserve,
        block.since,
        writer,
    )


def _rank(segment: Segment) -> tuple[int, str, bool, str]:
    return segment.epoch, segment.owner, segment.is_taken_up, segment.writer


def _append(found: list[Segment], segment: Segment) -> None:
    """Append, joined to the last one if the same holds for it."""
    if found and found[-1].last + 1 == segment.first and found[-1][2:] == segment[2:]:
        segment = segment._replace(first=found.pop().first)
    found.append(segment)
