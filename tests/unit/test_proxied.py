"""Which published ports are proxied, and where a client is led."""

from __future__ import annotations

import pytest

from weft.engine.ebpf.stale_flows import published_udp
from weft.engine.ebpf.tables.nftables import NftKey, PublishKey, PublishTarget
from weft.model.addresses import ip_address
from weft.model.ids import HostId, MacAddress, NetworkId, PortId
from weft.model.records import Owner, Port, PublishedPort
from weft.model.service_addresses import DNS6, PROXY_PORT
from weft.proxy.table import decode, encode, find
from weft.semantics.proxied import proxied_ports


def port(*addresses: str, **published: object) -> Port:
    values: dict[str, object] = {"protocol": "tcp", "host_port": 8080, "port": 80}
    if isinstance(published.get("host_address"), str):
        published["host_address"] = ip_address(str(published["host_address"]))
    return Port(
        id=PortId("1" * 16),
        network_id=NetworkId("2" * 16),
        host_id=HostId("3" * 16),
        mac=MacAddress("02:00:00:00:00:01"),
        slot=0,
        addresses=tuple(map(ip_address, addresses)),
        owner=Owner(frontend="docker"),
        published=(PublishedPort(**(values | published)),),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("made", "families"),
    [
        (port("10.0.0.5"), [6]),
        (port("fd00::5"), [4]),
        (port("10.0.0.5", "fd00::5"), []),
        (port("10.0.0.5", host_address="127.0.0.1"), []),
        (port("10.0.0.5", host_address="::1"), [6]),
        (port("10.0.0.5", protocol="sctp"), []),
        (port(), []),
    ],
)
def test_what_has_no_address_of_a_clients_family_is_proxied(
    made: Port, families: list[int]
) -> None:
    assert [each.family for each in proxied_ports(made, made.addresses)] == families


def test_an_address_that_is_cut_off_is_led_to_by_nobody() -> None:
    assert not list(proxied_ports(port("10.0.0.5"), ()))


def test_a_client_is_led_to_the_port_that_belongs_to_the_one_it_asked_for() -> None:
    anywhere = proxied_ports(port("10.0.0.5", count=10), (ip_address("10.0.0.5"),))
    certain = proxied_ports(
        port("10.0.0.6", host_address="2001:db8::1", port=7), (ip_address("10.0.0.6"),)
    )
    table = decode(encode([*anywhere, *certain]))
    one, other = ip_address("2001:db8::1"), ip_address("2001:db8::2")
    assert find(table, "tcp", other, 8083) == (ip_address("10.0.0.5"), 83)
    assert find(table, "tcp", one, 8080) == (ip_address("10.0.0.6"), 7)
    assert find(table, "tcp", other, 8090) is None
    assert find(table, "udp", other, 8080) is None
    assert find(table, "tcp", ip_address("192.0.2.1"), 8080) is None


def test_flows_that_began_before_a_port_was_proxied_are_dropped() -> None:
    """A flow is compared with where its port leads: to the proxy, port by port."""
    key = PublishKey("udp", 5000, None, 6, 2)
    found = published_udp({NftKey("proxy", key): True})
    proxy = PublishTarget(DNS6, PROXY_PORT)
    assert found == {PublishKey("udp", port, None, 6): proxy for port in (5000, 5001)}
