"""Static ports: those that somebody has declared, and that wait for their workload on no host.

`Ports.attach` plugs into one what is called as it is, and it belongs to that host until what was
plugged in is gone; then it waits again. Two hosts that cannot hear each other may both do so: then
one of them has it in the end, and the other's workload is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import UNSET

from weft.control.references import check_dns_names, find_network, port_label
from weft.control.specs import AttachSpec, PortSpec, StaticPortSpec
from weft.errors import ConflictError, InUseError
from weft.model.records import Network, Owner, Port
from weft.store.interface import View

STATIC = Owner(frontend="static")
"""Of one that waits."""


def is_static(port: Port) -> bool:
    """Whether somebody has declared it."""
    return port.owner.frontend == STATIC.frontend


def static_port(view: View, network: Network, name: str) -> Port | None:
    """The one of that name on a network. Of several, which two hosts have made apart, the one with
    the smallest id."""
    (label,) = check_dns_names([name])
    found = (port for port in view.by(Port, "names", label) if port.network_id == network.id)
    return min(filter(is_static, found), key=lambda port: port.id, default=None)


def static_ports(view: View, networks: Iterable[Network]) -> Sequence[Port]:
    """All of some networks, in their order, by name."""
    return [
        port
        for network in networks
        for port in sorted(view.by(Port, "network_id", network.id), key=lambda each: each.names)
        if is_static(port)
    ]


def waiting_port(view: View, network: Network, names: Iterable[str]) -> Port | None:
    """The static port that waits for a workload of these names. ConflictError: it has one."""
    for name in names:
        port = static_port(view, network, name)
        if port is None:
            continue
        if port.device is not None:
            raise ConflictError(
                f"port {port_label(view, port)}: is static, and {port.owner.reference} is plugged "
                "into it; detach that, or give this another name: --name"
            )
        return port
    return None


def declared(view: View, spec: StaticPortSpec) -> PortSpec:
    """What `Ports.add` makes of one. ConflictError: there is one of the name."""
    network = find_network(view, spec.network)
    other = static_port(view, network, spec.name)
    if other is not None:
        raise ConflictError(f"port {port_label(view, other)}: exists already (id {other.id})")
    pairs = spec.labels.items() if isinstance(spec.labels, dict) else spec.labels
    return PortSpec(
        network=network.id,
        addresses=spec.addresses,
        mac=spec.mac,
        names=(spec.name,),
        labels=tuple(pairs),
        groups=spec.groups,
        admits_host=spec.admits_host,
        is_static=True,
        owner=STATIC,
    )


def check_as_declared(view: View, port: Port, spec: AttachSpec) -> None:
    """ConflictError: what is plugged in shall have what the port has not."""
    asked = {
        "address": spec.addresses is not UNSET and set(spec.addresses) != set(port.addresses),
        "MAC": spec.mac is not None and spec.mac.lower() != port.mac,
        "label": bool(set(spec.labels) - set(port.labels)),
        "group": bool(spec.groups),
        "host's way in": spec.admits_host and not port.admits_host,
        "further address": bool(spec.allowed) or not spec.is_spoof_checked,
    }
    for what in (what for what, is_asked in asked.items() if is_asked):
        raise ConflictError(
            f"port {port_label(view, port)}: is static, and has its {what} as it was declared; "
            "leave that out, or give the workload another name: --name"
        )


def check_waiting(view: View, port: Port) -> None:
    """InUseError: something is plugged into it."""
    if port.device is not None:
        label, user = port_label(view, port), port.owner.reference
        raise InUseError(f"port {label}: {user} is plugged into it; detach that first")
