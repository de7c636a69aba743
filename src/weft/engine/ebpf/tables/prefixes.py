"""`prefixes`: (tenant, prefix) -> the atoms of all addresses in it that no longer prefix has."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.ebpf.map_table import Coding, MapTable, Names, decode_prefix, encode_prefix
from weft.engine.ebpf.policy.atoms import Atom
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.table import Rank
from weft.kernel.bpf import layouts
from weft.model.addresses import IPNetwork
from weft.model.ids import TenantId

_TENANT_BITS = 32


class PrefixKey(NamedTuple):
    """A prefix that rules of a tenant name, or except."""

    tenant_id: TenantId
    prefix: IPNetwork


def _encode_key(key: PrefixKey, names: Names) -> bytes:
    bits, address = encode_prefix(key.prefix)
    tenant = names.number(Kind.TENANT, key.tenant_id)
    return layouts.PrefixKey(_TENANT_BITS + bits, tenant, address).encode()


def _decode_key(raw: bytes, names: Names) -> PrefixKey:
    key = layouts.PrefixKey.decode(raw)
    tenant_id = TenantId(str(names.symbol(Kind.TENANT, key.tenant)))
    return PrefixKey(tenant_id, decode_prefix(key.prefixlen - _TENANT_BITS, key.address))


def _encode(atoms: tuple[Atom, ...], names: Names) -> bytes:
    return layouts.Prefix(names.identity(atoms)).encode()


def _decode(raw: bytes, names: Names) -> tuple[Atom, ...]:
    return names.atoms(layouts.Prefix.decode(raw).identity)


PREFIXES: MapTable[PrefixKey, tuple[Atom, ...]] = MapTable(
    "prefixes",
    Rank.PORT_RULES,
    map_name="prefixes_v1",
    keys=Coding(_encode_key, _decode_key),
    values=Coding(_encode, _decode),
    are_deletes_left=True,
)
