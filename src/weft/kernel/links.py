"""Network devices: requests that make, change and remove them, and a dump that reads them fast."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from typing import NamedTuple

from weft.errors import KernelError
from weft.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Netlink,
    Request,
    attribute,
    attribute_text,
    attribute_u32,
    attributes,
    nested,
)

_RTM_NEWLINK = 16
_RTM_DELLINK = 17
_RTM_GETLINK = 18
_RTM_SETLINK = 19
_RTM_GETNSID = 90

_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_LINK = 5
_IFLA_TXQLEN = 13
_IFLA_OPERSTATE = 16
_IFLA_LINKINFO = 18
_IFLA_IFALIAS = 20
_IFLA_AF_SPEC = 26
_IFLA_GROUP = 27
_IFLA_NET_NS_FD = 28
_IFLA_EXT_MASK = 29
_IFLA_NUM_TX_QUEUES = 31
_IFLA_NUM_RX_QUEUES = 32
_IFLA_LINK_NETNSID = 37
_IFLA_GSO_MAX_SIZE = 41
_IFLA_INFO_KIND = 1
_IFLA_INFO_DATA = 2
_VETH_INFO_PEER = 1
_IFLA_INET6_ADDR_GEN_MODE = 8
_IFLA_VXLAN_LEARNING = 7
_IFLA_VXLAN_PORT = 15
_IFLA_VXLAN_UDP_CSUM = 18
_IFLA_VXLAN_UDP_ZERO_CSUM6_TX = 19
_IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 20
_IFLA_VXLAN_COLLECT_METADATA = 25
_IN6_ADDR_GEN_MODE_NONE = 1
_NETNSA_NSID = 1
_NETNSA_FD = 3
_RTEXT_FILTER_SKIP_STATS = 8

_AF_INET6 = 10
_IF_OPER_UP = 6
_IFF_UP = 0x1
_IFF_NOARP = 0x80
_IFINFO = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")

GSO_MAX_BYTES = 65536
"""What TCP hands to a veth in one piece. Larger (BIG TCP) wins one figure and loses another."""


class Link(NamedTuple):
    """A device as the kernel describes it."""

    ifindex: int
    name: str
    is_up: bool
    mtu_bytes: int
    mac: str
    kind: str
    """``veth``, ``bridge``, …; empty for hardware and loopback."""
    peer_index: int
    """ifindex of a veth's other end, in that end's namespace; 0: none."""
    peer_netns_id: int | None
    """This namespace's id for the one that holds the other end; None: the same namespace."""
    alias: str
    has_arp: bool
    is_ready: bool
    """Up, with a carrier, and the kernel has taken note: packets are sent, not dropped."""


class VethEnd(NamedTuple):
    """One end of a pair to make."""

    name: str
    mac: str | None = None
    """None: the kernel chooses."""
    netns_fd: int | None = None
    """The namespace to make it in; None: this one."""
    ifindex: int = 0
    """0: the kernel chooses, and so it does for a peer whose other end says none. EEXIST or EBUSY
    when it is taken: which of the two depends on the kernel's version."""


def create_veth(end: VethEnd, peer: VethEnd, mtu_bytes: int) -> Request:
    """Make a veth pair, both ends down. EEXIST: one of the names is taken.

    One queue an end: veth takes no transmit lock, and the default is one queue for every CPU the
    machine could have, which costs memory for nothing.
    """
    peer_info = _IFINFO.pack(0, 0, peer.ifindex, 0, 0) + _veth_end(peer, mtu_bytes)
    info = nested(
        _IFLA_LINKINFO,
        attribute_text(_IFLA_INFO_KIND, "veth"),
        nested(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, peer_info)),
    )
    body = _IFINFO.pack(0, 0, end.ifindex, 0, 0) + _veth_end(end, mtu_bytes) + info
    return Request(
        f"create veth pair {end.name} and {peer.name}",
        _RTM_NEWLINK,
        NLM_F_CREATE | NLM_F_EXCL,
        body,
    )


def _veth_end(end: VethEnd, mtu_bytes: int) -> bytes:
    parts = [
        attribute_text(_IFLA_IFNAME, end.name),
        attribute_u32(_IFLA_MTU, mtu_bytes),
        attribute_u32(_IFLA_NUM_TX_QUEUES, 1),
        attribute_u32(_IFLA_NUM_RX_QUEUES, 1),
        attribute_u32(_IFLA_GSO_MAX_SIZE, GSO_MAX_BYTES),
    ]
    if end.mac is not None:
        parts.append(attribute(_IFLA_ADDRESS, bytes.fromhex(end.mac.replace(":", ""))))
    if end.netns_fd is not None:
        parts.append(attribute_u32(_IFLA_NET_NS_FD, end.netns_fd))
    return b"".join(parts)


def create_vxlan(name: str, port: int, mtu_bytes: int) -> Request:
    """Make a VXLAN device, down, that takes where to and which network from each packet's tunnel
    key and learns nothing. EEXIST: the name is taken, EADDRINUSE: the UDP port.

    UDP checksums are left out, as in what BPF sends: the inner packet has its own.
    """
    data = nested(
        _IFLA_INFO_DATA,
        attribute(_IFLA_VXLAN_PORT, port.to_bytes(2, "big")),
        attribute(_IFLA_VXLAN_COLLECT_METADATA, b"\1"),
        attribute(_IFLA_VXLAN_LEARNING, b"\0"),
        attribute(_IFLA_VXLAN_UDP_CSUM, b"\0"),
        attribute(_IFLA_VXLAN_UDP_ZERO_CSUM6_TX, b"\1"),
        attribute(_IFLA_VXLAN_UDP_ZERO_CSUM6_RX, b"\1"),
    )
    info = nested(_IFLA_LINKINFO, attribute_text(_IFLA_INFO_KIND, "vxlan"), data)
    body = _IFINFO.pack(0, 0, 0, 0, 0) + attribute_text(_IFLA_IFNAME, name)
    body += attribute_u32(_IFLA_MTU, mtu_bytes) + info
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Request(f"create VXLAN device {name} on port {port}", _RTM_NEWLINK, flags, body)


def delete_link(name: str) -> Request:
    """Remove a device; with one end of a veth goes the other. ENODEV: it is gone already."""
    body = _IFINFO.pack(0, 0, 0, 0, 0) + attribute_text(_IFLA_IFNAME, name)
    return Request(f"delete device {name}", _RTM_DELLINK, 0, body)


def set_group(device: str | int, group: int) -> Request:
    """Put a device into a group, of which the kernel can do something to all at once."""
    return _set_link(f"group device {device}", device, attribute_u32(_IFLA_GROUP, group))


def delete_group(group: int) -> Request:
    """Remove all devices of a group."""
    body = _IFINFO.pack(0, 0, 0, 0, 0) + attribute_u32(_IFLA_GROUP, group)
    return Request(f"delete devices of group {group}", _RTM_DELLINK, 0, body)


def set_up(device: str | int) -> Request:
    """Bring a device up."""
    return _set_link(f"set device {device} up", device, flags=_IFF_UP, change=_IFF_UP)


def set_up_without_arp(device: str | int) -> Request:
    """Bring a device up on which the kernel never asks for a neighbour's MAC."""
    flags = _IFF_UP | _IFF_NOARP
    return _set_link(f"set device {device} up", device, flags=flags, change=flags)


def set_mtu(device: str | int, mtu_bytes: int) -> Request:
    """Change a device's MTU."""
    what = f"set MTU of device {device} to {mtu_bytes}"
    return _set_link(what, device, attribute_u32(_IFLA_MTU, mtu_bytes))


def set_queue(device: str | int, packets: int) -> Request:
    """Change how many packets may wait in a device for who takes them."""
    what = f"set queue of device {device} to {packets} packets"
    return _set_link(what, device, attribute_u32(_IFLA_TXQLEN, packets))


def set_mac(device: str | int, mac: str) -> Request:
    """Change a device's MAC."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return _set_link(f"set MAC of device {device}", device, attribute(_IFLA_ADDRESS, octets))


def set_alias(device: str | int, text: str) -> Request:
    """Give a device a description, at most 255 bytes; `ip link` shows it."""
    payload = attribute(_IFLA_IFALIAS, text.encode())
    return _set_link(f"describe device {device}", device, payload)


def rename(device: int, name: str) -> Request:
    """Give a device (down) another name."""
    return _set_link(
        f"rename device {device} to {name}", device, attribute_text(_IFLA_IFNAME, name)
    )


def move(device: str | int, netns_fd: int) -> Request:
    """Move a device into another namespace."""
    payload = attribute_u32(_IFLA_NET_NS_FD, netns_fd)
    return _set_link(f"move device {device}", device, payload)


def forbid_link_local(device: str | int) -> Request:
    """Keep the kernel from giving a device an IPv6 link-local address when it comes up."""
    mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes((_IN6_ADDR_GEN_MODE_NONE,)))
    payload = nested(_IFLA_AF_SPEC, nested(_AF_INET6, mode))
    return _set_link(f"set address mode of device {device}", device, payload)


def _set_link(
    operation: str, device: str | int, payload: bytes = b"", *, flags: int = 0, change: int = 0
) -> Request:
    index = device if isinstance(device, int) else 0
    body = _IFINFO.pack(0, 0, index, flags, change)
    if isinstance(device, str):
        body += attribute_text(_IFLA_IFNAME, device)
    return Request(operation, _RTM_SETLINK, 0, body + payload)


def get_link(device: str | int) -> Request:
    """Ask for one device; `parse_link` reads the answer. ENODEV: there is none."""
    index = device if isinstance(device, int) else 0
    body = _IFINFO.pack(0, 0, index, 0, 0)
    if isinstance(device, str):
        body += attribute_text(_IFLA_IFNAME, device)
    body += attribute_u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    return Request(f"look up device {device}", _RTM_GETLINK, 0, body)


def find_link(netlink: Netlink, device: str | int) -> Link | None:
    """One device; None: there is none of this name or ifindex."""
    try:
        return parse_link(netlink.get(get_link(device)))
    except KernelError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def links(netlink: Netlink, kind: str = "") -> list[Link]:
    """All devices (of one kind). 10 000 take about a fifth of a second."""
    body = _IFINFO.pack(0, 0, 0, 0, 0)
    body += attribute_u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    if kind:
        body += nested(_IFLA_LINKINFO, attribute_text(_IFLA_INFO_KIND, kind))
    bodies = netlink.dump(Request("list devices", _RTM_GETLINK, 0, body))
    found = map(parse_link, bodies)
    return [link for link in found if link.kind == kind] if kind else list(found)


def vxlan_ports(netlink: Netlink) -> dict[str, int]:
    """Names of VXLAN devices, and each one's UDP port."""
    kind = attribute_text(_IFLA_INFO_KIND, "vxlan")
    body = _IFINFO.pack(0, 0, 0, 0, 0) + nested(_IFLA_LINKINFO, kind)
    ports = {}
    for found in netlink.dump(Request("list VXLAN devices", _RTM_GETLINK, 0, body)):
        facts = attributes(found, _IFINFO.size)
        info = attributes(facts.get(_IFLA_LINKINFO, b""))
        port = attributes(info.get(_IFLA_INFO_DATA, b"")).get(_IFLA_VXLAN_PORT)
        if _text(info.get(_IFLA_INFO_KIND)) == "vxlan" and port is not None:
            ports[_text(facts.get(_IFLA_IFNAME))] = int.from_bytes(port, "big")
    return ports


_WANTED = frozenset(
    (_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_LINKINFO, _IFLA_IFALIAS)
) | {_IFLA_LINK_NETNSID, _IFLA_OPERSTATE}
_READY = bytes((_IF_OPER_UP,))


def parse_link(body: bytes) -> Link:
    """A device from the body of RTM_NEWLINK or RTM_DELLINK."""
    _, _, index, flags, _ = _IFINFO.unpack_from(body)
    found: dict[int, bytes] = {}
    start, end, unpack = 16, len(body) - 3, _ATTRIBUTE.unpack_from
    while start < end:
        length, kind = unpack(body, start)
        if length < 4:
            break
        kind &= 0x3FFF
        if kind in _WANTED:
            found[kind] = body[start + 4 : start + length]
        start += (length + 3) & ~3
    info = found.get(_IFLA_LINKINFO)
    netns_id = found.get(_IFLA_LINK_NETNSID)
    return Link(
        ifindex=index,
        name=_text(found.get(_IFLA_IFNAME)),
        is_up=bool(flags & _IFF_UP),
        mtu_bytes=_int(found.get(_IFLA_MTU)),
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        kind=_text(attributes(info).get(_IFLA_INFO_KIND)) if info else "",
        peer_index=_int(found.get(_IFLA_LINK)),
        peer_netns_id=None if netns_id is None else _int(netns_id),
        alias=_text(found.get(_IFLA_IFALIAS)),
        has_arp=not flags & _IFF_NOARP,
        is_ready=found.get(_IFLA_OPERSTATE) == _READY,
    )


def netns_ids(netlink: Netlink, netns_fds: Iterable[int]) -> list[int | None]:
    """This namespace's ids for others, as in `Link.peer_netns_id`; None: it has none for it."""
    requests = [
        Request(
            "look up a network namespace's id",
            _RTM_GETNSID,
            0,
            bytes(4) + attribute_u32(_NETNSA_FD, fd),
        )
        for fd in netns_fds
    ]
    ids: list[int | None] = []
    for answer in netlink.run(requests):
        found = None if answer.error else attributes(answer.body, 4).get(_NETNSA_NSID)
        number = -1 if found is None else struct.unpack("=i", found)[0]
        ids.append(None if number < 0 else number)
    return ids


def _text(payload: bytes | None) -> str:
    return "" if payload is None else payload.rstrip(b"\0").decode(errors="replace")


def _int(payload: bytes | None) -> int:
    return 0 if payload is None else int.from_bytes(payload, "little", signed=True)
