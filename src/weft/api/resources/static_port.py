"""Static ports: of all ports those that files describe. Their commands, as of all ports, are
written by hand (`cli.port`), and so are their routes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from weft.api.resources.base import Applied, Document, Resource
from weft.api.resources.matching import same_words
from weft.api.schema.ports import PortInfo, PortList
from weft.api.schema.queries import PortQuery
from weft.control.group_rules import local_name
from weft.control.references import find_network, networks_meant
from weft.control.specs import PortChanges, StaticPortSpec
from weft.control.static_ports import check_waiting, declared, static_port, static_ports
from weft.model.records import Network, Port, SecurityGroup
from weft.semantics.networks import full_name, networks_made_by_hand
from weft.store.interface import View

if TYPE_CHECKING:
    from weft.api.context import Context
    from weft.control.control import Control


def _info(context: Context, port: Port) -> PortInfo:
    from weft.api.render import port_info

    return port_info(context, port)


def _list(context: Context, query: PortQuery) -> PortList:
    from weft.api.render import port_infos

    return PortList(ports=port_infos(context, context.control.ports.list(query.network)))


def _named(view: View, spec: StaticPortSpec) -> Port | None:
    if not networks_meant(view, spec.network):
        return None
    return static_port(view, find_network(view, spec.network), spec.name)


def _short(network: str) -> str:
    return network.removeprefix("default/")


def _document(view: View, port: Port) -> Document:
    network = view.get(Network, port.network_id)
    groups = (view.get(SecurityGroup, id) for id in port.groups)
    return {
        "name": port.names[0],
        "network": full_name(view, network) if network is not None else port.network_id,
        "addresses": [str(address) for address in port.addresses],
        "mac": port.mac,
        "labels": dict(port.labels),
        "groups": sorted(group.name for group in groups if group is not None),
        "admits_host": port.admits_host,
    }


def _exported(view: View) -> Iterable[Port]:
    return static_ports(view, networks_made_by_hand(view))


def _normal(spec: StaticPortSpec, given: Document) -> Document:
    tenant = spec.network.rpartition("/")[0] or "default"
    groups = [local_name(name, tenant) for name in spec.groups]
    return {**given, "groups": groups} if "groups" in given else given


def _has_addresses(wanted: list[str], actual: list[str]) -> bool:
    """Those that are named; the others came from the network's subnets."""
    return set(wanted) <= set(actual)


def _has_mac(wanted: str | None, actual: str) -> bool:
    return wanted in (None, actual)


async def _remove(control: Control, port: Port) -> None:
    check_waiting(control.view, port)
    await control.ports.remove(port.id)


PORT: Resource[Port, StaticPortSpec, PortChanges, PortInfo] = Resource(
    noun="port",
    plural="ports",
    help="Ports.",
    record=Port,
    spec=StaticPortSpec,
    changes=PortChanges,
    info=PortInfo,
    detail=PortInfo,
    listing=PortList,
    parameters=("port",),
    answer=_info,
    inspect=None,
    find=lambda control, path: control.ports.find(path["port"]),
    list=_list,
    create=lambda control, spec: control.ports.add(declared(control.view, spec)),
    change=lambda control, port, changes: control.ports.change(port.id, changes),
    remove=lambda control, port, query: _remove(control, port),
    verbs={},
    applied=Applied(
        identity=("name", "network"),
        key=lambda spec: f"{spec.name.lower().rstrip('.')} on {_short(spec.network)}",
        find=_named,
        document=_document,
        exported=_exported,
        normal=_normal,
        fits={"addresses": _has_addresses, "mac": _has_mac, "groups": same_words},
        remove=_remove,
    ),
)
