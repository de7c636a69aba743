"""`port_rules`: what decides about a judged port, at a row of that very decision.

Another decision is another row, which the port's entry names by one word; so no packet meets half
of each.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from weft.engine.ebpf.map_table import Coding, Flags, MapTable, Names, decode_u32, encode_u32
from weft.engine.ebpf.policy.atoms import Subject
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.policy.slots import (
    network_slot,
    number_of_network_slot,
    number_of_port_slot,
    port_slot,
)
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RulesFlag
from weft.model.ids import TenantId, Vni


class PortRules(NamedTuple):
    """A port, and what decides about its flows."""

    ifname: str
    subjects: tuple[Subject, ...]
    allows_ingress: bool
    """What no rule decides passes."""
    allows_egress: bool
    is_strict: bool
    tenant_id: TenantId
    """Whose prefixes its rules are about."""
    vni: Vni
    allows_dns: bool = False
    """Its queries to Weft's DNS pass, whatever rules say."""
    admits_host: bool = False
    """What this host sends from its own place passes, whatever rules say."""


_FLAGS = Flags(
    allows_ingress=RulesFlag.RULES_ALLOW_INGRESS.value,
    allows_egress=RulesFlag.RULES_ALLOW_EGRESS.value,
    is_strict=RulesFlag.RULES_STRICT.value,
    allows_dns=RulesFlag.RULES_ALLOW_DNS.value,
    admits_host=RulesFlag.RULES_ADMIT_HOST.value,
)


def _encode(value: PortRules, names: Names) -> bytes:
    subjects = [names.number(Kind.SUBJECT, each) for each in value.subjects]
    padding = (0,) * (layouts.Rules.RULES_SUBJECTS - len(subjects))
    return layouts.PortRules(
        flags=_FLAGS.encode(value),
        subject_count=len(subjects),
        tenant=names.number(Kind.TENANT, value.tenant_id),
        network_slot=network_slot(names.number(Kind.NETWORK, value.vni)),
        port_slot=port_slot(names.number(Kind.PORT, value.ifname)),
        subjects=(*subjects, *padding),
    ).encode()


def _decode(raw: bytes, names: Names) -> PortRules:
    row = layouts.PortRules.decode(raw)
    subjects = row.subjects[: row.subject_count]
    return PortRules(
        ifname=str(names.symbol(Kind.PORT, number_of_port_slot(row.port_slot))),
        subjects=tuple(cast("Subject", names.symbol(Kind.SUBJECT, each)) for each in subjects),
        tenant_id=TenantId(str(names.symbol(Kind.TENANT, row.tenant))),
        vni=cast("Vni", names.symbol(Kind.NETWORK, number_of_network_slot(row.network_slot))),
        **_FLAGS.decode(row.flags),
    )


def _row(raw: bytes, names: Names) -> PortRules:
    return cast("PortRules", names.symbol(Kind.ROW, decode_u32(raw)))


PORT_RULES: MapTable[PortRules, PortRules] = MapTable(
    "port_rules",
    Rank.PORT_RULES,
    map_name="port_rules_v1",
    keys=Coding(lambda rules, names: encode_u32(names.number(Kind.ROW, rules)), _row),
    values=Coding(_encode, _decode),
    are_deletes_left=True,
)
