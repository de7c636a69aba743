"""`ports`: ifname of the host's end -> what `from_port` must know of the sender."""

from __future__ import annotations

from typing import NamedTuple, cast

from weft.engine.ebpf.map_table import (
    DEVICE,
    Coding,
    Flags,
    MapTable,
    Names,
    decode_address,
    decode_mac,
    encode_address,
    encode_mac,
)
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.tables.port_rules import PortRules
from weft.engine.table import Rank
from weft.kernel.bpf import berths, layouts
from weft.kernel.bpf.layouts import PortFlag
from weft.model.addresses import IPAddress


class PortValue(NamedTuple):
    """The sender."""

    vni: int
    mac: str
    slot: int
    is_spoof_checked: bool
    ipv4: IPAddress | None
    """First address of the family, checked without another lookup; the rest are in `allowed`."""
    ipv6: IPAddress | None
    is_internal: bool
    mtu_bytes: int
    rules: PortRules | None = None
    """What decides about its flows; None: all pass."""
    is_advertised_to: bool = False
    """weftd tells it of routers, and hears when it looks for them."""


_FLAGS = Flags(
    is_spoof_checked=~PortFlag.PORT_ANY_SOURCE.value,
    is_internal=~PortFlag.PORT_OUTSIDE.value,
    is_advertised_to=PortFlag.PORT_ADVERTISED.value,
)


def _encode(value: PortValue, names: Names) -> bytes:
    rules = value.rules
    judged = 0 if rules is None else PortFlag.PORT_JUDGED.value
    return layouts.Port(
        vni=value.vni,
        flags=_FLAGS.encode(value) | judged,
        mac=encode_mac(value.mac),
        mtu=value.mtu_bytes,
        slot=value.slot,
        ipv4=encode_address(value.ipv4),
        ipv6=encode_address(value.ipv6),
        rules=0 if rules is None else names.number(Kind.ROW, rules),
    ).encode()


def _decode(raw: bytes, names: Names) -> PortValue:
    port = layouts.Port.decode(raw)
    is_judged = port.flags & PortFlag.PORT_JUDGED
    rules = names.symbol(Kind.ROW, port.rules) if is_judged else None
    return PortValue(
        vni=port.vni,
        mac=decode_mac(port.mac),
        slot=port.slot,
        ipv4=decode_address(port.ipv4),
        ipv6=decode_address(port.ipv6),
        mtu_bytes=port.mtu,
        rules=cast("PortRules | None", rules),
        **_FLAGS.decode(port.flags),
    )


PORTS: MapTable[str, PortValue] = MapTable(
    "ports",
    Rank.PORTS,
    map_name=berths.PORTS,
    keys=DEVICE,
    values=Coding(_encode, _decode),
)
