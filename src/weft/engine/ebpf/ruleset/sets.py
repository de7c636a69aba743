"""The sets and maps of Weft's nftables table, one family at a time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from weft.engine.ebpf.ruleset.intervals import Interval, apart, disjoint
from weft.engine.ebpf.tables.nftables import Door, PublishKey, PublishTarget
from weft.model.addresses import IPAddress, IPNetwork

_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}


def prefix_set(name: str, family: int, prefixes: Iterable[IPNetwork]) -> str:
    """A set of prefixes."""
    own = sorted(str(prefix) for prefix in prefixes if prefix.version == family)
    elements = f" elements = {{ {', '.join(own)} }};" if own else ""
    head = f"  set {name}{family} {{ type {_TYPE[family]}; flags interval; auto-merge;"
    return f"{head}{elements} }}"


def door_set(family: int, doors: Iterable[Door]) -> str:
    """Where hosts wait for each other, as (address, protocol, port)."""
    own = sorted(
        f"{door.address} . {door.protocol} . {door.port}"
        for door in doors
        if door.address.version == family
    )
    elements = f" elements = {{ {', '.join(own)} }};" if own else ""
    head = f"  set doors{family} {{ type {_TYPE[family]} . inet_proto . inet_service;"
    return f"{head}{elements} }}"


def gateway_map(family: int, gateways: Mapping[IPNetwork, IPAddress]) -> str:
    """Prefix -> gateway. nft takes no overlap, so a prefix leaves out what a longer one covers."""
    kind = _TYPE[family]
    elements = ", ".join(
        f"{first}-{last} : {gateway}"
        for first, last, gateway in disjoint(
            {prefix: value for prefix, value in gateways.items() if prefix.version == family}
        )
    )
    head = f"  map gateway{family} {{ type {kind} : {kind}; flags interval;"
    return f"{head}{f' elements = {{ {elements} }};' if elements else ''} }}"


def publish_maps(
    family: int, published: Iterable[tuple[PublishKey, PublishTarget]]
) -> Iterable[str]:
    """Maps for ports of every address of the host, and maps for those of a certain address.

    A long row of ports whose numbers stay the same is one element, an interval, in a map of its
    own; of all others each port is one, for nft cannot count along.
    """
    kind = _TYPE[family]
    port_type = "inet_proto . inet_service"
    ports: dict[str, dict[str, str]] = {"": {}, "_at": {}}
    rows: dict[str, list[Interval]] = {"": [], "_at": []}
    for key, target in published:
        if key.family != family:
            continue
        is_anywhere = key.host_address is None or key.host_address.is_unspecified
        scope, at = ("", "") if is_anywhere else ("_at", f"{key.host_address} . ")
        head = f"{at}{key.protocol} . "
        if key.length > 1 and key.host_port == target.port:
            last = key.host_port + key.length - 1
            rows[scope].append(Interval(head, key.host_port, last, str(target.address)))
            continue
        for offset in range(key.length):
            leads_to = f"{target.address} . {target.port + offset}"
            ports[scope][f"{head}{key.host_port + offset}"] = leads_to
    for scope, key_type in (("", port_type), ("_at", f"{kind} . {port_type}")):
        elements = [f"{key} : {target}" for key, target in sorted(ports[scope].items())]
        head = f"map publish{scope}{family} {{ type {key_type} : {kind} . inet_service;"
        yield f"  {head}{_elements(elements)} }}"
        intervals = [f"{i.head}{i.first}-{i.last} : {i.target}" for i in apart(rows[scope])]
        head = f"map publish_rows{scope}{family} {{ type {key_type} : {kind}; flags interval;"
        yield f"  {head}{_elements(intervals)} }}"


def proxy_sets(family: int, proxied: Iterable[PublishKey]) -> Iterable[str]:
    """One of ports of every address of the host, one of those of a certain address."""
    found: dict[str, list[Interval]] = {"": [], "_at": []}
    for key in proxied:
        if key.family == family:
            at = "" if key.host_address is None else f"{key.host_address} . "
            last = key.host_port + key.length - 1
            interval = Interval(f"{at}{key.protocol} . ", key.host_port, last, "")
            found["_at" if at else ""].append(interval)
    port_type = "inet_proto . inet_service"
    for scope, key_type in (("", port_type), ("_at", f"{_TYPE[family]} . {port_type}")):
        elements = [f"{i.head}{i.first}-{i.last}" for i in apart(found[scope])]
        head = f"set proxy{scope}{family} {{ type {key_type}; flags interval;"
        yield f"  {head}{_elements(elements)} }}"


def _elements(elements: Sequence[str]) -> str:
    return f" elements = {{ {', '.join(elements)} }};" if elements else ""
