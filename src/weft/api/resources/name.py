"""Names that somebody adds to DNS. Of their commands, ``weft dns``, the list alone is made from
this: the others add to what is there and take from it, and are written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from weft.api.resources.base import Applied, Column, Document, Path, Resource, Verb
from weft.api.schema.names import NameInfo, NameList, RemoveNameQuery
from weft.api.schema.queries import NetworkQuery
from weft.control.references import find_network, name_id, networks_meant, parse_service
from weft.control.specs import NameChanges, NameSpec
from weft.errors import ConflictError, InvalidError, NotFoundError
from weft.model.records import Name, Network
from weft.semantics.networks import full_name, networks_made_by_hand
from weft.store.interface import View

if TYPE_CHECKING:
    from weft.api.context import Context
    from weft.control.control import Control


def answers(one: NameInfo) -> str:
    """What DNS says, one a line."""
    return "\n".join((*one.addresses, *one.services))


def _info(context: Context, name: Name) -> NameInfo:
    from weft.api.render import name_infos

    return name_infos(context, [name], [])[0]


def _list(context: Context, query: NetworkQuery) -> NameList:
    from weft.api.render import name_infos

    control = context.control
    added, ports = control.names.list(query.network), control.ports.list(query.network)
    return NameList(names=name_infos(context, added, ports))


def _find(control: Control, path: Path) -> Name:
    return control.names.find(path["name"], path["network"])


async def _remove(control: Control, name: Name, query: RemoveNameQuery) -> None:
    await control.names.remove(name.name, name.network_id, query.address)


def _named(view: View, spec: NameSpec) -> Name | None:
    if not networks_meant(view, spec.network):
        return None
    return view.get(Name, name_id(spec.name, find_network(view, spec.network).id))


def _short(network: str) -> str:
    return network.removeprefix("default/")


def _document(view: View, name: Name) -> Document:
    network = view.get(Network, name.network_id)
    return {
        "name": name.name,
        "network": full_name(view, network) if network is not None else name.network_id,
        "addresses": [str(address) for address in name.addresses],
        "services": [service.text for service in name.services],
        "labels": dict(name.labels),
    }


def _exported(view: View) -> Iterable[Name]:
    for network in networks_made_by_hand(view):
        yield from sorted(view.by(Name, "network_id", network.id), key=lambda each: each.name)


def _same_services(wanted: Sequence[str], actual: Sequence[str]) -> bool:
    """However they are written."""
    return [parse_service(text).text for text in wanted] == list(actual)


NAME: Resource[Name, NameSpec, NameChanges, NameInfo] = Resource(
    noun="name",
    command="dns",
    plural="names",
    help="Add, list, remove and look up names.",
    record=Name,
    spec=NameSpec,
    changes=NameChanges,
    info=NameInfo,
    detail=NameInfo,
    listing=NameList,
    parameters=("network", "name"),
    answer=_info,
    inspect=None,
    find=_find,
    list=_list,
    create=lambda control, spec: control.names.add(spec),
    change=lambda control, name, changes: control.names.change(name.name, name.network_id, changes),
    remove=_remove,
    verbs={
        "create": Verb(
            summary="Add addresses or service targets to a name",
            errors=(InvalidError, NotFoundError, ConflictError),
        ),
        "ls": Verb(
            summary="List the names that DNS answers",
            more="Added ones and those of ports; of all networks, or of one NETWORK.",
            examples=("", "foo --json"),
            errors=(InvalidError, NotFoundError),
            query=NetworkQuery,
        ),
        "set": Verb(
            summary="Say all that a name has that was added",
            errors=(InvalidError, NotFoundError),
        ),
        "rm": Verb(
            summary="Remove a name that was added, or some of its addresses",
            errors=(InvalidError, NotFoundError),
            query=RemoveNameQuery,
        ),
    },
    columns=(
        Column("NAME", lambda one: one.name),
        Column("NETWORK", lambda one: one.network),
        Column("ANSWERS", answers),
        Column("SOURCE", lambda one: one.source),
    ),
    applied=Applied(
        identity=("name", "network"),
        key=lambda spec: f"{spec.name.lower().rstrip('.')} on {_short(spec.network)}",
        find=_named,
        document=_document,
        exported=_exported,
        fits={"services": _same_services},
        remove=lambda control, name: control.names.remove(name.name, name.network_id),
    ),
)
