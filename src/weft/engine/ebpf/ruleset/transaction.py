"""The transaction that puts Weft's nftables table in the place of what is there."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from weft.engine.ebpf.ruleset.chains import USUAL_PORTS, HostPorts, chains
from weft.engine.ebpf.ruleset.sets import (
    door_set,
    gateway_map,
    prefix_set,
    proxy_sets,
    publish_maps,
)
from weft.engine.ebpf.tables.nftables import Door, NftKey, PublishKey, PublishTarget
from weft.model.addresses import IPAddress, IPNetwork

TABLE = "inet weft"
_SETS = ("masquerade", "internal", "exposed", "hosts", "underlay", "contested")


def render(rows: Mapping[Hashable, Hashable], ports: HostPorts = USUAL_PORTS) -> str:
    """Its text."""
    sets: dict[str, list[IPNetwork]] = {name: [] for name in _SETS}
    doors: list[Door] = []
    gateways: dict[IPNetwork, IPAddress] = {}
    published: list[tuple[PublishKey, PublishTarget]] = []
    proxied: list[PublishKey] = []
    for key, value in rows.items():
        assert isinstance(key, NftKey)
        if isinstance(key.element, Door):
            doors.append(key.element)
        elif isinstance(key.element, PublishKey) and isinstance(value, PublishTarget):
            published.append((key.element, value))
        elif isinstance(key.element, PublishKey):
            proxied.append(key.element)
        elif isinstance(key.element, IPNetwork) and isinstance(value, IPAddress):
            gateways[key.element] = value
        elif isinstance(key.element, IPNetwork):
            sets[key.set].append(key.element)
    sets["networks"] = list(gateways)
    parts = [f"add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{"]
    for family in (4, 6):
        parts += [prefix_set(name, family, prefixes) for name, prefixes in sets.items()]
        parts.append(gateway_map(family, gateways))
        parts.append(door_set(family, doors))
        parts += publish_maps(family, published)
        parts += proxy_sets(family, proxied)
    parts += [chains(ports, is_contested=bool(sets["contested"])), "}\n"]
    return "\n".join(parts)
