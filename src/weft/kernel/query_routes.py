"""Routes for queries for names alone: in a table of their own, which only port 53 is looked up in.

A route to one address goes before every default route, whatever its metric, and would take all else
that is sent to the address as well. So it must stand in another table (`ip rule`).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable

from weft.errors import KernelError
from weft.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Netlink,
    Request,
    attribute,
    attribute_u32,
)
from weft.model.addresses import IPAddress, IPNetwork

TABLE = 5335
PRIORITY = 32750
"""Of the rules: before that of the table main (32766)."""
_PORT = 53
_UDP, _TCP = 17, 6
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_NEWRULE = 24, 25, 32
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_TABLE = 1, 4, 5, 6, 15
_FRA_PRIORITY, _FRA_TABLE, _FRA_IP_PROTO, _FRA_DPORT_RANGE = 6, 15, 22, 24
_FR_ACT_TO_TBL = 1
_RT_TABLE_UNSPEC, _RT_TABLE_MAIN = 0, 254
_RT_SCOPE_UNIVERSE, _RT_SCOPE_NOWHERE = 0, 255
_RTPROT_UNSPEC, _RTPROT_STATIC = 0, 4
_RTN_UNSPEC, _RTN_UNICAST = 0, 1
_RTNH_F_ONLINK = 4
_FAMILY = {4: 2, 6: 10}
_RTMSG = struct.Struct("=BBBBBBBBI")
_RANGE = struct.Struct("=HH")

Route = tuple[IPNetwork, IPAddress]
"""Prefix and gateway."""


def route_queries(netlink: Netlink, routes: Iterable[Route], ifindex: int) -> None:
    """Have these routes through a device for queries, and not in the main table for everything.

    The same again changes nothing. Several devices may have one each to the same prefix; all go
    with their device. The main table loses its route last, so that there is always a way.
    """
    wanted = list(routes)
    for version in {prefix.version for prefix, _ in wanted}:
        for protocol in (_UDP, _TCP):
            _do(netlink, _add_rule(version, protocol), errno.EEXIST)
    for prefix, gateway in wanted:
        netlink.do(_add(prefix, gateway, ifindex))
        _do(netlink, _delete_from_main(prefix, gateway, ifindex), errno.ESRCH)


def _do(netlink: Netlink, request: Request, accepted: int) -> None:
    try:
        netlink.do(request)
    except KernelError as error:
        if error.errno != accepted:
            raise


def _add_rule(version: int, protocol: int) -> Request:
    header = _RTMSG.pack(_FAMILY[version], 0, 0, 0, _RT_TABLE_UNSPEC, 0, 0, _FR_ACT_TO_TBL, 0)
    body = header + attribute_u32(_FRA_PRIORITY, PRIORITY) + attribute_u32(_FRA_TABLE, TABLE)
    body += attribute(_FRA_IP_PROTO, bytes((protocol,)))
    body += attribute(_FRA_DPORT_RANGE, _RANGE.pack(_PORT, _PORT))
    return Request(f"add rule {PRIORITY}", _RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, body)


def _add(prefix: IPNetwork, gateway: IPAddress, ifindex: int) -> Request:
    header = _RTMSG.pack(
        _FAMILY[prefix.version], prefix.prefixlen, 0, 0, _RT_TABLE_UNSPEC, _RTPROT_STATIC,
        _RT_SCOPE_UNIVERSE, _RTN_UNICAST, _RTNH_F_ONLINK,
    )  # fmt: skip
    body = header + attribute_u32(_RTA_TABLE, TABLE) + _way(prefix, gateway, ifindex)
    # One metric a device: else it would be the same route, and take the other's place.
    body += attribute_u32(_RTA_PRIORITY, ifindex)
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return Request(f"add route {prefix} via {gateway}", _RTM_NEWROUTE, flags, body)


def _delete_from_main(prefix: IPNetwork, gateway: IPAddress, ifindex: int) -> Request:
    header = _RTMSG.pack(
        _FAMILY[prefix.version], prefix.prefixlen, 0, 0, _RT_TABLE_MAIN, _RTPROT_UNSPEC,
        _RT_SCOPE_NOWHERE, _RTN_UNSPEC, 0,
    )  # fmt: skip
    body = header + _way(prefix, gateway, ifindex)
    return Request(f"delete route {prefix} via {gateway}", _RTM_DELROUTE, 0, body)


def _way(prefix: IPNetwork, gateway: IPAddress, ifindex: int) -> bytes:
    return (
        attribute(_RTA_DST, prefix.network_address.packed)
        + attribute_u32(_RTA_OIF, ifindex)
        + attribute(_RTA_GATEWAY, gateway.packed)
    )
