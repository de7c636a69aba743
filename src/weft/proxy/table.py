"""Which ports are proxied where, as weftd tells the process: one line of JSON, all of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from weft.model import codec
from weft.model.addresses import IPAddress
from weft.model.service_addresses import DNS4, DNS6
from weft.semantics.proxied import ProxiedPorts

LISTENS_AT: tuple[IPAddress, ...] = (DNS4, DNS6)

_DECODER = msgspec.json.Decoder(list[ProxiedPorts], dec_hook=codec.decode_hook)


def encode(table: Sequence[ProxiedPorts]) -> bytes:
    """As a line."""
    return codec.encode(table) + b"\n"


def decode(line: bytes) -> list[ProxiedPorts]:
    """The table of a line."""
    return _DECODER.decode(line)


def find(
    table: Sequence[ProxiedPorts], protocol: str, address: IPAddress, port: int
) -> tuple[IPAddress, int] | None:
    """Where a client is led. One address of the host's goes before every."""
    ordered = sorted(table, key=lambda ports: ports.host_address is None)
    found = (ports.leads_to(protocol, address, port) for ports in ordered)
    return next((target for target in found if target is not None), None)
