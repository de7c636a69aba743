"""The host's side: the pair weft0/weft1, and the addresses and routes on weft0.

weft0 is the host's door to its networks, weft1 the inner side on which `from_host` runs. Both take
the largest MTU there is; what a packet may be is said by the routes, so that the host answers
"too big" itself and nothing is dropped between the two ends.
"""

from __future__ import annotations

import errno
from collections.abc import Hashable, Iterable, Mapping
from ipaddress import IPv6Address

import structlog

from weft.engine.ebpf import rows, ruleset
from weft.engine.ebpf.devices import WEFT1_IFINDEX, Devices
from weft.engine.ebpf.rows import WEFT0, WEFT1
from weft.engine.rows import RowFailure, RowKey
from weft.errors import KernelError
from weft.kernel import sysctl
from weft.kernel.addresses import DeviceAddress, add_address, addresses, delete_address
from weft.kernel.bpf.programs import HostDevices
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
from weft.kernel.netlink import Netlink, Request
from weft.kernel.routes import (
    MAIN,
    PROTOCOL,
    add_local_route,
    add_route,
    await_own,
    delete_route,
    routes,
)
from weft.kernel.rules import Rule, add_rule, delete_rule, rules
from weft.model.addresses import IPAddress, IPNetwork

_MAC0 = "0a:57:45:46:54:00"
_MAC1 = "0a:57:45:46:54:02"
_MTU_BYTES = 65535
_LOOPBACK6 = IPv6Address("::1")
OWN_TABLE = 8787
"""The routing table of `own_routes`. Only the rule leads there."""
_RULE_PRIORITY = 87
"""Behind the table of the host's own addresses (0), and before those of VPNs."""
log = structlog.get_logger()


def ensure_pair(devices: Devices) -> HostDevices:
    """Make weft0 and weft1 unless they are there, and bring weft0 up.

    weft1 comes up with its program (see `filter_table`). Anything else of these names, or a half
    pair, is made anew.
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
    return HostDevices(weft0.ifindex, weft0.mac, weft1.ifindex)


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


def _is_moot(key: Hashable) -> bool:
    return isinstance(key, IPAddress | IPNetwork) and key.version == 6 and not has_ipv6()


class HostAddressTable:
    """`host_addresses`. No prefix routes come with them: routes are rows of their own."""

    name = rows.HOST_ADDRESSES

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._netlink = devices.netlink

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Table.read`. An address of several prefix lengths reads back as one that is not
        desired, and is put right."""
        found: dict[Hashable, Hashable] = {key: desired[key] for key in desired if _is_moot(key)}
        for entry in self._held():
            value: Hashable = rows.HostAddressValue(entry.prefix_length)
            if entry.address in found:
                value = "several prefix lengths"
            found[entry.address] = value
        return found

    def _held(self) -> list[DeviceAddress]:
        link = self._devices.find(WEFT0)
        return addresses(self._netlink, link.ifindex) if link is not None else []

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Table.write`."""
        ifindex = self._devices.ifindex(WEFT0)
        held: dict[IPAddress, list[int]] = {}
        for entry in self._held():
            held.setdefault(entry.address, []).append(entry.prefix_length)
        requests: list[tuple[Hashable, Request]] = []
        for address in deletes:
            assert isinstance(address, IPAddress)
            for length in held.get(address, []):
                requests.append((address, delete_address(ifindex, address, length)))
        for address, value in upserts.items():
            assert isinstance(address, IPAddress) and isinstance(value, rows.HostAddressValue)
            for length in held.get(address, []):
                if length != value.prefix_length:
                    requests.append((address, delete_address(ifindex, address, length)))
            add = add_address(ifindex, address, value.prefix_length, has_prefix_route=False)
            requests.append((address, add))
        failures = _run(self._netlink, self.name, requests, errno.EADDRNOTAVAIL)
        failed = {failure.row.key for failure in failures}
        added = (address for address in upserts if isinstance(address, IPAddress))
        await_own(
            self._netlink, (each for each in added if each not in failed and not _is_moot(each))
        )
        return failures


class HostRouteTable:
    """`host_routes`, in the main table, or `own_routes` in Weft's own. Only routes with Weft's mark
    are Weft's; others on weft0 stay."""

    def __init__(
        self, devices: Devices, name: str = rows.HOST_ROUTES, routing_table: int = MAIN
    ) -> None:
        self.name = name
        self._devices = devices
        self._netlink = devices.netlink
        self._routing_table = routing_table
        self.mtu_bytes = 0
        """What fits into the networks; on every route."""

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Table.read`. A route with another MTU reads back as words."""
        found: dict[Hashable, Hashable] = {key: desired[key] for key in desired if _is_moot(key)}
        link = self._devices.find(WEFT0)
        known = routes(self._netlink, table=self._routing_table) if link is not None else []
        for route in known:
            if route.protocol != PROTOCOL or link is None or route.ifindex != link.ifindex:
                continue
            value: Hashable = rows.HostRouteValue(route.source)
            if route.mtu_bytes != self.mtu_bytes:
                value = f"mtu {route.mtu_bytes}"
            found[route.prefix] = value
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Table.write`."""
        ifindex, table = self._devices.ifindex(WEFT0), self._routing_table
        requests: list[tuple[Hashable, Request]] = []
        for prefix in deletes:
            assert isinstance(prefix, IPNetwork)
            requests.append((prefix, delete_route(prefix, ifindex, table)))
        for prefix, value in upserts.items():
            assert isinstance(prefix, IPNetwork) and isinstance(value, rows.HostRouteValue)
            add = add_route(
                prefix, ifindex, source=value.source, mtu_bytes=self.mtu_bytes, table=table
            )
            requests.append((prefix, add))
        return _run(self._netlink, self.name, requests, errno.ESRCH)


class RuleTable:
    """`rules`."""

    name = rows.RULES

    def __init__(self, devices: Devices) -> None:
        self._netlink = devices.netlink

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Table.read`. A rule that Weft made and that is another one now reads as words."""
        found: dict[Hashable, Hashable] = {key: desired[key] for key in desired if _is_idle(key)}
        for rule in own_rules(self._netlink):
            key = _key_of(rule)
            is_right = rule == _rule(key) and key not in found
            found[key] = rows.RuleValue() if is_right else "not as Weft made it"
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Table.write`."""
        changed = {*deletes, *upserts}
        requests: list[tuple[Hashable, Request]] = [
            (_key_of(rule), delete_rule(rule))
            for rule in own_rules(self._netlink)
            if _key_of(rule) in changed
        ]
        for key in upserts:
            assert isinstance(key, int | IPNetwork)
            requests.append((key, add_rule(_rule(key))))
        return _run(self._netlink, self.name, requests, errno.ENOENT)


def own_rules(netlink: Netlink) -> list[Rule]:
    """Those that Weft made."""
    versions = (4, 6) if has_ipv6() else (4,)
    return [rule for rule in rules(netlink, versions) if rule.protocol == PROTOCOL]


def remove_rules(netlink: Netlink) -> None:
    """Take away all rules that Weft made; its routes go with weft0."""
    netlink.do(*(delete_rule(rule) for rule in own_rules(netlink)))


def _key_of(rule: Rule) -> int | IPNetwork:
    return rule.version if rule.destination is None else rule.destination


def _rule(key: int | IPNetwork) -> Rule:
    if isinstance(key, IPNetwork):
        return Rule(
            version=key.version,
            priority=_RULE_PRIORITY,
            table=MAIN,
            mark=0,
            mask=0,
            protocol=PROTOCOL,
            is_of_device=False,
            destination=key,
        )
    return Rule(
        version=key,
        priority=_RULE_PRIORITY,
        table=OWN_TABLE,
        mark=ruleset.MARK,
        mask=ruleset.MARK,
        protocol=PROTOCOL,
        is_of_device=False,
    )


def _is_idle(key: Hashable) -> bool:
    return _is_moot(key) or (key == 6 and not has_ipv6())


def _run(
    netlink: Netlink, table: str, requests: list[tuple[Hashable, Request]], gone: int
) -> list[RowFailure]:
    """Send all; `gone` is what the kernel says of a thing to delete that is not there."""
    answers = netlink.run([request for _, request in requests])
    return [
        RowFailure(RowKey(table, key), str(answer.error))
        for (key, _), answer in zip(requests, answers)
        if answer.error is not None
        and answer.error.errno != gone
        and not (_is_moot(key) or _is_idle(key))
    ]
