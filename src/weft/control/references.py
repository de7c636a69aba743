"""From the words of a user to the record that they mean."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from weft.control.specs import NETWORK_NAME, TENANT_NAME
from weft.errors import ConflictError, InvalidError, NotFoundError
from weft.model.ids import (
    HostId,
    MacAddress,
    NameId,
    NetworkId,
    RouterId,
    TenantId,
    derived_id,
)
from weft.model.records import Host, Network, Port, Router, ServiceTarget, Tenant
from weft.model.records.tenants import DEFAULT_TENANT_NAME
from weft.model.service_addresses import GATEWAY_MAC
from weft.semantics.networks import full_name
from weft.semantics.routers import full_router_name
from weft.semantics.tenants import all_tenants, tenant_name, tenants_named
from weft.store.interface import View

MIN_PREFIX = 4
"""Fewer digits of an id than these are never taken for one."""
_NETWORK_NAME = re.compile(NETWORK_NAME)
_TENANT_NAME = re.compile(TENANT_NAME)
_DNS_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


def find_network(view: View, reference: str) -> Network:
    """By name, ``tenant/name``, id, or the unambiguous beginning of an id."""
    found = networks_meant(view, reference)
    if len(found) == 1:
        return found[0]
    if found and found[0].name == reference.rpartition("/")[2]:
        ids = sorted(network.id for network in found)
        raise ConflictError(
            f"network {reference}: several are called so, {' and '.join(ids)}; give an id, and "
            f"rename one of them: weft network rename {ids[-1]} NEW-NAME"
        )
    if found:
        raise ConflictError(f"network {reference}: several ids begin so; give more digits")
    names = (full_name(view, network) for network in view.list(Network))
    raise NotFoundError(f"network {reference}: not found{near(reference, names)}")


def find_network_for(view: View, reference: str, tenant_id: TenantId) -> Network:
    """The same for what is a tenant's: a name without a tenant is one of that tenant. NotFoundError
    says where there is one of that name."""
    if "/" in reference:
        return find_network(view, reference)
    full = f"{tenant_name(view, tenant_id)}/{reference}"
    if networks_named(view, full):
        return find_network(view, full)
    if any(is_id(reference, network.id) for network in view.list(Network)):
        return find_network(view, reference)
    others = sorted(full_name(view, each) for each in view.by(Network, "name", reference))
    if not others:
        return find_network(view, full)
    named = " or ".join(name if "/" in name else f"{DEFAULT_TENANT_NAME}/{name}" for name in others)
    raise NotFoundError(f"network {full}: not found; did you mean {named}")


def networks_meant(view: View, reference: str) -> list[Network]:
    """All that a reference may mean: one, where it is a good one."""
    return networks_named(view, reference) or [
        network for network in view.list(Network) if is_id(reference, network.id)
    ]


def networks_named(view: View, reference: str) -> list[Network]:
    """Networks of a name or ``tenant/name``: one, or several after a partition, by id."""
    tenant, _, name = reference.rpartition("/")
    tenants = tenants_named(view, tenant or DEFAULT_TENANT_NAME)
    found = [n for n in view.by(Network, "name", name) if n.tenant_id in tenants]
    return sorted(found, key=lambda network: network.id)


def find_router(view: View, reference: str) -> Router:
    """By name, ``tenant/name``, id, or the unambiguous beginning of an id."""
    found = routers_named(view, reference) or [
        router for router in view.list(Router) if is_id(reference, router.id)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(sorted(router.id for router in found))
        raise ConflictError(f"router {reference}: several are called so; give one of the ids {ids}")
    names = (full_router_name(view, router) for router in view.list(Router))
    raise NotFoundError(f"router {reference}: not found{near(reference, names)}")


def routers_named(view: View, reference: str) -> list[Router]:
    """Routers of a name or ``tenant/name``: one, or several after a partition, by id."""
    tenant, _, name = reference.rpartition("/")
    tenants = tenants_named(view, tenant or DEFAULT_TENANT_NAME)
    found = [r for r in view.by(Router, "name", name) if r.tenant_id in tenants]
    return sorted(found, key=lambda router: router.id)


def router_label(view: View, router: Router | RouterId) -> str:
    """How a router is called towards users."""
    known = view.get(Router, router) if isinstance(router, str) else router
    return str(router) if known is None else full_router_name(view, known)


def find_tenant(view: View, reference: str) -> Tenant:
    """By name, id, or the unambiguous beginning of an id."""
    tenants = all_tenants(view)
    found = [tenant for tenant in tenants if tenant.name == reference] or [
        tenant for tenant in tenants if is_id(reference, tenant.id)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(tenant.id for tenant in found)
        raise ConflictError(f"tenant {reference}: several are called so; give one of the ids {ids}")
    names = (tenant.name for tenant in tenants)
    raise NotFoundError(f"tenant {reference}: not found{near(reference, names)}")


def find_port(view: View, reference: str) -> Port:
    """By id, beginning of an id, ``NAME`` or ``NAME.NETWORK``."""
    found = ports_meant(view, reference)
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(sorted(port.id for port in found))
        raise ConflictError(f"port {reference}: several are called so; give one of the ids {ids}")
    names = {name for port in view.list(Port) for name in port.names}
    raise NotFoundError(f"port {reference}: not found{near(reference, names)}")


def ports_meant(view: View, reference: str) -> list[Port]:
    """All that a reference may mean: one, where it is a good one."""
    return [port for port in view.list(Port) if is_id(reference, port.id)] or _ports_named(
        view, reference.lower()
    )


def find_host(view: View, reference: str) -> Host:
    """By name, id, or the unambiguous beginning of an id."""
    hosts = list(view.list(Host))
    found = [host for host in hosts if host.name == reference] or [
        host for host in hosts if is_id(reference, host.id)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(sorted(host.id for host in found))
        raise ConflictError(f"host {reference}: several are called so; give one of the ids {ids}")
    raise NotFoundError(f"host {reference}: not found{near(reference, (h.name for h in hosts))}")


def check_network_name(name: str, kind: str = "network") -> str:
    """A name that can be a path element, an argument and a DNS label."""
    if not _NETWORK_NAME.fullmatch(name):
        raise InvalidError(
            f"{kind} name {name!r}: use 1 to 63 letters, digits, '_', '.' and '-', "
            "beginning with a letter or digit"
        )
    return name


def check_tenant_name(name: str) -> str:
    """Likewise for a tenant, which is one label of its networks' full names."""
    if not _TENANT_NAME.fullmatch(name):
        raise InvalidError(
            f"tenant {name!r}: use 1 to 63 letters, digits, '_' and '-', "
            "beginning with a letter or digit"
        )
    return name


def check_dns_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names in lower case, each once, in order; InvalidError for a name that DNS cannot carry."""
    checked: dict[str, None] = {}
    for name in names:
        lower = name.lower().rstrip(".")
        if len(lower) > 200 or not name.isascii() or not _DNS_NAME.fullmatch(lower):
            raise InvalidError(
                f"name {name!r}: labels of 1 to 63 letters, digits, '-' and '_' are needed, "
                "none beginning or ending with '-'"
            )
        checked[lower] = None
    return tuple(checked)


def check_labels(
    labels: Mapping[str, str] | Iterable[tuple[str, str]],
) -> tuple[tuple[str, str], ...]:
    """Labels by key; InvalidError: a key is there twice, or is empty."""
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    checked = tuple(sorted(pairs))
    for key, value in checked:
        if not key:
            raise InvalidError(f"label {key}={value}: has no key")
    for (key, _), (following, _) in pairwise(checked):
        if key == following:
            raise InvalidError(f"label {key}: given twice")
    return checked


def name_id(name: str, network_id: NetworkId) -> NameId:
    """Id of the record of what somebody added to a name."""
    return NameId(derived_id("name", network_id, name.lower().rstrip(".")))


def parse_service(text: str) -> ServiceTarget:
    """``PRIORITY WEIGHT PORT TARGET`` (RFC 2782)."""
    fields = text.split()
    try:
        priority, weight, port = (int(field) for field in fields[:3])
        (target,) = fields[3:]
    except ValueError:
        raise InvalidError(
            f"service {text!r}: needs PRIORITY WEIGHT PORT TARGET, such as '0 10 80 web'"
        ) from None
    for what, number in (("priority", priority), ("weight", weight), ("port", port)):
        if not 0 <= number <= 65_535:
            raise InvalidError(f"service {text!r}: {what} {number} is not 0 to 65535")
    (target,) = check_dns_names([target])
    return ServiceTarget(priority=priority, weight=weight, port=port, target=target)


def check_mac(mac: str) -> MacAddress:
    """A unicast MAC that is not the gateways'."""
    lower = mac.lower().replace("-", ":")
    if not _MAC.fullmatch(lower):
        raise InvalidError(f"MAC {mac}: six octets are needed, such as 02:00:00:00:00:01")
    if int(lower[:2], 16) & 1:
        raise InvalidError(f"MAC {mac}: a multicast address; the first octet must be even")
    if lower == GATEWAY_MAC:
        raise InvalidError(f"MAC {mac}: belongs to the gateways")
    return MacAddress(lower)


def users_of(items: Sequence[str], limit: int = 5) -> str:
    """For messages: the first few, and how many more."""
    shown = ", ".join(items[:limit])
    return f"{shown} and {len(items) - limit} more" if len(items) > limit else shown


def port_label(view: View, port: Port) -> str:
    """How a port is called towards users."""
    network = view.get(Network, port.network_id)
    name = workload_name(port)
    return f"{name} on {network.name}" if network else name


def workload_name(port: Port) -> str:
    """How users call the workload behind a port."""
    return port.owner.container_name or (port.names[0] if port.names else port.id)


def workload_and_host(view: View, port: Port) -> str:
    """The workload behind a port, and where it is: ``web on host h2``."""
    if port.host_id is None:
        return f"{workload_name(port)}, which is on no host yet"
    return f"{workload_name(port)} on host {host_name(view, port.host_id)}"


def host_name(view: View, host_id: HostId) -> str:
    """How a host is called towards users."""
    host = view.get(Host, host_id)
    return host.name if host else host_id


def network_label(view: View, network_id: NetworkId) -> str:
    """A network's name, with its tenant, and with its id when others have the name too."""
    network = view.get(Network, network_id)
    if network is None:
        return network_id
    others = [n for n in view.by(Network, "name", network.name) if n.tenant_id == network.tenant_id]
    name = full_name(view, network)
    return f"{name} ({network_id})" if len(others) > 1 else name


def _ports_named(view: View, reference: str) -> list[Port]:
    found = list(view.by(Port, "names", reference))
    if found:
        return found
    name, _, network_name = reference.partition(".")
    networks = {network.id: network for network in view.list(Network)}
    return [
        port
        for port in view.by(Port, "names", name)
        if port.network_id in networks and networks[port.network_id].name.lower() == network_name
    ]


def is_id(reference: str, id: str) -> bool:
    """Whether a reference may be an id, or the beginning of one."""
    return reference == id or (len(reference) >= MIN_PREFIX and id.startswith(reference))


def near(reference: str, names: Iterable[str]) -> str:
    """For messages: names that may have been meant."""
    found = difflib.get_close_matches(reference, list(names), n=3)
    return f"; did you mean {' or '.join(found)}?" if found else ""
