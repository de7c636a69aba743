"""What a way between hosts leaves for a packet."""

from __future__ import annotations

import pytest

from weft.model.addresses import ip_address
from weft.semantics.overhead import (
    encrypted_mtu_bytes,
    network_mtu_bytes,
    vxlan_mtu_bytes,
    wireguard_mtu_bytes,
)

HERE4, HERE6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")


def test_a_network_that_names_no_mtu_fits_the_first_address_of_the_host() -> None:
    assert network_mtu_bytes(1300, (HERE4, HERE6)) == 1250 == vxlan_mtu_bytes(1300, HERE4)
    assert network_mtu_bytes(1300, (HERE6, HERE4)) == 1230 == vxlan_mtu_bytes(1300, HERE6)
    assert network_mtu_bytes(1500, ()) == 1450


@pytest.mark.parametrize("underlay_mtu_bytes", range(1490, 1510))
def test_what_wireguard_carries_fits_with_its_padding(underlay_mtu_bytes: int) -> None:
    for remote, overhead in ((HERE4, 60), (HERE6, 80)):
        inside = wireguard_mtu_bytes(underlay_mtu_bytes, remote)
        assert inside % 16 == 0
        assert inside + overhead <= underlay_mtu_bytes < inside + 16 + overhead
        assert encrypted_mtu_bytes(underlay_mtu_bytes, remote) == inside - 70
