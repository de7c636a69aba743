"""Which host gives which addresses. `ipam.blocks` reads them together."""

from __future__ import annotations

from itertools import pairwise

from weft.model.addresses import IPAddress, check_ranges
from weft.model.ids import HostId, SubnetId
from weft.model.records.base import Part, Record
from weft.model.values import Count, Id


class Block(Part, frozen=True, kw_only=True):
    """Addresses of a subnet that belong to one host."""

    first: IPAddress
    last: IPAddress
    epoch: Count
    """Of two statements about an address the one with the greater epoch holds. A gift adds one; a
    takeover goes to the next multiple of 2**32, past all that the former owner may have said."""
    owner: HostId
    is_reserve: bool = False
    """Never taken from its owner while that is not forgotten."""
    since: Count = 0
    """Revision of the writer's statements from which on this may be used: once a majority of its
    lease quorum knows them. 0: at once, for nobody else ever had it."""


class AddressBlocks(Record, frozen=True, kw_only=True):
    """What one host says about a subnet's blocks: those that it owns, and those that it gave away
    until their new owner says the same. `ipam.blocks` finds the one owner of every address."""

    KIND = "address-blocks"
    INDEXED = ("subnet_id", "host_id")
    id: Id
    """Derived from subnet and host."""
    subnet_id: SubnetId
    host_id: HostId
    blocks: tuple[Block, ...] = ()
    """Disjoint, ascending."""

    def check(self) -> None:
        """See `Record.check`."""
        check_ranges((block.first, block.last) for block in self.blocks)
        for one, other in pairwise(self.blocks):
            if one.first.version != other.first.version or one.last >= other.first:  # type: ignore[operator]
                raise ValueError(f"block {other.first}-{other.last}: not behind the one before it")


class BlockRequest(Record, frozen=True, kw_only=True):
    """A host asks another for addresses of a subnet. It goes when the asker has taken them."""

    KIND = "block-request"
    INDEXED = ("owner", "subnet_id")
    id: Id
    """Derived from subnet and asker."""
    subnet_id: SubnetId
    host_id: HostId
    owner: HostId
    """Who is asked."""
    count: Count = 1
    address: IPAddress | None = None
    """This one and no other."""
    is_urgent: bool = False
    """Somebody waits: even the owner's last ones are wanted."""
