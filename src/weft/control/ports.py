"""Ports: a workload's place on a network, from wish to record to kernel and back."""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from weft.control.addresses import Addresses
from weft.control.context import Context, Target
from weft.control.group_references import group_ids
from weft.control.held_ports import HeldPorts
from weft.control.plugging import owner_for, veth_for
from weft.control.port_owners import check_own_facts, is_target, why_not_detached
from weft.control.quotas import check_quota
from weft.control.references import (
    check_dns_names,
    check_labels,
    check_mac,
    find_network,
    find_port,
    host_name,
    port_label,
)
from weft.control.reservations import Reservations
from weft.control.specs import AttachSpec, PortChanges, PortSpec
from weft.control.static_ports import STATIC, check_as_declared, is_static, waiting_port
from weft.errors import ConflictError, InUseError, InvalidError, NotFoundError
from weft.model.addresses import IPAddress
from weft.model.choices import LivesWith
from weft.model.ids import GroupId, MacAddress, PortId, derived_mac, new_id
from weft.model.records import Device, Network, Owner, Port, PublishedPort, Subnet
from weft.semantics.tenants import Use
from weft.store.interface import Change, Delete, Put


class Ports:
    """Ports of this host."""

    def __init__(self, context: Context, addresses: Addresses, reservations: Reservations) -> None:
        self._context = context
        self._addresses = addresses
        self._reservations = reservations

    def find(self, reference: str) -> Port:
        """By id, beginning of an id, or one of its names (``NAME`` or ``NAME.NETWORK``)."""
        return find_port(self._context.view, reference)

    def list(self, network: str | None = None) -> Sequence[Port]:
        """All ports, or those of one network, by id."""
        view = self._context.view
        if network is None:
            return sorted(view.list(Port), key=lambda port: port.id)
        found = view.by(Port, "network_id", find_network(view, network).id)
        return sorted(found, key=lambda port: port.id)

    async def add(self, spec: PortSpec) -> Port:
        """Make a port, addresses and all; with a device it is plugged in when this returns."""
        return await self._addresses.with_space(lambda: self._add(spec))

    async def add_with_id(self, spec: PortSpec, port_id: PortId) -> Port:
        """Like `add`, for a port whose id is known beforehand; the same id again returns it."""

        async def attempt() -> Port:
            return self._context.view.get(Port, port_id) or await self._add(spec, port_id)

        return await self._addresses.with_space(attempt)

    async def plug(self, port_id: PortId, device: Device) -> Port:
        """Give a port its device. The same device again changes nothing."""
        async with self._context.lock:
            port = self._own(port_id)
            if port.device == device:
                return port
            if port.device is not None:
                raise ConflictError(
                    f"port {port_label(self._context.view, port)}: is plugged in already, "
                    f"as {port.ifname}"
                )
            plugged = replace(port, device=device)
            await self._context.commit([Put(plugged)], must_hold=plugged)
            return plugged

    async def unplug(self, port_id: PortId, *, is_awaited: bool = True) -> Port:
        """Take the device away; the port keeps its addresses.

        Not `is_awaited`: return when it is durable; the device goes soon after (the kernel takes
        tens of milliseconds to remove one).
        """
        async with self._context.lock:
            port = self._own(port_id)
            if port.device is None:
                return port
            unplugged = replace(port, device=None)
            await self._context.commit([Put(unplugged)], is_awaited=is_awaited)
            return unplugged

    async def update(
        self,
        port_id: PortId,
        *,
        names: Iterable[str] | None = None,
        owner: Owner | None = None,
        published: Sequence[PublishedPort] | None = None,
        labels: tuple[tuple[str, str], ...] | None = None,
        groups: tuple[GroupId, ...] | None = None,
    ) -> Port:
        """Change those facts of a living port that may change."""
        async with self._context.lock:
            port = self._own(port_id)
            if published is not None:
                self._check_published(published, port.id)
            changed = replace(
                port,
                names=port.names if names is None else check_dns_names(names),
                owner=owner or port.owner,
                published=port.published if published is None else tuple(published),
                labels=port.labels if labels is None else check_labels(labels),
                groups=port.groups if groups is None else groups,
            )
            if changed != port:
                await self._context.commit([Put(changed)], must_hold=changed)
            return changed

    async def change(self, reference: str, changes: PortChanges) -> Port:
        """Give a port of this host other labels, or let it name other security groups."""
        async with self._context.lock:
            port = self._own(self.find(reference).id)
            check_own_facts(port, changes)
            view, labels, groups = self._context.view, changes.labels, changes.groups
            is_kept = changes.admits_host is UNSET
            changed = replace(
                port,
                labels=port.labels if labels is UNSET else check_labels(labels),
                admits_host=port.admits_host if is_kept else changes.admits_host,
            )
            if groups is not UNSET:
                network = find_network(view, port.network_id)
                changed = replace(changed, groups=group_ids(view, groups, network))
            if changed != port:
                await self._context.commit([Put(changed)], must_hold=changed)
            return changed

    async def remove(self, port_id: PortId, *, is_awaited: bool = True) -> None:
        """Remove a port; its addresses go to rest. Nothing happens if it is gone already.

        `is_awaited` as for `unplug`.
        """
        async with self._context.lock:
            if self._context.view.get(Port, port_id) is not None:
                port = self._own(port_id)
                await self._context.commit(self._removal(port), is_awaited=is_awaited)

    async def attach(self, spec: AttachSpec) -> Port:
        """Plug in something that runs; the same target and network again returns the port."""
        target = await self._context.targets.resolve(spec.target)

        async def attempt() -> Port:
            network = find_network(self._context.view, spec.network)
            found = self._attached(network, target)
            if found is not None:
                return found
            names = spec.names or ((target.name,) if target.name else ())
            waiting = waiting_port(self._context.view, network, names)
            if waiting is not None:
                return await self._bind(waiting, spec, target)
            port_id = PortId(new_id(self._context.random_bytes))
            return await self._add(
                PortSpec(
                    network=network.id,
                    addresses=spec.addresses or (),
                    is_exact=spec.addresses == (),
                    mac=spec.mac,
                    names=names,
                    labels=spec.labels,
                    groups=spec.groups,
                    allowed=spec.allowed,
                    is_spoof_checked=spec.is_spoof_checked,
                    admits_host=spec.admits_host,
                    device=veth_for(spec, target, port_id),
                    owner=owner_for("cli", spec, target),
                ),
                port_id,
            )

        return await self._addresses.with_space(attempt)

    async def detach(self, target: str, network: str) -> None:
        """Undo `attach`. Nothing happens if the target is not attached. It works by the port's
        record, so also when the target is dead."""
        found = find_network(self._context.view, network)
        candidates = [
            port
            for port in self._on_network(found)
            if port.owner.lives_with is LivesWith.NAMESPACE and is_target(port, target)
        ]
        if not candidates:
            try:
                resolved = await self._context.targets.resolve(target)
            except NotFoundError:
                return
            attached = self._attached(found, resolved)
            if attached is not None and attached.owner.lives_with is LivesWith.FRONTEND:
                raise InUseError(why_not_detached(attached, found, target))
            candidates = [attached] if attached is not None else []
        for port in candidates:
            await self.end(port.id)

    async def end(self, port_id: PortId) -> None:
        """What was plugged into a port is gone: a static one waits again, on no host, and any other
        is removed."""
        port = self._context.view.get(Port, port_id)
        if port is None or not is_static(port):
            await self.remove(port_id)
            return
        async with self._context.lock:
            freed = replace(
                self._own(port_id), host_id=None, slot=None, device=None, owner=STATIC, published=()
            )
            await self._context.commit([Put(freed)])

    async def _bind(self, port: Port, spec: AttachSpec, target: Target) -> Port:
        check_as_declared(self._context.view, port, spec)
        bound = replace(
            port,
            host_id=self._context.host_id,
            slot=self._free_slot(find_network(self._context.view, port.network_id)),
            device=veth_for(spec, target, port.id),
            owner=owner_for(STATIC.frontend, spec, target),
        )
        await self._context.commit([Put(bound)], must_hold=bound)
        return bound

    async def _add(self, spec: PortSpec, port_id: PortId | None = None) -> Port:
        network = find_network(self._context.view, spec.network)
        subnets = self._subnets(network)
        changes: list[Change] = []
        addresses = self._addresses_for(spec, subnets, changes)
        if spec.owner.frontend != "host":
            more = Use(ports=1, addresses=len(addresses))
            check_quota(self._context.view, network.tenant_id, more)
        port_id = port_id or PortId(new_id(self._context.random_bytes))
        self._check_published(spec.published, port_id)
        replaced = self._replaced(network, addresses)
        port = Port(
            id=port_id,
            network_id=network.id,
            host_id=None if spec.is_static else self._context.host_id,
            mac=self._mac_for(spec, network, port_id, addresses, replaced),
            slot=None if spec.is_static else self._free_slot(network),
            addresses=addresses,
            names=check_dns_names(spec.names),
            labels=check_labels(spec.labels),
            groups=group_ids(self._context.view, spec.groups, network),
            allowed=tuple(
                replace(pair, mac=check_mac(pair.mac)) if pair.mac else pair
                for pair in spec.allowed
            ),
            is_spoof_checked=spec.is_spoof_checked,
            admits_host=spec.admits_host,
            device=spec.device,
            owner=spec.owner,
            published=spec.published,
            replaces=replaced,
        )
        await self._context.commit([*changes, Put(port)], must_hold=port)
        return port

    def _subnets(self, network: Network) -> Sequence[Subnet]:
        found = self._context.view.by(Subnet, "network_id", network.id)
        return sorted(found, key=lambda s: (s.cidr.version, int(s.cidr.network_address)))

    def _addresses_for(
        self, spec: PortSpec, subnets: Sequence[Subnet], changes: MutableSequence[Change]
    ) -> tuple[IPAddress, ...]:
        addresses: dict[IPAddress, None] = {}
        for address in spec.addresses:
            if address in addresses:
                raise InvalidError(f"address {address}: given twice")
            subnet = next((s for s in subnets if address in s.cidr), None)
            taken_over = self._reservations.take_over(subnet, address) if subnet else []
            if not taken_over or not spec.owner.takes_reservations:
                self._addresses.check_free(address, subnets)
            changes.extend(taken_over)
            addresses[address] = None
        families = {address.version for address in addresses}
        if not spec.is_exact:
            for version in (4, 6):
                of_family = [s for s in subnets if s.cidr.version == version]
                if of_family and version not in families:
                    address = self._addresses.choose(of_family)
                    subnet = next(s for s in of_family if address in s.cidr)
                    changes.extend(self._reservations.take_over(subnet, address))
                    addresses[address] = None
        return tuple(addresses)

    def _replaced(self, network: Network, addresses: Iterable[IPAddress]) -> tuple[PortId, ...]:
        """Ports that have addresses which this host was free to give all the same."""
        view = self._context.view
        found = {
            port.id
            for address in addresses
            for port in view.by(Port, "addresses", address)
            if port.network_id == network.id
        }
        return tuple(sorted(found))

    def _mac_for(
        self,
        spec: PortSpec,
        network: Network,
        port_id: PortId,
        addresses: Sequence[IPAddress],
        replaced: Sequence[PortId],
    ) -> MacAddress:
        taken = {
            port.mac: port
            for port in self._context.view.by(Port, "network_id", network.id)
            if port.id not in replaced
        }
        if spec.mac is not None:
            mac = check_mac(spec.mac)
            if mac in taken:
                label = port_label(self._context.view, taken[mac])
                raise ConflictError(f"MAC {mac}: in use by port {label}; choose another")
            return mac
        mac = derived_mac(network.id, str(addresses[0]) if addresses else port_id)
        return mac if mac not in taken else derived_mac(network.id, port_id)

    def _on_network(self, network: Network) -> Sequence[Port]:
        """This host's ports there: namespaces and containers of others are none of its own."""
        ports = self._context.view.by(Port, "network_id", network.id)
        return [port for port in ports if port.host_id == self._context.host_id]

    def _free_slot(self, network: Network) -> int:
        taken = {port.slot for port in self._on_network(network)}
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)

    def _check_published(self, published: Sequence[PublishedPort], port_id: PortId) -> None:
        if not published:
            return
        here = self._context.view.by(Port, "host_id", self._context.host_id)
        held = HeldPorts(port for port in here if port.id != port_id)
        for wanted in published:
            collision = held.collision(wanted)
            if collision is not None:
                by = (
                    f"published already by {port_label(self._context.view, collision.holder)}; "
                    "choose another"
                    if collision.holder is not None
                    else "is asked for twice"
                )
                raise ConflictError(f"host port {collision.number}/{wanted.protocol}: {by}")
            held.hold(wanted, None)

    def _removal(self, port: Port) -> Sequence[Change]:
        changes: list[Change] = [Delete(Port, port.id)]
        subnets = tuple(self._context.view.by(Subnet, "network_id", port.network_id))
        for address in port.addresses:
            subnet = next((s for s in subnets if address in s.cidr), None)
            if subnet is not None and not port.is_host:
                changes.extend(self._reservations.rest(subnet, address))
        return changes

    def _own(self, port_id: PortId) -> Port:
        port = self._context.view.get(Port, port_id)
        if port is None:
            raise NotFoundError(f"port {port_id}: not found")
        if port.host_id not in (None, self._context.host_id):
            label = port_label(self._context.view, port)
            host = host_name(self._context.view, port.host_id)
            raise InvalidError(f"port {label}: is on host {host}; change it there")
        return port

    def _attached(self, network: Network, target: Target) -> Port | None:
        """The place that a target has on a network already, whoever gave it."""
        for port in self._on_network(network):
            if port.veth is None:
                continue
            if port.veth.netns_inode == target.inode:
                return port
            if target.container_id and port.owner.container_id == target.container_id:
                return port
        return None
