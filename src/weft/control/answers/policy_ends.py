"""Which ends of a flow are meant by names and addresses."""

from __future__ import annotations

from typing import NamedTuple

from weft.control.references import find_port, port_label, ports_meant, users_of
from weft.errors import ConflictError, InvalidError
from weft.model.addresses import IPAddress, plain_address
from weft.model.ids import NetworkId
from weft.model.records import Port
from weft.semantics.routers import subnet_of
from weft.semantics.routing import ways
from weft.store.interface import View


class End(NamedTuple):
    """One end of a flow."""

    address: IPAddress
    network_id: NetworkId | None = None
    """None: outside of all networks."""
    port: Port | None = None


class Ends(NamedTuple):
    """Both."""

    source: End
    destination: End


def ends_meant(view: View, source: str, destination: str, family: int | None) -> Ends:
    """The two ends that are meant. Of ports with one name those on one network are."""
    from_address, to_address = _address(source), _address(destination)
    senders = _ports(view, source, from_address)
    if to_address is not None:
        return _to_address(view, source, senders, from_address, to_address)
    receivers = _ports(view, destination, None)
    if from_address is not None:
        return _from_address(view, destination, senders, from_address, receivers)
    sender, receiver = _pair(view, (source, senders), (destination, receivers))
    version = _common_family(view, sender, receiver, family)
    return Ends(_end(sender, version), _end(receiver, version))


def _to_address(
    view: View,
    reference: str,
    senders: list[Port],
    from_address: IPAddress | None,
    address: IPAddress,
) -> Ends:
    if not senders:
        receivers = list(view.by(Port, "addresses", address))
        assert from_address is not None
        if not receivers:
            raise InvalidError(
                f"{from_address} and {address}: neither is a port's; one end must be a port"
            )
        return _from_address(view, str(address), [], from_address, receivers)
    near = [port for port in senders if subnet_of(view, port.network_id, address) is not None]
    sender = _one(view, reference, near if len(near) == 1 else senders)
    if from_address is not None:
        return Ends(_at(from_address, sender), End(address))
    return Ends(_end_of_family(view, sender, address.version), End(address))


def _from_address(
    view: View, reference: str, senders: list[Port], address: IPAddress, receivers: list[Port]
) -> Ends:
    """From an address: of a port, if what that port sends gets to the receiver; else of somebody on
    the receiver's network, or outside."""
    for receiver in receivers:
        to = _end_of_family(view, receiver, address.version)
        for sender in senders:
            is_near = sender.network_id == receiver.network_id
            found = () if is_near else ways(view, sender.network_id, address, to.address)
            if is_near or any(way.network_id == receiver.network_id for way in found):
                return Ends(_at(address, sender), to)
    receiver = _one(view, reference, receivers)
    is_near = subnet_of(view, receiver.network_id, address) is not None
    near = receiver.network_id if is_near else None
    return Ends(End(address, near), _end_of_family(view, receiver, address.version))


def _address(text: str) -> IPAddress | None:
    try:
        return plain_address(text)
    except ValueError:
        return None


def _ports(view: View, reference: str, address: IPAddress | None) -> list[Port]:
    if address is not None:
        return sorted(view.by(Port, "addresses", address), key=lambda port: port.id)
    return ports_meant(view, reference) or [find_port(view, reference)]


def _pair(
    view: View, source: tuple[str, list[Port]], destination: tuple[str, list[Port]]
) -> tuple[Port, Port]:
    pairs = [
        (sender, receiver)
        for sender in source[1]
        for receiver in destination[1]
        if sender.network_id == receiver.network_id
    ]
    if len(pairs) == 1:
        return pairs[0]
    return _one(view, *source), _one(view, *destination)


def _one(view: View, reference: str, found: list[Port]) -> Port:
    if len(found) == 1:
        return found[0]
    ports = (f"{port_label(view, port)} ({port.id})" for port in found)
    raise ConflictError(
        f"port {reference}: several are called so, {users_of(sorted(ports))}; say NAME.NETWORK or "
        "an id"
    )


def _common_family(view: View, sender: Port, receiver: Port, wanted: int | None) -> int:
    common = {a.version for a in sender.addresses} & {b.version for b in receiver.addresses}
    for version in (4, 6):
        if version in common and wanted in (None, version):
            return version
    what = f"IPv{wanted} address" if wanted is not None else "family of addresses"
    raise InvalidError(
        f"port {port_label(view, sender)} and port {port_label(view, receiver)}: have no {what} in "
        "common"
    )


def _end_of_family(view: View, port: Port, version: int) -> End:
    if not any(address.version == version for address in port.addresses):
        raise InvalidError(f"port {port_label(view, port)}: has no IPv{version} address")
    return _end(port, version)


def _end(port: Port, version: int) -> End:
    return _at(next(each for each in port.addresses if each.version == version), port)


def _at(address: IPAddress, port: Port) -> End:
    return End(address, port.network_id, port)
