"""Whose flows are in the kernel's table of connections."""

from __future__ import annotations

import socket

import pytest

from tests.own_addresses import await_addresses_here
from tests.system.kernel.conftest import run
from weft.kernel import conntrack
from weft.model.addresses import ip_address

pytestmark = pytest.mark.root

FLOWS = {"10.9.9.1": 3, "10.9.9.2": 5, "fd09::1": 2}


def test_flows_are_counted_by_who_began_them(host_netns: str) -> None:
    chain = "chain c { type filter hook output priority 0; ct state new accept; }"
    run(f"nft 'table inet t {{ {chain}; }}'")
    for address in FLOWS:
        run(f"ip addr add {address}/{128 if ':' in address else 32} dev lo")
    await_addresses_here()
    for address, its in FLOWS.items():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for port in range(its):
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.bind((address, 0))
                sock.sendto(b"x", (address, 9000 + port))
    with conntrack.open_netlink() as netlink:
        found = conntrack.flows_by_source(netlink)
    assert {str(address): found[ip_address(address)] for address in FLOWS} == FLOWS
