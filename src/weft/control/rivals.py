"""Refusals on a network whose subnet another network has, too."""

from __future__ import annotations

from weft.control.references import network_label
from weft.errors import ConflictError
from weft.model.records import Network, Subnet
from weft.store.interface import View
from weft.topology.prefixes import goes_before, is_cut_off, overlapping_subnets


def check_has_way_out(view: View, network: Network, what: str) -> None:
    """ConflictError when a subnet of the network is cut off from the host; `what` was wanted."""
    for subnet in view.by(Subnet, "network_id", network.id):
        if not view.ask(is_cut_off, subnet.id):
            continue
        rivals = (
            network_label(view, other.network_id)
            for other in overlapping_subnets(view, subnet)
            if other.network_id and goes_before(view, other, subnet)
        )
        raise ConflictError(
            f"{what} {network.name}: subnet {subnet.cidr} has no way to a host, for it overlaps "
            f"that of network {next(rivals)}; make one of them again with another subnet"
        )
