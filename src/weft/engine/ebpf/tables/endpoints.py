"""Where something lives that packets are sent to, as `addresses` and `macs` hold it."""

from __future__ import annotations

from weft.engine.ebpf.map_table import Flags, Names
from weft.engine.ebpf.policy.atoms import Atom
from weft.kernel.bpf.layouts import Endpoint, EndpointFlag

ADDRESS_FLAGS = Flags(
    is_gateway=EndpointFlag.ENDPOINT_GATEWAY.value,
    is_host=EndpointFlag.ENDPOINT_HOST.value,
    is_judged=EndpointFlag.ENDPOINT_JUDGED.value,
)
MAC_FLAGS = ADDRESS_FLAGS


def encode_endpoint(
    flags: int, mac: bytes, ifname: str, host: int, atoms: tuple[Atom, ...], names: Names
) -> bytes:
    """`ifname` of a local port, or empty; `host`: tag of another host, or 0."""
    return Endpoint(
        ifindex=names.ifindex(ifname) if ifname else 0,
        flags=flags,
        mac=mac,
        tunnel=host,
        group=names.identity(atoms) if atoms else 0,
        way=names.way(host),
    ).encode()


def decode_endpoint(raw: bytes, names: Names) -> tuple[Endpoint, str]:
    """With the name of the device. ValueError: it names another way than the one to its host."""
    endpoint = Endpoint.decode(raw)
    if endpoint.way != names.known_way(endpoint.tunnel):
        raise ValueError(f"way {endpoint.way} does not lead to host {endpoint.tunnel:08x}")
    return endpoint, names.name(endpoint.ifindex) if endpoint.ifindex else ""
