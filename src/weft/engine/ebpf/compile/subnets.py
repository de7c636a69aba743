"""Subnets as rows: their gateways, and what the host's own stack has of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine.ebpf.compile import unowned
from weft.engine.ebpf.compile.host_routes import host_routes
from weft.engine.ebpf.compile.routers import gateway_table
from weft.engine.ebpf.compile.subjects import atoms_of_place
from weft.engine.ebpf.tables.addresses import ADDRESSES, AddressKey, AddressValue
from weft.engine.ebpf.tables.host_prefixes import HOST_PREFIXES, HostPrefixValue
from weft.engine.ebpf.tables.nftables import NFTABLES, NftKey
from weft.engine.ebpf.tables.subnets import SUBNETS, SubnetKey, SubnetValue
from weft.engine.rows import Row
from weft.model.addresses import IPAddress, IPNetwork
from weft.model.ids import HostId, host_place_id
from weft.model.records import Network, Port, Subnet
from weft.model.service_addresses import GATEWAY_MAC
from weft.store.interface import View
from weft.topology.prefixes import is_cut_off


def compile_subnet(host_id: HostId, subnet: Subnet, view: View) -> Iterator[Row]:
    """A prefix: its gateway, and how the host gets into it. One that is cut off, for it overlaps
    another network's, is a prefix without a way out but by a router, and the host knows nothing of
    it."""
    network = _network_of(subnet, view)
    if network is None:
        return
    is_open, gateway = not view.ask(is_cut_off, subnet.id), subnet.gateway
    router = gateway_table(view, network.id, subnet.cidr)
    way_out = SubnetValue(gateway, router, is_cut_off=not is_open)
    yield SUBNETS.row(SubnetKey(network.vni, subnet.cidr), way_out)
    yield from unowned.of_subnet(host_id, network, subnet.cidr, view)
    if gateway is not None:
        yield ADDRESSES.row(
            AddressKey(network.vni, gateway),
            AddressValue(
                mac=GATEWAY_MAC, is_gateway=True, atoms=atoms_of_place(host_id, network, view)
            ),
        )
    if is_open:
        yield from _on_the_host(host_id, subnet, network, view)


def _on_the_host(host_id: HostId, subnet: Subnet, network: Network, view: View) -> Iterator[Row]:
    """What the host's own stack has of a subnet."""
    cidr = subnet.cidr
    if subnet.gateway is not None:
        yield NFTABLES.row(NftKey("gateway", cidr), subnet.gateway)
    yield HOST_PREFIXES.row(cidr, HostPrefixValue(network.vni))
    place = view.get(Port, host_place_id(host_id, network.id))
    if network.is_internal:
        yield NFTABLES.row(NftKey("internal", cidr), True)
    else:
        yield NFTABLES.row(NftKey("masquerade", cidr), True)
    if place is not None:
        yield NFTABLES.row(NftKey("exposed", cidr), True)
    if place is not None or not network.is_internal:
        source = _first_in(cidr, place) if place is not None else None
        yield from host_routes(host_id, cidr, source, view)


def _network_of(subnet: Subnet, view: View) -> Network | None:
    return None if subnet.network_id is None else view.get(Network, subnet.network_id)


def _first_in(cidr: IPNetwork, place: Port) -> IPAddress | None:
    return next((address for address in place.addresses if address in cidr), None)
