"""The text of Weft's nftables table, from its rows. Pure.

Chains, in the order in which a packet meets them:

    guard       before conntrack: what nobody may send to the host; queries of workloads and what
                WireGuard carries, which take part in neither conntrack nor NAT; what is meant for
                WireGuard comes out of it and goes into it, or nowhere
    prerouting  published ports, for what comes from outside and from workloads
    output_nat  the same for what the host itself sends
    forward     between the outside and the networks, and between published ports; nothing that
                leaves with the host's address may look like VXLAN of its own to another host
    input       from workloads to the host
    output      from the host to workloads: only where it has a place, or a published port leads
    to_networks source addresses of what goes into the networks, before anybody else's rule: of the
                gateway for what is published and comes from the host itself or from a workload, and
                their own for all else
    postrouting source addresses of what leaves the networks: the host's
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from itertools import pairwise

from weft.engine.ebpf.rows import WEFT0, WEFTWG, NftKey, PublishKey, PublishTarget
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.service_addresses import ALIAS4, ALIAS6, DNS4, DNS6, WIREGUARD6

TABLE = "inet weft"

_SETS = ("masquerade", "internal", "exposed", "hosts")
_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}

_BEFORE_OTHERS = -150
"""Priority of the chain that settles the source of packets into the networks. A rule of Docker's,
Podman's, libvirt's or a VPN's (all at 100 or a little before) that masquerades such a packet would
give it weft0's address, to which no answer finds back. The kernel translates a source once, so a
source that this chain has translated to itself stays."""

_CHAINS = f"""
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname != {{ "lo", "{WEFT0}" }} ip daddr {DNS4} drop
    iifname != {{ "lo", "{WEFT0}" }} ip6 daddr {DNS6} drop
    iifname != {{ "lo", "{WEFTWG}" }} ip6 daddr {WIREGUARD6} drop
    iifname != {{ "lo", "{WEFTWG}" }} ip6 saddr {WIREGUARD6} drop
    iifname "{WEFTWG}" meta l4proto != {{ udp, ipv6-icmp }} drop
    iifname "{WEFTWG}" notrack accept
    iifname != "{WEFT0}" accept
    ip daddr 127.0.0.0/8 drop
    ip saddr 127.0.0.0/8 drop
    ip saddr {ALIAS4} ip daddr {DNS4} meta l4proto {{ tcp, udp }} th dport 53 notrack accept
    ip6 saddr {ALIAS6} ip6 daddr {DNS6} meta l4proto {{ tcp, udp }} th dport 53 notrack accept
    ip saddr {ALIAS4} drop
    ip6 saddr {ALIAS6} drop
  }}
  chain guard_output {{
    type filter hook output priority raw; policy accept;
    oifname "{WEFT0}" ip saddr {DNS4} ip daddr {ALIAS4} notrack
    oifname "{WEFT0}" ip6 saddr {DNS6} ip6 daddr {ALIAS6} notrack
    oifname "{WEFTWG}" notrack accept
    oifname != "lo" ip6 daddr {WIREGUARD6} drop
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump publish
  }}
  chain output_nat {{
    type nat hook output priority -100; policy accept;
    fib daddr type local jump publish
  }}
  chain publish {{
    ip daddr {DNS4} return
    ip6 daddr {DNS6} return
    dnat ip to ip daddr . meta l4proto . th dport map @publish_at4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @publish_at6
    dnat ip to meta l4proto . th dport map @publish4
    dnat ip6 to meta l4proto . th dport map @publish6
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{WEFTWG}" drop
    oifname "{WEFTWG}" drop
    ip saddr != @hosts4 ip daddr @hosts4 udp dport $overlay_port drop
    ip6 saddr != @hosts6 ip6 daddr @hosts6 udp dport $overlay_port drop
    iifname != "{WEFT0}" oifname != "{WEFT0}" accept
    iifname "{WEFT0}" oifname "{WEFT0}" ct status dnat accept
    iifname "{WEFT0}" oifname "{WEFT0}" drop
    ip saddr @internal4 drop
    ip daddr @internal4 drop
    ip6 saddr @internal6 drop
    ip6 daddr @internal6 drop
    iifname "{WEFT0}" accept
    ct state established,related accept
    ct status dnat accept
    drop
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname "{WEFT0}" ip daddr {DNS4} meta l4proto != {{ tcp, udp }} drop
    iifname "{WEFT0}" ip6 daddr {DNS6} meta l4proto != {{ tcp, udp }} drop
  }}
  chain output {{
    type filter hook output priority filter; policy accept;
    oifname != "{WEFT0}" accept
    ip daddr {ALIAS4} accept
    ip6 daddr {ALIAS6} accept
    icmp type redirect drop
    ct state established,related accept
    ct status dnat accept
    ip daddr @exposed4 accept
    ip6 daddr @exposed6 accept
    fib daddr type multicast drop
    reject with icmpx admin-prohibited
  }}
  chain to_networks {{
    type nat hook postrouting priority {_BEFORE_OTHERS}; policy accept;
    oifname != "{WEFT0}" accept
    ct status dnat jump from_here
    snat ip to ip saddr
    snat ip6 to ip6 saddr
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{WEFT0}" accept
    ip saddr @masquerade4 masquerade
    ip6 saddr @masquerade6 masquerade
  }}
  chain from_here {{
    ip saddr 127.0.0.0/8 snat ip to ip daddr map @gateway4
    ip saddr @networks4 snat ip to ip daddr map @gateway4
    ip6 saddr @networks6 snat ip6 to ip6 daddr map @gateway6
    fib saddr type local snat ip to ip daddr map @gateway4
    fib saddr type local snat ip6 to ip6 daddr map @gateway6
  }}
"""


def render(rows: Mapping[Hashable, Hashable], overlay_port: int = 4789) -> str:
    """One transaction that puts the table with these rows in the place of what is there."""
    sets: dict[str, list[IPNetwork]] = {name: [] for name in _SETS}
    gateways: dict[IPNetwork, IPAddress] = {}
    published: list[tuple[PublishKey, PublishTarget]] = []
    for key, value in rows.items():
        assert isinstance(key, NftKey)
        if isinstance(key.element, PublishKey) and isinstance(value, PublishTarget):
            published.append((key.element, value))
        elif isinstance(key.element, IPNetwork) and isinstance(value, IPAddress):
            gateways[key.element] = value
        elif isinstance(key.element, IPNetwork):
            sets[key.set].append(key.element)
    sets["networks"] = list(gateways)
    parts = [f"add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{"]
    for family in (4, 6):
        parts += [_set(name, family, prefixes) for name, prefixes in sets.items()]
        parts.append(_gateway_map(family, gateways))
        parts += _publish_maps(family, published)
    # Not by nft's own `define`: a context of libnftables keeps symbols, and takes none twice.
    parts.append(_CHAINS.replace("$overlay_port", str(overlay_port)))
    parts.append("}\n")
    return "\n".join(parts)


def _set(name: str, family: int, prefixes: Iterable[IPNetwork]) -> str:
    own = sorted(str(prefix) for prefix in prefixes if prefix.version == family)
    elements = f" elements = {{ {', '.join(own)} }};" if own else ""
    head = f"  set {name}{family} {{ type {_TYPE[family]}; flags interval; auto-merge;"
    return f"{head}{elements} }}"


def _gateway_map(family: int, gateways: Mapping[IPNetwork, IPAddress]) -> str:
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


def disjoint(
    values: Mapping[IPNetwork, IPAddress],
) -> list[tuple[IPAddress, IPAddress, IPAddress]]:
    """Ranges (first, last, value) that give each address the value of its longest prefix.

    Prefixes of one family. Between two neighbouring boundaries one prefix rules throughout.
    """
    if not values:
        return []
    bounds = sorted(
        {int(prefix[0]) for prefix in values} | {int(prefix[-1]) + 1 for prefix in values}
    )
    kind = type(next(iter(values))[0])
    by_length = sorted(values, key=lambda prefix: -prefix.prefixlen)
    found: list[tuple[IPAddress, IPAddress, IPAddress]] = []
    for start, end in pairwise(bounds):
        first = kind(start)
        holder = next((prefix for prefix in by_length if first in prefix), None)
        if holder is not None:
            found.append((first, kind(end - 1), values[holder]))
    return found


def _publish_maps(
    family: int, published: Iterable[tuple[PublishKey, PublishTarget]]
) -> Iterable[str]:
    """One map for ports of every address of the host, one for those of a certain address."""
    kind = _TYPE[family]
    anywhere: list[str] = []
    at: list[str] = []
    for key, target in published:
        if key.family != family:
            continue
        port = f"{key.protocol} . {key.host_port}"
        leads_to = f"{target.address} . {target.port}"
        if key.host_address is None or key.host_address.is_unspecified:
            anywhere.append(f"{port} : {leads_to}")
        else:
            at.append(f"{key.host_address} . {port} : {leads_to}")
    port_type = "inet_proto . inet_service"
    for name, key_type, elements in (
        (f"publish{family}", port_type, anywhere),
        (f"publish_at{family}", f"{kind} . {port_type}", at),
    ):
        head = f"  map {name} {{ type {key_type} : {kind} . inet_service;"
        body = f" elements = {{ {', '.join(sorted(elements))} }};" if elements else ""
        yield f"{head}{body} }}"
