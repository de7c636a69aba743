"""Rules of policy routing: which routing table is asked for which packets."""

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
    attribute_u32,
    attributes,
)
from weft.kernel.routes import MAIN, PROTOCOL
from weft.model.addresses import IPNetwork, ip_network

_RTM_NEWRULE = 32
_RTM_DELRULE = 33
_RTM_GETRULE = 34
_FRA_DESTINATION = 1
_FRA_PRIORITY = 6
_FRA_FWMARK = 10
_FRA_TABLE = 15
_FRA_FWMASK = 16
_FRA_L3MDEV = 19
_FRA_PROTOCOL = 21
_FR_ACT_TO_TABLE = 1
_RT_TABLE_LOCAL = 255
_FAMILY = {4: 2, 6: 10}
_HEADER = struct.Struct("=BBBBBBBBI")


class Rule(NamedTuple):
    """A rule that sends packets to a table."""

    version: int
    """4 or 6."""
    priority: int
    """The smallest goes first."""
    table: int
    mark: int
    """0: whatever the packet's mark is (with `mask` 0)."""
    mask: int
    protocol: int
    """Of its maker, as with routes."""
    is_of_device: bool
    """The table is that of the device's VRF, for packets of VRFs alone."""
    destination: IPNetwork | None = None
    """None: whatever packets go to."""


def add_rule(rule: Rule) -> Request:
    """Add a rule. EEXIST: it is there."""
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Request(f"add IPv{rule.version} rule", _RTM_NEWRULE, flags, _body(rule))


def delete_rule(rule: Rule) -> Request:
    """Take it away again. ENOENT: it is gone already."""
    return Request(f"delete IPv{rule.version} rule", _RTM_DELRULE, 0, _body(rule))


def rules(netlink: Netlink, versions: Iterable[int] = (4, 6)) -> list[Rule]:
    """All rules that send packets to a table, in the order in which the kernel goes by them. A
    kernel without IPv6 has none of it."""
    found: list[Rule] = []
    for version in versions:
        header = _HEADER.pack(_FAMILY[version], 0, 0, 0, 0, 0, 0, 0, 0)
        try:
            bodies = netlink.dump(Request("list rules", _RTM_GETRULE, 0, header))
        except KernelError as error:
            if error.errno != errno.EAFNOSUPPORT:
                raise
            continue
        found += [rule for body in bodies if (rule := _parse(version, body)) is not None]
    return sorted(found, key=lambda rule: (rule.version, rule.priority))


def has_rules_before_main(known: Iterable[Rule]) -> bool:
    """Whether rules that are not Weft's ask another table before the main one is asked. A VPN that
    has the main table asked first for all but its default route (wg-quick) does not count."""
    is_decided = set()
    for rule in known:
        if rule.version in is_decided or rule.protocol == PROTOCOL or rule.is_of_device:
            continue
        if rule.table == MAIN:
            is_decided.add(rule.version)
        elif rule.table != _RT_TABLE_LOCAL:
            return True
    return False


def _body(rule: Rule) -> bytes:
    length, to = 0, b""
    if rule.destination is not None:
        length = rule.destination.prefixlen
        to = attribute(_FRA_DESTINATION, rule.destination.network_address.packed)
    return (
        _HEADER.pack(_FAMILY[rule.version], length, 0, 0, 0, 0, 0, _FR_ACT_TO_TABLE, 0)
        + to
        + attribute_u32(_FRA_PRIORITY, rule.priority)
        + (_marked(rule) if rule.mask else b"")
        + attribute_u32(_FRA_TABLE, rule.table)
        + attribute(_FRA_PROTOCOL, bytes([rule.protocol]))
    )


def _marked(rule: Rule) -> bytes:
    return attribute_u32(_FRA_FWMARK, rule.mark) + attribute_u32(_FRA_FWMASK, rule.mask)


def _parse(version: int, body: bytes) -> Rule | None:
    _, length, _, _, table, _, _, action, _ = _HEADER.unpack_from(body)
    if action != _FR_ACT_TO_TABLE:
        return None
    found = attributes(body, _HEADER.size)

    def number(kind: int) -> int:
        return int.from_bytes(found.get(kind, b""), "little")

    destination = found.get(_FRA_DESTINATION)
    return Rule(
        version=version,
        priority=number(_FRA_PRIORITY),
        table=number(_FRA_TABLE) or table,
        mark=number(_FRA_FWMARK),
        mask=number(_FRA_FWMASK),
        protocol=number(_FRA_PROTOCOL),
        is_of_device=bool(number(_FRA_L3MDEV)),
        destination=None if destination is None else ip_network((destination, length)),
    )
