"""What addresses are to rules that no port has for its own, as rows of `unowned`. Pure.

Subnets and ports want them, several the same ones. Where rules ask for nothing of an address there
is no row.
"""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine.ebpf.compile.subjects import atoms_of_unowned
from weft.engine.ebpf.tables.unowned import UNOWNED, UnownedKey
from weft.engine.rows import Row
from weft.model.addresses import IPNetwork
from weft.model.ids import HostId
from weft.model.records import Network, Port
from weft.store.interface import View


def of_subnet(host_id: HostId, network: Network, prefix: IPNetwork, view: View) -> Iterator[Row]:
    """Of whoever is in a subnet."""
    atoms = atoms_of_unowned(host_id, network, prefix, view)
    if atoms:
        yield UNOWNED.row(UnownedKey(network.vni, prefix), atoms)


def of_port(host_id: HostId, network: Network, port: Port, view: View) -> Iterator[Row]:
    """Of what a port may use besides its addresses."""
    for prefix in dict.fromkeys(each.cidr for each in port.allowed):
        yield from of_subnet(host_id, network, prefix, view)
