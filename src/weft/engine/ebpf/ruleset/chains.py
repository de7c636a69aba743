"""The chains of Weft's nftables table. Pure.

In the order in which a packet meets them:

    guard       before conntrack: what nobody may send to the host; queries of workloads and what
                WireGuard carries, which take part in neither conntrack nor NAT; what is meant for
                WireGuard comes out of it and goes into it, or nowhere; to the overlay's port and
                into WireGuard only Weft itself sends
    arrived     what comes to the overlay's port: looked at by `from_wire`, or here where it comes
                by a device that has no `from_wire` (no Ethernet, an address on lo)
    prerouting  published ports, for what comes from outside and from workloads
    output_nat  the same for what the host itself sends, and the port of weftd's DNS server
    forward     between the outside and the networks, and between published ports; to the ports
                on which hosts talk to each other no workload sends
    overlay     the same for VXLAN: with this host's address it would look like its own, so what
                workloads send goes nowhere, and what others send must be a host's
    input       from workloads to the host
    output      from the host to workloads: only where it has a place, or a published port leads
    to_networks source addresses of what goes into the networks, before anybody else's rule: of the
                gateway for what is published and comes from the host itself, from a workload or
                from behind a bridge of the host's, and their own for all else
    postrouting source addresses of what leaves the networks: the host's
    own_ways    a mark for what is the networks', where the host has their prefixes otherwise, too
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from weft.config import Settings
from weft.engine.ebpf.ruleset.marks import FROM_BRIDGE, FROM_NETWORK, INTO_NETWORK
from weft.engine.plumbing.device_names import WEFT0, WEFTWG
from weft.engine.plumbing.marks import OWN_ROUTES_MARK, PROXY_MARK
from weft.kernel.bpf.layouts import Mark
from weft.model.service_addresses import (
    ALIAS4,
    ALIAS6,
    DNS4,
    DNS6,
    DNS_PORT,
    PROXY_PORT,
    WIREGUARD6,
)

_ALL = 0xFFFF_FFFF
_BEFORE_OTHERS = -150
"""Priority of the chain that settles the source of packets into the networks. A rule of Docker's,
Podman's, libvirt's or a VPN's (all at 100 or a little before) that masquerades such a packet would
give it weft0's address, to which no answer finds back. The kernel translates a source once, so a
source that this chain has translated to itself stays."""
_SET_FROM_BRIDGE = f"ct mark set ct mark or {FROM_BRIDGE:#x}"

_ERRORS6 = "{ destination-unreachable, packet-too-big, time-exceeded, parameter-problem }"
_REFUSE = "reject with icmpx admin-prohibited"
_LOOKED_AT = f"{Mark.MARK_ARRIVED:#x}, {Mark.MARK_TOO_BIG:#x}"
_BELIEVE = f"meta mark set {Mark.MARK_ARRIVED:#x} notrack accept"
_TO_SERVER = f"meta l4proto {{ tcp, udp }} th dport {DNS_PORT}"
_TO_53 = "meta l4proto { tcp, udp } th dport 53"
_PORTS = "meta l4proto { tcp, udp, sctp }"
_PROTOCOL = "ct original protocol"
"""Where the key is looked up in ranges. For `meta l4proto` nft has the kernel change the byte order
of a single byte there, which Debian 13's kernel (6.12.118) refuses."""

_PROXY4 = f"meta l4proto {{ tcp, udp }} dnat ip to {DNS4}:{PROXY_PORT}"
_PROXY6 = f"meta l4proto {{ tcp, udp }} dnat ip6 to [{DNS6}]:{PROXY_PORT}"
_PROXIED = f"meta mark {PROXY_MARK:#x}"

_CHAINS = f"""
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname != {{ "lo", "{WEFT0}" }} ip daddr {DNS4} drop
    iifname != {{ "lo", "{WEFT0}" }} ip6 daddr {DNS6} drop
    iifname != {{ "lo", "{WEFTWG}" }} ip6 daddr {WIREGUARD6} drop
    iifname != {{ "lo", "{WEFTWG}" }} ip6 saddr {WIREGUARD6} drop
    iifname "{WEFTWG}" udp dport $overlay_port notrack accept
    iifname "{WEFTWG}" icmpv6 type {_ERRORS6} notrack accept
    iifname "{WEFTWG}" drop
    udp dport $overlay_port jump arrived
    iifname != "{WEFT0}" accept
    ip daddr 127.0.0.0/8 drop
    ip saddr 127.0.0.0/8 drop
    ip saddr {ALIAS4} ip daddr {DNS4} {_TO_SERVER} notrack accept
    ip6 saddr {ALIAS6} ip6 daddr {DNS6} {_TO_SERVER} notrack accept
    ip saddr {ALIAS4} drop
    ip6 saddr {ALIAS6} drop
  }}
  chain arrived {{
    meta mark & {Mark.MARK_MASK:#x} {{ {_LOOKED_AT} }} notrack accept
    iifname {{ "lo", "{WEFT0}" }} return
    ip saddr @hosts4 ip daddr @underlay4 fib saddr . iif oif exists {_BELIEVE}
    ip6 saddr @hosts6 ip6 daddr @underlay6 fib saddr . iif oif exists {_BELIEVE}
  }}
  chain guard_output {{
    type filter hook output priority raw; policy accept;
    udp dport $overlay_port meta mark != {Mark.MARK_SENT:#x} drop
    oifname "{WEFT0}" ip saddr {DNS4} ip daddr {ALIAS4} notrack
    oifname "{WEFT0}" ip6 saddr {DNS6} ip6 daddr {ALIAS6} notrack
    oifname "{WEFTWG}" udp dport $overlay_port notrack accept
    oifname "{WEFTWG}" icmpv6 type {_ERRORS6} notrack accept
    oifname "{WEFTWG}" drop
    oifname != "lo" ip6 daddr {WIREGUARD6} drop
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local meta iifkind "bridge" fib daddr . iif type != local {_SET_FROM_BRIDGE}
    fib daddr type local jump publish
  }}
  chain output_nat {{
    type nat hook output priority -100; policy accept;
    ip daddr {DNS4} {_TO_53} dnat ip to {DNS4}:{DNS_PORT}
    ip6 daddr {DNS6} {_TO_53} dnat ip6 to [{DNS6}]:{DNS_PORT}
    fib daddr type local jump publish
  }}
  chain publish {{
    ip daddr {DNS4} return
    ip6 daddr {DNS6} return
    $published
    dnat ip to ip daddr . meta l4proto . th dport map @publish_at4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @publish_at6
    {_PORTS} dnat ip to ip daddr . {_PROTOCOL} . th dport map @publish_rows_at4
    {_PORTS} dnat ip6 to ip6 daddr . {_PROTOCOL} . th dport map @publish_rows_at6
    dnat ip to meta l4proto . th dport map @publish4
    dnat ip6 to meta l4proto . th dport map @publish6
    {_PORTS} dnat ip to {_PROTOCOL} . th dport map @publish_rows4
    {_PORTS} dnat ip6 to {_PROTOCOL} . th dport map @publish_rows6
    $unpublished
    ip daddr . {_PROTOCOL} . th dport @proxy_at4 {_PROXY4}
    ip6 daddr . {_PROTOCOL} . th dport @proxy_at6 {_PROXY6}
    meta nfproto ipv4 {_PROTOCOL} . th dport @proxy4 {_PROXY4}
    meta nfproto ipv6 {_PROTOCOL} . th dport @proxy6 {_PROXY6}
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{WEFTWG}" drop
    oifname "{WEFTWG}" drop
    udp dport $overlay_port jump overlay
    iifname "{WEFT0}" ip daddr . meta l4proto . th dport @doors4 {_REFUSE}
    iifname "{WEFT0}" ip6 daddr . meta l4proto . th dport @doors6 {_REFUSE}
    iifname "{WEFT0}" ip daddr @hosts4 tcp dport {{ $etcd_ports }} {_REFUSE}
    iifname "{WEFT0}" ip6 daddr @hosts6 tcp dport {{ $etcd_ports }} {_REFUSE}
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
  chain overlay {{
    iifname "{WEFT0}" {_REFUSE}
    ip saddr != @hosts4 ip daddr @hosts4 drop
    ip6 saddr != @hosts6 ip6 daddr @hosts6 drop
    ip daddr @hosts4 fib saddr . iif oif missing drop
    ip6 daddr @hosts6 fib saddr . iif oif missing drop
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname "{WEFT0}" udp dport {{ $overlay_port, $wireguard_port }} {_REFUSE}
    iifname "{WEFT0}" tcp dport {{ $mesh_port, $etcd_ports }} {_REFUSE}
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
    {_PROXIED} accept
    ip daddr @exposed4 accept
    ip6 daddr @exposed6 accept
    fib daddr type multicast drop
    reject with icmpx admin-prohibited
  }}
  chain to_networks {{
    type nat hook postrouting priority {_BEFORE_OTHERS}; policy accept;
    oifname != "{WEFT0}" accept
    ct status dnat jump from_here
    {_PROXIED} jump from_here
    snat ip to ip saddr
    snat ip6 to ip6 saddr
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{WEFT0}" accept
    iifname != "{WEFT0}" ip saddr @contested4 accept
    iifname != "{WEFT0}" ip6 saddr @contested6 accept
    ip saddr @masquerade4 masquerade
    ip6 saddr @masquerade6 masquerade
  }}
  chain from_here {{
    ip saddr 127.0.0.0/8 snat ip to ip daddr map @gateway4
    ip saddr @networks4 snat ip to ip daddr map @gateway4
    ip6 saddr @networks6 snat ip6 to ip6 daddr map @gateway6
    fib saddr type local snat ip to ip daddr map @gateway4
    fib saddr type local snat ip6 to ip6 daddr map @gateway6
    ct mark and {FROM_BRIDGE:#x} != 0 snat ip to ip daddr map @gateway4
    ct mark and {FROM_BRIDGE:#x} != 0 snat ip6 to ip6 daddr map @gateway6
  }}
"""


_OWN = f"{OWN_ROUTES_MARK:#x}"
_MARKS = f"""
  chain own_ways {{
    type filter hook prerouting priority -90; policy accept;
    iifname "{WEFT0}" ct direction original ct mark set ct mark or {FROM_NETWORK:#x}
    iifname "{WEFT0}" ct direction reply ct mark set ct mark or {INTO_NETWORK:#x}
    jump mark_own
  }}
  chain own_ways_output {{
    type route hook output priority -101; policy accept;
    ip daddr {ALIAS4} meta mark set meta mark or {_OWN}
    ip6 daddr {ALIAS6} meta mark set meta mark or {_OWN}
    jump mark_own
  }}
  chain mark_own {{
    ct direction original ct mark and {INTO_NETWORK:#x} != 0 meta mark set meta mark or {_OWN}
    ct direction reply ct mark and {FROM_NETWORK:#x} != 0 meta mark set meta mark or {_OWN}
  }}
"""
"""On a host whose own routes contradict a network's. What belongs to the networks is known by its
connection: by the device that it came from, or because a published port leads there. It is marked,
and looked up in Weft's own routing table; all else goes as the host wants it."""

_PUBLISHED = f"""ct mark set ct mark or {INTO_NETWORK:#x}
    meta mark set meta mark or {_OWN}"""
_UNPUBLISHED = f"""ct mark set ct mark and {_ALL ^ INTO_NETWORK:#x}
    meta mark set meta mark and {_ALL ^ OWN_ROUTES_MARK:#x}"""
"""Around the rules that translate, which end the chain when they do: the kernel looks for a way to
the new destination at once."""


class HostPorts(NamedTuple):
    """Ports on which this host and others of the cluster talk to each other."""

    overlay: int = 4789
    """UDP: VXLAN."""
    wireguard: int = 6783
    """UDP."""
    mesh: int = 6783
    """TCP."""
    etcd: int = 6785
    """TCP: of etcd, whose members use the next one."""

    @classmethod
    def of(cls, settings: Settings) -> HostPorts:
        """As the settings say."""
        return cls(
            overlay=settings.overlay_port,
            wireguard=settings.wireguard_port,
            mesh=settings.mesh_port,
            etcd=settings.etcd_port,
        )


USUAL_PORTS = HostPorts()


def chains(ports: HostPorts, *, is_contested: bool) -> str:
    """Their text. Words are not put in by nft's own `define`, for a context of libnftables keeps
    symbols, and takes none twice."""
    text = _CHAINS + (_MARKS if is_contested else "")
    words = [
        *_port_words(ports),
        ("unpublished", _UNPUBLISHED if is_contested else ""),
        ("published", _PUBLISHED if is_contested else ""),
    ]
    for name, value in words:
        text = text.replace(f"${name}", value)
    return text


def _port_words(ports: HostPorts) -> Iterable[tuple[str, str]]:
    for name, port in ports._asdict().items():
        if name == "etcd":
            yield "etcd_ports", f"{port}, {port + 1}"
        else:
            yield f"{name}_port", str(port)
