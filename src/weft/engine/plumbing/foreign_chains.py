"""A way for Weft's traffic through firewalls that are not Weft's.

Another's chain that drops by default (Docker sets FORWARD to DROP) cannot be overruled from a
table of our own: in nftables every chain must agree. So accept rules for weft0, and for what the
hosts send each other, go to the top of such chains of the `filter` tables, marked with a comment,
put back when flushed, and removed on purge. What may really pass is decided in Weft's own table
all the same, and by mesh and overlay themselves, which know who is of the cluster.

Queries for names and their answers take no part in conntrack, or workloads could fill it. So a
chain at the output hook that lets out only what conntrack knows needs a rule as well. And who uses
a published port by way of the proxy comes in at the input hook, where others are forwarded.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from weft.config import Settings
from weft.engine.plumbing.device_names import WEFT0
from weft.engine.plumbing.foreign_verdict import TRACKED, UNTRACKED, Packet, is_let_through
from weft.errors import KernelError
from weft.kernel.nftables import Nftables
from weft.model.service_addresses import ALIAS4, ALIAS6, DNS4, DNS6, PROXY_PORT

COMMENT = "weft"
"""With which all comments of Weft's rules begin."""
_SENT: Mapping[str, Sequence[Packet]] = {
    "forward": (
        {"iifname": (WEFT0,), "ct state": TRACKED},
        {"oifname": (WEFT0,), "ct state": TRACKED},
    ),
    "input": ({"iifname": (WEFT0,), "ct state": UNTRACKED},),
    "output": ({"oifname": (WEFT0,), "ct state": UNTRACKED},),
}
"""What Weft sends through each hook, as far as it is always so."""
_FAMILIES = ("ip", "ip6", "inet")
_TABLE = "filter"
_HOOKS = ("forward", "input", "output")
_LEGACY = {4: ("ip_tables_names", "iptables-legacy"), 6: ("ip6_tables_names", "ip6tables-legacy")}
_LEGACY_TIMEOUT_S = 5


class OpenPort(NamedTuple):
    """A port of this host that others of the cluster send to."""

    protocol: str
    """``tcp`` or ``udp``."""
    port: int

    @property
    def comment(self) -> str:
        """Of its rules."""
        return f"{COMMENT} {self.protocol} {self.port}"


_PROXY = (OpenPort("tcp", PROXY_PORT), OpenPort("udp", PROXY_PORT))
Ports = Sequence[OpenPort]


def open_ports(settings: Settings) -> Ports:
    """Those of the mesh, of the overlay and of WireGuard."""
    return (
        OpenPort("tcp", settings.mesh_port),
        OpenPort("udp", settings.overlay_port),
        OpenPort("udp", settings.wireguard_port),
    )


class ForeignChain(NamedTuple):
    """A base chain of somebody else's that drops what nobody accepts."""

    family: str
    table: str
    name: str
    hook: str
    handles: tuple[int, ...]
    """Of Weft's rules in it."""
    is_open: bool
    """Weft's rules are all there."""

    @property
    def can_open(self) -> bool:
        """Whether Weft puts rules there: into the tables that iptables made. A ruleset that an
        administrator wrote is theirs to change, and `weft doctor` says what to add."""
        return self.table == _TABLE and self.family in ("ip", "ip6")

    @property
    def path(self) -> str:
        """As nft names it."""
        return f"{self.family} {self.table} {self.name}"


def dropping_chains(nftables: Nftables, ports: Ports) -> list[ForeignChain]:
    """All foreign base chains at the forward, input and output hooks that drop or reject."""
    found: list[ForeignChain] = []
    for chain in _base_chains(nftables):
        path = f"{chain['family']} {chain['table']} {chain['name']}"
        listed = nftables.objects(f"list chain {path}")
        chain_rules = [entry["rule"] for entry in listed if "rule" in entry]
        own = [rule for rule in chain_rules if _is_own(rule.get("comment", ""))]
        if chain.get("policy") != "drop" and not any(map(_drops, chain_rules)) and not own:
            continue
        wanted = sorted(rule.comment for rule in _rules(chain["family"], chain["hook"], ports))
        found.append(
            ForeignChain(
                family=chain["family"],
                table=chain["table"],
                name=chain["name"],
                hook=chain["hook"],
                handles=tuple(rule["handle"] for rule in own),
                is_open=sorted(rule["comment"] for rule in own) == wanted,
            )
        )
    return found


def _base_chains(nftables: Nftables) -> Iterator[dict[str, Any]]:
    for item in nftables.objects("list chains"):
        chain = item.get("chain", {})
        if chain.get("hook") not in _HOOKS or chain.get("type") != "filter":
            continue
        if chain["family"] in _FAMILIES and chain["table"] != "weft":
            yield chain


def doubtful_chains(nftables: Nftables) -> list[ForeignChain]:
    """Those of an administrator, or of a firewall program, that may drop what is Weft's."""
    found: list[ForeignChain] = []
    for chain in _base_chains(nftables):
        each = ForeignChain(
            chain["family"], chain["table"], chain["name"], chain["hook"], (), is_open=False
        )
        if each.can_open:
            continue
        listed = nftables.objects(f"list table {each.family} {each.table}")
        if not all(is_let_through(listed, each.name, sent) for sent in _SENT[each.hook]):
            found.append(each)
    return found


def open_chains(nftables: Nftables, ports: Ports) -> None:
    """Put Weft's rules at the top of every foreign `filter` chain that drops."""
    commands = []
    for chain in dropping_chains(nftables, ports):
        if chain.can_open and not chain.is_open:
            commands += [f"delete rule {chain.path} handle {handle}" for handle in chain.handles]
            commands += [
                f'insert rule {chain.path} {rule.match} counter accept comment "{rule.comment}"'
                for rule in _rules(chain.family, chain.hook, ports)
            ]
    if commands:
        nftables.run("\n".join(commands))


def close_chains(nftables: Nftables, ports: Ports) -> None:
    """Remove Weft's rules from foreign chains, of either iptables."""
    commands = [
        f"delete rule {chain.path} handle {handle}"
        for chain in dropping_chains(nftables, ports)
        for handle in chain.handles
    ]
    if commands:
        nftables.run("\n".join(commands))
    for program, arguments in _legacy_rules(ports):
        while _run_legacy(program, "-C", arguments):
            _run_legacy(program, "-D", arguments)


def is_legacy_open(ports: Ports) -> bool:
    """Whether legacy iptables, where its filter table is in use, has Weft's rules."""
    return all(_run_legacy(program, "-C", arguments) for program, arguments in _legacy_rules(ports))


def open_legacy(ports: Ports) -> None:
    """Put Weft's rules into legacy iptables where its filter table is in use."""
    for program, arguments in _legacy_rules(ports):
        if not _run_legacy(program, "-C", arguments) and not _run_legacy(program, "-I", arguments):
            raise KernelError(f"{program} -I {' '.join(arguments)}", 22, "refused")


class _Rule(NamedTuple):
    match: str
    comment: str


def _rules(family: str, hook: str, ports: Ports) -> list[_Rule]:
    if hook == "forward":
        return [_Rule(f'{side} "{WEFT0}"', COMMENT) for side in ("iifname", "oifname")]
    alias = f"ip6 {{end}} {ALIAS6}" if family == "ip6" else f"ip {{end}} {ALIAS4}"
    opened = [_Rule(f"{each.protocol} dport {each.port}", each.comment) for each in ports]
    side, end = ("iifname", "saddr") if hook == "input" else ("oifname", "daddr")
    if hook == "input":
        address = f"ip6 daddr {DNS6}" if family == "ip6" else f"ip daddr {DNS4}"
        opened += [
            _Rule(f"{address} {each.protocol} dport {each.port}", each.comment) for each in _PROXY
        ]
    return [_Rule(f'{side} "{WEFT0}" {alias.format(end=end)}', COMMENT), *opened]


def _is_own(comment: str) -> bool:
    return comment == COMMENT or comment.startswith(f"{COMMENT} ")


def _drops(rule: dict[str, Any]) -> bool:
    return any(
        "drop" in part or "reject" in part or (part.get("xt") or {}).get("name") == "REJECT"
        for part in rule["expr"]
        if isinstance(part, dict)
    )


def _legacy_rules(ports: Ports) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(program, chain and rule) for each legacy filter table that is in use in this namespace."""
    for version, (names, program) in _LEGACY.items():
        try:
            tables = Path("/proc/thread-self/net", names).read_text().split()
        except OSError:
            continue
        if _TABLE not in tables:
            continue
        comment = _accepted(COMMENT)
        alias = str(ALIAS4 if version == 4 else ALIAS6)
        yield program, ("FORWARD", "-i", WEFT0, *comment)
        yield program, ("FORWARD", "-o", WEFT0, *comment)
        yield program, ("INPUT", "-i", WEFT0, "-s", alias, *comment)
        yield program, ("OUTPUT", "-o", WEFT0, "-d", alias, *comment)
        own = str(DNS4 if version == 4 else DNS6)
        for each in _PROXY:
            to_proxy = ("-d", own, "-p", each.protocol, "--dport", str(each.port))
            yield program, ("INPUT", *to_proxy, *_accepted(each.comment))
        for each in ports:
            match = ("-p", each.protocol, "--dport", str(each.port))
            yield program, ("INPUT", *match, *_accepted(each.comment))
            yield program, ("OUTPUT", *match, *_accepted(each.comment))


def _accepted(comment: str) -> tuple[str, ...]:
    return ("-m", "comment", "--comment", comment, "-j", "ACCEPT")


def _run_legacy(program: str, verb: str, arguments: tuple[str, ...]) -> bool:
    command = [program, "-w", verb, *arguments]
    try:
        result = subprocess.run(
            command, capture_output=True, timeout=_LEGACY_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        # Tables of legacy iptables without its program: made inside a container, nobody's here.
        return verb == "-C"
    except subprocess.TimeoutExpired as error:
        raise KernelError(" ".join(command), 110, "another iptables holds the lock") from error
    return result.returncode == 0
