from __future__ import annotations

from collections.abc import Callable

import pytest

from weft.api.schema import PublishRequest
from weft.cli.parse import (
    parse_address,
    parse_allowed,
    parse_label,
    parse_mac,
    parse_published,
    parse_range,
    parse_service,
    parse_subnet,
)
from weft.errors import InvalidError
from weft.model.addresses import ip_address, ip_network
from weft.model.records import AddressRange, AllowedAddress


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_subnet, "10.0.0.0/33", "subnet 10.0.0.0/33: prefix length must be 0..32"),
        (parse_subnet, "fd00::/129", "subnet fd00::/129: prefix length must be 0..128"),
        (
            parse_subnet,
            "10.0.0.7/24",
            "subnet 10.0.0.7/24: has host bits set; the subnet is 10.0.0.0/24",
        ),
        (
            parse_subnet,
            "10.0.0.0",
            "subnet 10.0.0.0: the prefix length is missing; as 10.0.0.0/24",
        ),
        (parse_subnet, "10.0.0.0/", "subnet 10.0.0.0/: prefix length must be a number, as /24"),
        (parse_subnet, "10.0.0.0/-1", "subnet 10.0.0.0/-1: prefix length must be a number"),
        (parse_subnet, "10.0.0.0/255.255.255.0", "prefix length must be a number, as /24"),
        (parse_subnet, "10.0.0/24", "subnet 10.0.0/24: not ADDRESS/LENGTH"),
        (parse_subnet, "", "subnet : not ADDRESS/LENGTH"),
        (parse_address, "10.0.0.1/24", "leave out the prefix length; say 10.0.0.1"),
        (parse_address, "10.0.0.256", "address 10.0.0.256: not an IPv4 or IPv6 address"),
        (parse_mac, "02:00:00:00:00", "MAC 02:00:00:00:00: say six octets"),
        (parse_mac, "03:00:00:00:00:01", "is a multicast address; make the first octet even"),
        (parse_mac, "00:00:00:00:00:00", "is no address"),
        (parse_range, "10.0.0.9-10.0.0.1", "ends before it begins; say 10.0.0.1-10.0.0.9"),
        (parse_range, "10.0.0.9-fd00::1", "mixes IPv4 and IPv6"),
        (parse_range, "10.0.0.9-", "range : not an IPv4 or IPv6 address"),
        (parse_allowed, "10.0.0.0/24=02:zz", "MAC 02:zz: say six octets"),
        (parse_published, "80", "say [HOST_ADDRESS:]HOST_PORT:PORT[/PROTOCOL]"),
        (parse_published, "80-81:80", "2 ports of the host cannot lead to 1"),
        (parse_published, "81-80:81-80", "ends before it begins"),
        (parse_published, "80-:80", " is no port number"),
        (parse_published, "80:0", "0 is no port number (1..65535)"),
        (parse_published, "70000:80", "70000 is no port number"),
        (parse_published, "8080:80/icmp", "protocol must be tcp, udp, sctp"),
        (parse_label, "team", "label team: say KEY=VALUE"),
        (parse_service, "0 0 web", "say 'PRIORITY WEIGHT PORT TARGET'"),
        (parse_service, "0 0 99999 web", "must be 0..65535"),
    ],
)
def test_refusal_names_value_reason_and_fix(
    parse: Callable[[str], object], text: str, message: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_subnet, "10.0.0.0/24", ip_network("10.0.0.0/24")),
        (parse_subnet, "0.0.0.0/0", ip_network("0.0.0.0/0")),
        (parse_subnet, "fd00::/64", ip_network("fd00::/64")),
        (parse_mac, "02-AB-00-00-00-01", "02:ab:00:00:00:01"),
        (
            parse_range,
            "10.0.0.4/30",
            AddressRange(first=ip_address("10.0.0.4"), last=ip_address("10.0.0.7")),
        ),
        (
            parse_range,
            "10.0.0.4-10.0.0.9",
            AddressRange(first=ip_address("10.0.0.4"), last=ip_address("10.0.0.9")),
        ),
        (
            parse_range,
            "fd00::1",
            AddressRange(first=ip_address("fd00::1"), last=ip_address("fd00::1")),
        ),
        (parse_allowed, "10.0.0.9", AllowedAddress(cidr=ip_network("10.0.0.9/32"))),
        (
            parse_allowed,
            "fd00::/64=02:00:00:00:00:01",
            AllowedAddress(cidr=ip_network("fd00::/64"), mac="02:00:00:00:00:01"),  # type: ignore[arg-type]
        ),
        (
            parse_published,
            "8080:80",
            PublishRequest(protocol="tcp", host_port=8080, port=80),
        ),
        (
            parse_published,
            "20000-29999:30000-39999/udp",
            PublishRequest(protocol="udp", host_port=20000, port=30000, count=10000),
        ),
        (
            parse_published,
            "[::1]:53:53/UDP",
            PublishRequest(
                protocol="udp",
                host_port=53,
                port=53,
                host_address=ip_address("::1"),
            ),
        ),
        (parse_label, "a=b=c", ("a", "b=c")),
        (parse_service, "0  10 8080 web", "0 10 8080 web"),
    ],
)
def test_value_is_read(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value
