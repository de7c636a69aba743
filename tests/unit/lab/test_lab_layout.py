"""Names, paths and addresses of labs."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import pytest

from weft.errors import InvalidError
from weft.lab.layout import MAX_HOSTS, OUTSIDE, Layout, host_names, host_number


def test_a_lab_is_where_its_name_says() -> None:
    assert Layout("one") == Layout("one")
    assert Layout("one").run != Layout("two").run
    assert Layout("one").state != Layout("two").state
    assert Layout("one").prefix6 != Layout("two").prefix6


@pytest.mark.parametrize("name", [f"lab-{number}" for number in range(50)])
def test_addresses_are_private_and_distinct(name: str) -> None:
    lab = Layout(name)
    nodes = [lab.node(host) for host in [*host_names(MAX_HOSTS), OUTSIDE]]
    assert lab.prefix4.subnet_of(IPv4Network("198.18.0.0/15"))
    assert lab.prefix6.subnet_of(IPv6Network("fd00::/8"))
    assert len({node.address4 for node in nodes}) == len(nodes)
    assert all(node.address4 in lab.prefix4 and node.address6 in lab.prefix6 for node in nodes)


@pytest.mark.parametrize("name", ["", "Lab", "-lab", "a/b", "..", "x" * 25, "lab\n"])
def test_a_bad_lab_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidError, match="lab name"):
        Layout(name)


@pytest.mark.parametrize("name", ["h0", "h101", "1", "host1", "h1 ", "underlay", "h01"])
def test_a_bad_host_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidError, match="host"):
        host_number(name)


@pytest.mark.parametrize("count", [0, -1, MAX_HOSTS + 1])
def test_a_bad_number_of_hosts_is_refused(count: int) -> None:
    with pytest.raises(InvalidError, match="number of hosts"):
        host_names(count)
