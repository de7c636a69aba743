"""The underlay: the device towards other hosts, its addresses and MTU, and the host's routes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from weft.errors import InvalidError, UnavailableError
from weft.kernel.addresses import addresses
from weft.kernel.links import Link, find_link, links
from weft.kernel.netlink import Netlink
from weft.kernel.routes import PROTOCOL, Route, routes
from weft.model.addresses import IPAddress, IPNetwork

_LOOPBACK_MTU_BYTES = 1500
_OWN_DEVICES = ("weft0", "weft1", "weftwg")


class Underlay(NamedTuple):
    """The way to other hosts."""

    ifname: str
    ifindex: int
    mtu_bytes: int
    addresses: tuple[IPAddress, ...]
    """The one to use first."""


def find(device: str = "", address: IPAddress | None = None) -> Underlay:
    """The underlay of the calling thread's namespace; empty settings: by the default route.

    A host without a default route (a laptop off line) uses its first device with a global
    address, and loopback when there is none: one host alone still works. InvalidError: no such
    device or address.
    """
    with Netlink() as netlink:
        held: dict[int, list[IPAddress]] = {}
        for entry in addresses(netlink):
            if not entry.is_link_local:
                held.setdefault(entry.ifindex, []).append(entry.address)
        link = _choose(netlink, device, address, held)
    own = held.get(link.ifindex, [])
    if address is not None:
        if address not in own:
            raise InvalidError(f"underlay_address {address}: device {link.name} does not hold it")
        own = [address, *(other for other in own if other != address)]
    is_loopback = link.name == "lo"
    mtu_bytes = _LOOPBACK_MTU_BYTES if is_loopback else link.mtu_bytes
    return Underlay(link.name, link.ifindex, mtu_bytes, tuple(own))


def _choose(
    netlink: Netlink, device: str, address: IPAddress | None, held: dict[int, list[IPAddress]]
) -> Link:
    """Asks for single devices: a host with 10 000 ports must not list them all for this."""
    if device:
        link = find_link(netlink, device)
        if link is None:
            names = ", ".join(sorted(link.name for link in links(netlink)))
            raise InvalidError(f"underlay_device {device}: no such device; there are {names}")
        return link
    if address is not None:
        for ifindex, own in held.items():
            if address in own and (link := find_link(netlink, ifindex)) is not None:
                return link
        raise InvalidError(f"underlay_address {address}: no device of this host holds it")
    defaults = [route for route in routes(netlink) if route.prefix.prefixlen == 0 and route.ifindex]
    for route in sorted(defaults, key=lambda route: (route.prefix.version, route.metric)):
        if (link := find_link(netlink, route.ifindex)) is not None:
            return link
    for ifindex in sorted(held):
        link = find_link(netlink, ifindex)
        if link is not None and link.is_up and link.name not in ("lo", "weft0"):
            return link
    loopback = find_link(netlink, "lo")
    if loopback is None:
        raise UnavailableError("underlay: this network namespace has no device at all")
    return loopback


class ForeignRoute(NamedTuple):
    """A route of the host that is not Weft's."""

    prefix: IPNetwork
    description: str
    """As `ip route` shows it: ``10.0.0.0/8 via 192.0.2.1 dev eth0``."""
    is_link: bool
    """The host has neighbours there: the prefix is that of an address on a device that asks for
    them (ARP), which a tunnel does not."""


def host_routes() -> list[ForeignRoute]:
    """What this host routes somewhere and is not Weft's; no default routes. The prefix of an
    address counts though it has no route, as while its device is down."""
    with Netlink() as netlink:
        known = routes(netlink)
        held = addresses(netlink)
        ifindexes = {route.ifindex for route in known if route.ifindex}
        devices = _devices(netlink, ifindexes | {entry.ifindex for entry in held})
    found: dict[IPNetwork, ForeignRoute] = {}
    for entry in held:
        device = devices.get(entry.ifindex)
        if device is not None and _is_foreign(entry.prefix, device):
            description = f"{entry.prefix} dev {device.name}"
            found[entry.prefix] = ForeignRoute(entry.prefix, description, device.has_arp)
    for route in known:
        device = devices.get(route.ifindex)
        if route.protocol != PROTOCOL and _is_foreign(route.prefix, device):
            is_link = route.prefix in found and found[route.prefix].is_link
            description = _described(route, device)
            found[route.prefix] = ForeignRoute(route.prefix, description, is_link)
    return sorted(found.values(), key=lambda route: (route.prefix.version, route.prefix))


def _is_foreign(prefix: IPNetwork, device: Link | None) -> bool:
    is_own = device is not None and device.name in _OWN_DEVICES
    return not (is_own or prefix.prefixlen == 0 or prefix.is_link_local or prefix.is_loopback)


def _devices(netlink: Netlink, ifindexes: Iterable[int]) -> dict[int, Link]:
    found = (find_link(netlink, ifindex) for ifindex in ifindexes)
    return {link.ifindex: link for link in found if link is not None}


def _described(route: Route, device: Link | None) -> str:
    via = f" via {route.gateway}" if route.gateway is not None else ""
    return f"{route.prefix}{via}{f' dev {device.name}' if device is not None else ''}"
