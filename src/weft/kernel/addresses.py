"""IP addresses on devices: requests that add and remove them, and a dump."""

from __future__ import annotations

import struct
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
from weft.model.addresses import IPAddress, IPNetwork, ip_address, ip_network

_RTM_NEWADDR = 20
_RTM_DELADDR = 21
_RTM_GETADDR = 22
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_FLAGS = 8
_IFA_F_NODAD = 0x02
_IFA_F_NOPREFIXROUTE = 0x200
_FAMILY = {4: 2, 6: 10}
_IFADDR = struct.Struct("=BBBBI")


class DeviceAddress(NamedTuple):
    """An address that a device holds."""

    ifindex: int
    address: IPAddress
    prefix_length: int
    is_link_local: bool
    prefix: IPNetwork
    """What the kernel reaches through the device for it; of a point-to-point one, the other end."""


def add_address(
    ifindex: int, address: IPAddress, prefix_length: int, *, has_prefix_route: bool = True
) -> Request:
    """Put an address on a device, usable at once (no duplicate address detection)."""
    flags = _IFA_F_NODAD if address.version == 6 else 0
    if not has_prefix_route:
        flags |= _IFA_F_NOPREFIXROUTE
    return Request(
        f"add address {address}/{prefix_length} to device {ifindex}",
        _RTM_NEWADDR,
        NLM_F_CREATE | NLM_F_REPLACE,
        _body(ifindex, address, prefix_length) + attribute_u32(_IFA_FLAGS, flags),
    )


def delete_address(ifindex: int, address: IPAddress, prefix_length: int) -> Request:
    """Take an address away. EADDRNOTAVAIL: it is gone already."""
    return Request(
        f"delete address {address}/{prefix_length} from device {ifindex}",
        _RTM_DELADDR,
        0,
        _body(ifindex, address, prefix_length),
    )


def addresses(netlink: Netlink, ifindex: int = 0) -> list[DeviceAddress]:
    """All addresses, or those of one device."""
    body = _IFADDR.pack(0, 0, 0, 0, ifindex)
    bodies = netlink.dump(Request("list addresses", _RTM_GETADDR, 0, body))
    found = [_parse(body) for body in bodies]
    return [entry for entry in found if ifindex in (0, entry.ifindex)]


def _body(ifindex: int, address: IPAddress, prefix_length: int) -> bytes:
    header = _IFADDR.pack(_FAMILY[address.version], prefix_length, 0, 0, ifindex)
    packed = address.packed
    return header + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)


def _parse(body: bytes) -> DeviceAddress:
    _, prefix_length, _, _, ifindex = _IFADDR.unpack_from(body)
    found = attributes(body, 8)
    address = ip_address(found.get(_IFA_LOCAL) or found[_IFA_ADDRESS])
    prefix = ip_network((found.get(_IFA_ADDRESS) or found[_IFA_LOCAL], prefix_length), strict=False)
    return DeviceAddress(ifindex, address, prefix_length, address.is_link_local, prefix)
