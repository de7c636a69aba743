"""The pair weft0/weft1: weft0 is the host's door to its networks, weft1 the inner side.

Both take the largest MTU there is; what a packet may be is said by the routes, so that the host
answers "too big" itself and nothing is dropped between the two ends.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import NamedTuple

import structlog

from weft.engine.plumbing.device_names import WEFT0, WEFT1
from weft.engine.plumbing.devices import WEFT1_IFINDEX, Devices
from weft.errors import KernelError
from weft.kernel import sysctl
from weft.kernel.links import (
    Link,
    VethEnd,
    create_veth,
    delete_link,
    find_link,
    forbid_link_local,
    set_mtu,
    set_up_without_arp,
)
from weft.kernel.netlink import Netlink
from weft.kernel.routes import add_local_route

_MAC0 = "0a:57:45:46:54:00"
_MAC1 = "0a:57:45:46:54:02"
_MTU_BYTES = 65535
_LOOPBACK6 = IPv6Address("::1")
log = structlog.get_logger()


class Pair(NamedTuple):
    """The pair, as programs must know it."""

    weft0_ifindex: int
    weft0_mac: str
    weft1_ifindex: int


def ensure_pair(devices: Devices) -> Pair:
    """Make weft0 and weft1 unless they are there, and bring weft0 up.

    weft1 stays down until the engine has put its program there. Anything else of these names, or a
    half pair, is made anew.
    """
    netlink = devices.netlink
    weft0, weft1 = devices.look_up(WEFT0), devices.look_up(WEFT1)
    if weft0 is None or weft1 is None or not _is_pair(weft0, weft1):
        for link in (weft0, weft1):
            if link is not None and devices.look_up(link.name) is not None:
                netlink.do(delete_link(link.name))
        _create_pair(netlink)
        netlink.do(forbid_link_local(WEFT0), forbid_link_local(WEFT1))
        weft0, weft1 = devices.look_up(WEFT0), devices.look_up(WEFT1)
        assert weft0 is not None and weft1 is not None
    for link in (weft0, weft1):
        if link.mtu_bytes != _MTU_BYTES:
            netlink.do(set_mtu(link.ifindex, _MTU_BYTES))
    if not weft0.is_up or weft0.has_arp:
        netlink.do(set_up_without_arp(weft0.ifindex))
    return Pair(weft0.ifindex, weft0.mac, weft1.ifindex)


def _create_pair(netlink: Netlink) -> None:
    """weft1 with the ifindex that is kept for it, unless somebody else's device has that."""
    weft0, weft1 = VethEnd(WEFT0, _MAC0), VethEnd(WEFT1, _MAC1, ifindex=WEFT1_IFINDEX)
    try:
        netlink.do(create_veth(weft1, weft0, _MTU_BYTES))
    except KernelError as error:
        if find_link(netlink, WEFT1_IFINDEX) is None:
            raise
        log.warning("weft1 gets another ifindex, its own is taken", reason=str(error))
        netlink.do(create_veth(weft1._replace(ifindex=0), weft0, _MTU_BYTES))


def ensure_loopback(devices: Devices, weft0: int) -> None:
    """Have answers taken to what the host sent from ::1 to a published port. weft0 must speak IPv6.

    Their source is the gateway on the way, so ::1 itself never arrives from outside (the kernel
    drops that before NAT).
    """
    if has_ipv6():
        devices.netlink.do(add_local_route(_LOOPBACK6, weft0))


def _is_pair(weft0: Link, weft1: Link) -> bool:
    return (
        weft0.kind == "veth"
        and weft0.peer_netns_id is None
        and weft0.peer_index == weft1.ifindex
        and weft0.mac == _MAC0
    )


def has_ipv6() -> bool:
    """Whether this kernel speaks IPv6 at all; if not, rows of IPv6 hold by themselves."""
    return sysctl.read("net/ipv6/conf/all/forwarding") is not None
