"""Refusals on a network whose subnet another network has, too."""

from __future__ import annotations

from weft.control.references import network_label
from weft.errors import ConflictError
from weft.model.records import Network, Subnet
from weft.store.interface import View
from weft.topology.prefixes import first_before, is_cut_off


def check_has_way_out(view: View, network: Network, what: str) -> None:
    """ConflictError when a subnet of the network is cut off from the host; `what` was wanted."""
    for subnet in view.by(Subnet, "network_id", network.id):
        if not view.ask(is_cut_off, subnet.id):
            continue
        rival = first_before(view, subnet)
        assert rival is not None and rival.network_id is not None
        raise ConflictError(
            f"{what} {network.name}: subnet {subnet.cidr} has no way to a host, for it overlaps "
            f"that of network {network_label(view, rival.network_id)}; make one of them again with "
            "another subnet"
        )
