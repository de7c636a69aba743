"""Networks. What ``create`` says of subnets, and what ``inspect`` shows, is in `cli.network`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from weft.api.resources.base import Applied, Column, Document, Option, Resource, Verb
from weft.api.resources.matching import (
    anyhow,
    if_wanted,
    same_advertising,
    same_in_any_order,
    same_words,
    subnets_fit,
)
from weft.api.schema.networks import NetworkDetail, NetworkInfo, NetworkList, SubnetInfo
from weft.control.advertising import words_of
from weft.control.specs import NetworkChanges, NetworkSpec, Spec
from weft.errors import (
    ConflictError,
    ExhaustedError,
    InUseError,
    InvalidError,
    NotFoundError,
)
from weft.model.choices import Allocator
from weft.model.records import AddressRange, Network, Subnet
from weft.semantics.networks import networks_made_by_hand, subnets_of
from weft.semantics.tenants import tenant_name, tenant_of, tenants_named
from weft.store.interface import View

if TYPE_CHECKING:
    from weft.api.context import Context

MULTICAST_TEXTS = {
    "snoop": "goes to the members of a group",
    "flood": "goes to every port",
}


ADVERTISING_TEXTS = {
    "attached": "to attached ports",
    "all": "to all ports",
    "off": "to none",
}


def full_name(one: NetworkInfo) -> str:
    """As commands name it."""
    return _full(one.tenant, one.name)


def flags(one: NetworkInfo) -> str:
    """What is special about it."""
    said = [
        ("internal", one.is_internal),
        ("exposed", one.is_exposed),
        ("strict", one.is_strict),
        ("tracked", one.is_tracked),
        ("judges DNS", one.judges_dns),
        ("admits hosts", one.admits_host),
    ]
    return ", ".join(name for name, is_set in said if is_set)


def is_dns_free(one: NetworkInfo) -> bool:
    """Whether its ports ask Weft's DNS though nothing else of theirs goes out without a rule."""
    return "egress" in one.effective_denied and not one.judges_dns


def _created(subnet: SubnetInfo) -> str:
    if subnet.cut_off_by is None:
        return subnet.cidr
    return f"{subnet.cidr} (no way out: the addresses are {subnet.cut_off_by}'s outside)"


def _changed(one: NetworkInfo) -> str:
    told = [
        f", router advertisements of {subnet.cidr} {ADVERTISING_TEXTS[word]}"
        for subnet in one.subnets
        if ":" in subnet.cidr and (word := subnet.router_advertisements) != "attached"
    ]
    return f"multicast {MULTICAST_TEXTS[one.multicast]}{''.join(told)}"


def _full(tenant: str, name: str) -> str:
    return name if tenant == "default" else f"{tenant}/{name}"


def _info(context: Context, network: Network) -> NetworkInfo:
    from weft.api.render import network_info

    return network_info(context, network)


def _list(context: Context, query: Spec) -> NetworkList:
    infos = [_info(context, network) for network in context.control.networks.list()]
    return NetworkList(networks=tuple(sorted(infos, key=lambda info: (info.tenant, info.name))))


def _detail(context: Context, network: Network) -> NetworkDetail:
    from weft.api.render import name_infos, port_infos

    control = context.control
    ports = control.ports.list(network.id)
    return NetworkDetail(
        **msgspec.structs.asdict(_info(context, network)),
        ports=port_infos(context, ports),
        names=name_infos(context, control.names.list(network.id), ports),
    )


def _named(view: View, spec: NetworkSpec) -> Network | None:
    tenants = tenants_named(view, spec.tenant)
    found = [each for each in view.by(Network, "name", spec.name) if each.tenant_id in tenants]
    if len(found) > 1:
        ids = " and ".join(sorted(network.id for network in found))
        raise ConflictError(
            f"network {_full(spec.tenant, spec.name)}: several are called so, {ids}; rename one of "
            "them first"
        )
    return found[0] if found else None


def _document(view: View, network: Network) -> Document:
    subnets = subnets_of(view, network)
    return {
        "name": network.name,
        "tenant": tenant_of(view, network),
        "subnets": [_subnet(subnet) for subnet in subnets],
        "is_ipv6": any(subnet.cidr.version == 6 for subnet in subnets),
        "is_internal": network.is_internal,
        "mtu_bytes": network.mtu_bytes,
        "is_forced": any(subnet.is_forced for subnet in subnets),
        "labels": dict(network.labels),
        "multicast": network.multicast.value,
        "shared_with": sorted(tenant_name(view, id) for id in network.shared_with),
        "multicast_groups": [str(group) for group in network.multicast_groups],
        "denied": None if network.denied is None else [each.value for each in network.denied],
        "is_strict": network.is_strict,
        "is_tracked": network.is_tracked,
        "judges_dns": network.judges_dns,
        "admits_host": network.admits_host,
        "router_advertisements": words_of(subnets),
    }


def _subnet(subnet: Subnet) -> Document:
    return {
        "cidr": str(subnet.cidr),
        "gateway": None if subnet.gateway is None else str(subnet.gateway),
        "ranges": _ranges(subnet.ranges),
        "excludes": _ranges(subnet.excludes),
        "allocator": "weft" if subnet.allocator is Allocator.WEFT else "docker",
    }


def _ranges(ranges: Iterable[AddressRange]) -> list[Document]:
    return [{"first": str(one.first), "last": str(one.last)} for one in ranges]


def _brief(document: Document) -> Document:
    """Subnets that are named need no wish for one of IPv6."""
    subnets: Any = document["subnets"]
    brief = [
        {
            field: value
            for field, value in subnet.items()
            if value != [] and (field, value) != ("allocator", "weft")
        }
        for subnet in subnets
    ]
    return {**document, "subnets": brief, "is_ipv6": False}


NETWORK: Resource[Network, NetworkSpec, NetworkChanges, NetworkInfo] = Resource(
    noun="network",
    plural="networks",
    help="Make, list, inspect, change and remove networks.",
    record=Network,
    spec=NetworkSpec,
    changes=NetworkChanges,
    info=NetworkInfo,
    detail=NetworkDetail,
    listing=NetworkList,
    parameters=("network",),
    answer=_info,
    inspect=_detail,
    find=lambda control, path: control.networks.find(path["network"]),
    list=_list,
    create=lambda control, spec: control.networks.create(spec),
    change=lambda control, network, changes: control.networks.change(network.id, changes),
    remove=lambda control, network, query: control.networks.remove(network.id),
    verbs={
        "create": Verb(
            summary="Make a network",
            more="Without --subnet its addresses come from the address pool.",
            examples=(
                "foo",
                "foo --subnet 192.168.1.0/24 --gateway 192.168.1.254",
                "foo --subnet 10.1.0.0/16 --range 10.1.4.0/24 \\\n    --exclude 10.1.4.1-10.1.4.9",
                "dual --subnet 10.2.0.0/24 --subnet fd00:2::/64",
                "back --internal --ipv6",
                "web --tenant acme",
            ),
            errors=(InvalidError, ConflictError, ExhaustedError),
            said=lambda one: ", ".join(map(_created, one.subnets)),
        ),
        "ls": Verb(summary="List networks", examples=("", "--json")),
        "inspect": Verb(summary="A network with its ports and names", errors=(NotFoundError,)),
        "set": Verb(
            summary="Change how a network forwards, on all hosts",
            more="With snoop, multicast goes to the ports that have joined the group, by IGMP or "
            "MLD, or were made members (weft multicast add). With flood, every port gets all.",
            examples=(
                "foo --multicast flood",
                "foo --multicast snoop",
                "foo --label team=a",
                "foo --router-advertisements fd00:1::/64=all",
            ),
            errors=(InvalidError, NotFoundError, ConflictError),
            said=_changed,
        ),
        "rm": Verb(
            summary="Remove networks that no port uses, on all hosts",
            examples=("foo", "foo bar"),
            errors=(NotFoundError, InUseError),
        ),
    },
    columns=(
        Column("NETWORK", full_name),
        Column("SUBNETS", lambda one: "\n".join(subnet.cidr for subnet in one.subnets)),
        Column("GATEWAYS", lambda one: "\n".join(each.gateway or "-" for each in one.subnets)),
        Column("PORTS", lambda one: str(one.total_port_count), is_right=True),
        Column("FLAGS", flags),
    ),
    options=(
        Option("tenant", "--tenant", "Whose it is [default]; one that is not there is made."),
        Option("is_ipv6", "--ipv6", "Add an IPv6 subnet when no --subnet is one."),
        Option("is_internal", "--internal", "No way to the outside of the host."),
        Option("mtu_bytes", "--mtu", "MTU [the underlay's, less 50]."),
        Option(
            "multicast",
            "--multicast",
            "To whom multicast goes: those who joined the group, or all [snoop].",
        ),
        Option(
            "shared_with",
            "--share-with",
            "Tenant that may connect it to its routers; repeatable.",
        ),
        Option("is_strict", "--strict", "Drop TCP of connections that nobody has seen begin."),
        Option("is_tracked", "--track", "Remember connections of ports without rules, too."),
        Option("judges_dns", "--judge-dns", "Let rules decide about queries to Weft's DNS, too."),
        Option(
            "admits_host",
            "--admit-host",
            "Let hosts in from their own places there, whatever rules say.",
        ),
        Option(
            "router_advertisements",
            "--router-advertisements",
            "SUBNET=attached|all|off: which ports get IPv6 router advertisements [attached]; "
            "repeatable.",
        ),
        Option("is_forced", "--force", "Accept an overlap with a route of the host."),
        Option("labels", "--label", "KEY=VALUE; repeatable."),
    ),
    called=lambda one: (full_name(one), ", ".join(subnet.cidr for subnet in one.subnets)),
    is_followed=True,
    applied=Applied(
        identity=("name", "tenant"),
        key=lambda spec: _full(spec.tenant, spec.name),
        find=_named,
        document=_document,
        exported=networks_made_by_hand,
        brief=_brief,
        fits={
            "shared_with": same_in_any_order,
            "subnets": subnets_fit,
            "is_ipv6": if_wanted,
            "is_forced": anyhow,
            "denied": same_words,
            "router_advertisements": same_advertising,
        },
        remove=lambda control, network: control.networks.remove(network.id),
    ),
)
