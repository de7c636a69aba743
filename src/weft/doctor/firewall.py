"""Firewalls of others that drop what goes to and from networks."""

from __future__ import annotations

from collections.abc import Iterator

from weft.doctor.finding import Finding, Subject
from weft.engine.plumbing import foreign_chains
from weft.engine.plumbing.device_names import WEFT0
from weft.engine.plumbing.foreign_chains import ForeignChain
from weft.kernel.nftables import Nftables

_SIDES = {"forward": ("iifname", "oifname"), "input": ("iifname",), "output": ("oifname",)}
_DROPPED = {
    "forward": f"what goes through {WEFT0}",
    "input": f"queries for names, which come by {WEFT0}",
    "output": f"answers for names, which go by {WEFT0} and are unknown to conntrack",
}
_FIREWALLD = (
    f"firewall-cmd --permanent --zone=trusted --add-interface={WEFT0}; firewall-cmd --reload"
)


def check(subject: Subject) -> Iterator[Finding]:
    """Foreign chains at the forward, input and output hooks, of nftables and legacy iptables."""
    nftables, ports = Nftables(), foreign_chains.open_ports(subject.settings)
    try:
        chains = foreign_chains.dropping_chains(nftables, ports)
        chains = [chain for chain in chains if chain.can_open]
        chains += foreign_chains.doubtful_chains(nftables)
        has_table = bool(nftables.objects("list table inet weft"))
    finally:
        nftables.close()
    is_running = subject.daemon is not None
    findings = [_chain(chain, is_running) for chain in chains]
    if is_running and not has_table:
        findings.append(_repairable("Weft's own table inet weft is not there", subject))
    if is_running and not foreign_chains.is_legacy_open(ports):
        findings.append(_repairable("legacy iptables drops what Weft forwards", subject))
    yield from findings or [
        Finding(name="firewall", state="ok", detail="no chain of others drops what Weft forwards")
    ]


def _chain(chain: ForeignChain, is_running: bool) -> Finding:
    name = f"firewall: {chain.path}"
    if chain.is_open:
        return Finding(name=name, state="ok", detail=f"drops by default; lets {WEFT0} through")
    if chain.can_open and not is_running:
        return Finding(name=name, state="ok", detail="drops by default; weftd will open it")
    if chain.can_open:
        return Finding(
            name=name,
            state="failed",
            detail=f"drops what goes through {WEFT0}",
            fix="weftd repairs this at its next look; if it stays, see weft status problems",
        )
    return Finding(
        name=name,
        state="warning",
        detail=f"may drop {_DROPPED[chain.hook]}; it is not Weft's to change",
        fix=_FIREWALLD if chain.table == "firewalld" else _rules_to_add(chain),
    )


def _rules_to_add(chain: ForeignChain) -> str:
    rules = [f'nft insert rule {chain.path} {side} "{WEFT0}" accept' for side in _SIDES[chain.hook]]
    return f"let it through there, as: {'; '.join(rules)}"


def _repairable(detail: str, subject: Subject) -> Finding:
    return Finding(
        name="firewall",
        state="failed",
        detail=detail,
        fix=f"weftd repairs this within {subject.settings.reconcile_s:g} s; if it stays,"
        " see weft status problems",
    )
