"""`devices`: the veth pair of each port.

A pair that is finished carries, as the alias of its host's end, a digest of the row that it was
made from; the alias is written last. So a pair that was left half made, at whatever step, reads
back as something else than any row and is mended; and 10 000 pairs are checked by one dump.
The host's end stays down until the engine has put its program there. It has an ifindex by which
arrays find it (see `devices`). A pair that must be made anew keeps its ifindex, so rows of
other tables that name it stay true; its filter goes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import secrets
import time
from collections.abc import Hashable, Iterable, Mapping

from weft.engine.plumbing.device_names import PORT_DEVICE, PORT_HOST_END
from weft.engine.plumbing.devices import Devices
from weft.engine.plumbing.tables.devices import DEVICES, DeviceValue
from weft.engine.rows import RowFailure, RowKey
from weft.errors import ConflictError, KernelError, NotFoundError, WeftError
from weft.kernel import netns, sysctl
from weft.kernel.addresses import add_address
from weft.kernel.links import (
    Link,
    VethEnd,
    create_veth,
    delete_group,
    delete_link,
    find_link,
    forbid_link_local,
    netns_ids,
    set_alias,
    set_group,
    set_mac,
    set_mtu,
    set_up,
)
from weft.kernel.netlink import Netlink
from weft.kernel.routes import MOST_OWN_S, RTPROT_KERNEL, add_gateway_route, await_own, routes

_READY_S = 0.2
_READY_POLL_S = 0.0005
_MOST_RISING = 64
"""That many sockets are kept open; where more devices are made at once, nobody waits for one."""


class DeviceDriver:
    """See `engine.rows.Driver`."""

    name = DEVICES.name

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._netlink = devices.netlink
        self._remade: set[str] = set()
        self._rising: list[tuple[Netlink, int, DeviceValue]] = []

    def await_ready(self) -> None:
        """Wait until the workloads' ends that were made since the last call really send, and take
        what is sent to them.

        Call it once their hosts' ends are up. The kernel starts a device some time after its
        carrier came, 60 ms on a busy machine; an ARP request before that is lost, and the next
        one follows a second later. A kernel since 6.8 catches up when it is asked.
        """
        rising, self._rising = self._rising, []
        began_s = time.monotonic()
        deadline_s = began_s + _READY_S
        for inside, ifindex, value in rising:
            with inside:
                while time.monotonic() < deadline_s:
                    link = find_link(inside, ifindex)
                    if link is None or link.is_ready:
                        break
                    time.sleep(_READY_POLL_S)
                left_s = max(began_s + MOST_OWN_S - time.monotonic(), 0)
                await_own(inside, (address for address, _ in value.addresses), left_s)

    def take_remade(self) -> set[str]:
        """Devices that were made anew since the last call, in place of one that was there."""
        remade, self._remade = self._remade, set()
        return remade

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. What is not as desired reads back as words, not as a DeviceValue."""
        found: dict[Hashable, Hashable] = {}
        for link in self._devices.all():
            if not is_host_end(link):
                continue
            value = desired.get(link.name)
            found[link.name] = value if _is_as(link, value) else f"{link.alias} {link.mtu_bytes}"
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        failures = self._delete([str(name) for name in deletes])
        for name, value in upserts.items():
            assert isinstance(name, str) and isinstance(value, DeviceValue)
            try:
                self._ensure(name, value)
            except (WeftError, OSError) as error:
                failures.append(RowFailure(RowKey(self.name, name), str(error)))
        return failures

    def _ensure(self, name: str, value: DeviceValue) -> None:
        if not PORT_DEVICE.fullmatch(name):
            raise ConflictError(f"device {name}: not a name that Weft gives to a port's device")
        link = self._devices.look_up(name)
        if value.netns is None:
            if link is not None and self._is_waiting(link, value):
                self._adapt(link, value)
            else:
                self._make(name, value, None, link)
            return
        with netns.opened(value.netns) as fd:
            self._check_namespace(value)
            if link is not None and self._is_in(link, fd):
                self._finish(link, value, value.netns)
            else:
                self._make(name, value, fd, link)

    def _check_namespace(self, value: DeviceValue) -> None:
        assert value.netns is not None
        number = netns.inode(value.netns)
        if value.netns_inode is not None and number != value.netns_inode:
            raise NotFoundError(
                f"network namespace {value.netns}: the workload's is gone, another one is there now"
            )
        if number == netns.inode():
            raise ConflictError(
                f"network namespace {value.netns}: it is the host's own; use weft expose"
            )

    def _make(
        self, name: str, value: DeviceValue, netns_fd: int | None, former: Link | None
    ) -> None:
        """A new pair, the peer born in its namespace under its final name."""
        if former is not None:
            self._delete([name])
            self._remade.add(name)
        ifindex = former.ifindex if former else self._devices.new_ifindex()
        peer = VethEnd(value.peer_ifname, value.mac, netns_fd)
        try:
            self._create(VethEnd(name, ifindex=ifindex), peer, value)
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise
            self._clear(value, netns_fd)
            self._create(VethEnd(name, ifindex=ifindex), peer, value)
        link = self._devices.look_up(name)
        if link is None:
            raise NotFoundError(f"device {name}: it vanished while it was made")
        self._finish(link, value, value.netns)

    def _create(self, end: VethEnd, peer: VethEnd, value: DeviceValue) -> None:
        """With the ifindex that is wanted, or with another if somebody else's device has that."""
        while True:
            try:
                self._netlink.do(
                    create_veth(end, peer, value.mtu_bytes), forbid_link_local(end.name)
                )
                return
            except KernelError as error:
                # Which of the two the kernel says depends on its version.
                if error.errno not in (errno.EEXIST, errno.EBUSY) or not end.ifindex:
                    raise
                if find_link(self._netlink, end.ifindex) is None:
                    raise
            end = end._replace(ifindex=self._devices.new_ifindex())

    def _clear(self, value: DeviceValue, netns_fd: int | None) -> None:
        """The peer's name is taken: by a leftover of ours, which goes, or by somebody else."""
        if netns_fd is None:
            self._delete([value.peer_ifname] if PORT_DEVICE.fullmatch(value.peer_ifname) else [])
        else:
            assert value.netns is not None
            with netns.netlink_in(value.netns) as inside:
                if find_link(inside, value.peer_ifname) is not None:
                    raise ConflictError(
                        f"device {value.peer_ifname}: the workload has one of this name; "
                        "choose another (--ifname)"
                    )

    def _finish(self, link: Link, value: DeviceValue, path: str | None) -> None:
        """Everything after the pair exists; the alias last."""
        if path is not None:
            self._finish_inside(path, link.peer_index, value)
        alias = alias_of(value)
        if link.mtu_bytes != value.mtu_bytes:
            self._netlink.do(set_mtu(link.ifindex, value.mtu_bytes))
        self._netlink.do(set_alias(link.ifindex, alias))
        self._devices.note(link._replace(mtu_bytes=value.mtu_bytes, alias=alias))

    def _finish_inside(self, path: str, ifindex: int, value: DeviceValue) -> None:
        """The workload's end. Its namespace is kept at hand for `await_ready`."""
        with contextlib.ExitStack() as stack:
            with netns.entered(path):
                if any(address.version == 6 for address, _ in value.addresses):
                    # Docker forbids IPv6 in a container that it gave no IPv6 network.
                    sysctl.ensure(f"net/ipv6/conf/{value.peer_ifname}/disable_ipv6", "0")
                inside = stack.enter_context(Netlink())
            _configure(inside, ifindex, value)
            if len(self._rising) < _MOST_RISING:
                stack.pop_all()
                self._rising.append((inside, ifindex, value))

    def _is_waiting(self, link: Link, value: DeviceValue) -> bool:
        """Whether a pair whose peer another moves serves: moved already, or as it must be."""
        if link.peer_netns_id is not None:
            return True
        peer = find_link(self._netlink, link.peer_index)
        return peer is not None and (peer.name, peer.mac) == (value.peer_ifname, value.mac)

    def _adapt(self, link: Link, value: DeviceValue) -> None:
        if link.peer_netns_id is None:
            self._netlink.do(set_mtu(link.peer_index, value.mtu_bytes))
        elif link.mtu_bytes != value.mtu_bytes:
            self._set_moved_mtu(link, value.mtu_bytes)
        self._finish(link, value, None)

    def _set_moved_mtu(self, link: Link, mtu_bytes: int) -> None:
        """Change the MTU of a peer in a namespace of which only the kernel's id is known."""
        for path in netns.paths():
            try:
                with netns.opened(path) as fd:
                    if not self._is_in(link, fd):
                        continue
                    with netns.netlink_in(path) as inside:
                        inside.do(set_mtu(link.peer_index, mtu_bytes))
                    return
            except NotFoundError:
                continue

    def _is_in(self, link: Link, netns_fd: int) -> bool:
        """Whether a pair's other end is in a namespace that is not the host's."""
        if link.peer_netns_id is None:
            return False
        return netns_ids(self._netlink, [netns_fd]) == [link.peer_netns_id]

    def _delete(self, names: list[str]) -> list[RowFailure]:
        failures = delete_devices(self._netlink, names)
        for name in names:
            self._devices.forget(name)
        return [RowFailure(RowKey(self.name, name), why) for name, why in failures.items()]


def is_host_end(link: Link) -> bool:
    """Whether it is the host's end of a port's pair (or a stray peer that Docker gave back)."""
    return link.kind == "veth" and PORT_HOST_END.fullmatch(link.name) is not None


def alias_of(value: DeviceValue) -> str:
    """What `ip link` shows of a pair that is as `value` says."""
    digest = hashlib.blake2b(repr(tuple(value)).encode(), digest_size=8).hexdigest()
    return f"weft vni {value.vni} {digest}"


def delete_devices(netlink: Netlink, names: list[str]) -> dict[str, str]:
    """Remove devices; gives those that could not be, and why. Gone already is no failure.

    Several go as one group: the kernel waits 15 ms for its readers once, not for each.
    """
    if len(names) > 1:
        group = secrets.randbelow(1 << 30) + (1 << 30)
        answers = netlink.run([set_group(name, group) for name in names])
        if any(answer.error is None for answer in answers):
            netlink.do(delete_group(group))
    else:
        answers = netlink.run([delete_link(name) for name in names])
    return {
        name: str(answer.error)
        for name, answer in zip(names, answers)
        if answer.error is not None and answer.error.errno != errno.ENODEV
    }


def _is_as(link: Link, value: Hashable) -> bool:
    if not isinstance(value, DeviceValue):
        return False
    is_moved = value.netns is None or link.peer_netns_id is not None
    return is_moved and link.mtu_bytes == value.mtu_bytes and link.alias == alias_of(value)


def _configure(inside: Netlink, ifindex: int, value: DeviceValue) -> None:
    """MAC, MTU, addresses and routes of the workload's end; what is there already stays."""
    peer = find_link(inside, ifindex)
    if peer is None:
        raise NotFoundError(f"device {value.peer_ifname}: it is not in {value.netns}")
    requests = []
    if peer.mac != value.mac:
        requests.append(set_mac(ifindex, value.mac))
    if peer.mtu_bytes != value.mtu_bytes:
        requests.append(set_mtu(ifindex, value.mtu_bytes))
    requests += [add_address(ifindex, address, length) for address, length in value.addresses]
    if not peer.is_up:
        requests.append(set_up(ifindex))
    inside.do(*requests)
    if value.routes:
        _add_routes(inside, ifindex, value)


def _add_routes(inside: Netlink, ifindex: int, value: DeviceValue) -> None:
    """Those to prefixes that the workload has no route to yet. A device of its own that is on the
    prefix is no such route: it goes before as long as it is there."""
    versions = {prefix.version for prefix, _ in value.routes}
    known = {
        route.prefix
        for route in routes(inside, versions)
        if route.gateway is not None or route.protocol != RTPROT_KERNEL
    }
    for prefix, gateway in value.routes:
        if prefix not in known:
            inside.do(add_gateway_route(prefix, gateway, ifindex))
