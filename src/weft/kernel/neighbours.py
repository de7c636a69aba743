"""The kernel's neighbour entries (ARP, ND): looked up, asked for, kept fresh, given back.

What pushes its own Ethernet header never uses an entry, so the kernel would let it go stale and
drop it. A managed entry (Linux 5.16, NTF_EXT_MANAGED) is probed for as long as it exists. Where
the kernel does not know the flag it takes the entry without it, and `use` must be asked for again
whenever it has gone stale.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from weft.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_REPLACE,
    Netlink,
    Request,
    attribute,
    attribute_u32,
    attributes,
)
from weft.kernel.routes import PROTOCOL
from weft.model.addresses import IPAddress, ip_address

NEW, GONE = 28, 29
_RTM_GETNEIGH = 30
_NDA_DST = 1
_NDA_LLADDR = 2
_NDA_PROTOCOL = 12
_NDA_FLAGS_EXT = 15
_NTF_USE = 0x01
_NTF_EXT_LEARNED = 0x10
_NTF_EXT_MANAGED = 0x01
_NUD_STALE = 0x04
_NUD_VALID = 0x02 | _NUD_STALE | 0x08 | 0x10 | 0x40 | 0x80
"""REACHABLE, STALE, DELAY, PROBE, NOARP, PERMANENT: there is a MAC to send to."""
_FAMILY = {4: 2, 6: 10}
_NDMSG = struct.Struct("=BxxxiHBB")


class Hop(NamedTuple):
    """Who is meant: an address on the link of a device."""

    ifindex: int
    address: IPAddress


class Neighbour(NamedTuple):
    """An entry as the kernel has it."""

    hop: Hop
    mac: str
    """Empty: not resolved."""
    is_managed: bool
    is_stale: bool
    """The MAC may be out of date; only a packet, or `use`, makes the kernel look."""
    is_ours: bool
    """Weft asked for it."""


def find(netlink: Netlink, hops: Sequence[Hop]) -> dict[Hop, Neighbour]:
    """The entries of these; one that the kernel does not have is left out."""
    requests = [
        Request(f"look up neighbour {hop.address}", _RTM_GETNEIGH, 0, _message(hop)) for hop in hops
    ]
    found: dict[Hop, Neighbour] = {}
    for hop, answer in zip(hops, netlink.run(requests)):
        if answer.error is None:
            found[hop] = parse(answer.body)
        elif answer.error.errno not in (errno.ENOENT, errno.ENODEV, errno.EINVAL):
            raise answer.error
    return found


def keep(netlink: Netlink, hops: Iterable[Hop]) -> None:
    """Have the kernel resolve these and keep them fresh, as far as it can."""
    extra = attribute(_NDA_PROTOCOL, bytes((PROTOCOL,)))
    extra += attribute_u32(_NDA_FLAGS_EXT, _NTF_EXT_MANAGED)
    _set(netlink, hops, _NTF_EXT_LEARNED, extra)


def use(netlink: Netlink, hops: Iterable[Hop]) -> None:
    """Have the kernel look once, as if a packet were sent there."""
    _set(netlink, hops, _NTF_USE, b"")


def give_back(netlink: Netlink, hops: Iterable[Hop]) -> None:
    """Remove entries; the kernel makes them anew when it needs them."""
    netlink.run(
        [Request(f"forget neighbour {hop.address}", GONE, 0, _message(hop)) for hop in hops]
    )


def kept(netlink: Netlink) -> list[Hop]:
    """All entries that Weft asked for."""
    bodies = netlink.dump(Request("list neighbours", _RTM_GETNEIGH, 0, _NDMSG.pack(0, 0, 0, 0, 0)))
    return [each.hop for body in bodies if (each := parse(body)) is not None and each.is_ours]


def parse(body: bytes) -> Neighbour:
    """An entry from the body of a message about it."""
    _, ifindex, state, _, _ = _NDMSG.unpack_from(body)
    found = attributes(body, _NDMSG.size)
    is_valid = bool(state & _NUD_VALID)
    return Neighbour(
        hop=Hop(ifindex, ip_address(found.get(_NDA_DST, bytes(4)))),
        mac=found.get(_NDA_LLADDR, b"").hex(":") if is_valid else "",
        is_managed=bool(
            int.from_bytes(found.get(_NDA_FLAGS_EXT, b""), "little") & _NTF_EXT_MANAGED
        ),
        is_stale=bool(state & _NUD_STALE),
        is_ours=found.get(_NDA_PROTOCOL) == bytes((PROTOCOL,)),
    )


def _set(netlink: Netlink, hops: Iterable[Hop], flags: int, extra: bytes) -> None:
    """A device that is gone or down meanwhile takes no entry; whoever asks hears of that."""
    netlink.run(
        [
            Request(
                f"ask for neighbour {hop.address}",
                NEW,
                NLM_F_CREATE | NLM_F_REPLACE,
                _message(hop, flags) + extra,
            )
            for hop in hops
        ]
    )


def _message(hop: Hop, flags: int = 0) -> bytes:
    head = _NDMSG.pack(_FAMILY[hop.address.version], hop.ifindex, 0, flags, 0)
    return head + attribute(_NDA_DST, hop.address.packed)
