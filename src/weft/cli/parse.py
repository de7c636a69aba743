"""What users type, into the model's types. Every refusal names the value, the reason and the fix.

InvalidError throughout; `weft.cli.types` makes usage errors of them.
"""

from __future__ import annotations

import re

from weft.api.schema import PublishRequest
from weft.errors import InvalidError
from weft.model.addresses import IPAddress, IPNetwork, ip_address, ip_network
from weft.model.ids import MacAddress
from weft.model.records import AddressRange, AllowedAddress

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_PUBLISHED = re.compile(
    r"(?:(?P<host>\[[^\]]+\]|[0-9.]+):)?(?P<from>[^:/]+):(?P<to>[^:/]+)(?:/(?P<protocol>\w+))?"
)
_PROTOCOLS = ("tcp", "udp", "sctp")


def parse_address(text: str, what: str = "address") -> IPAddress:
    """One IP address, without a prefix length."""
    address, slash, _ = text.partition("/")
    try:
        parsed = ip_address(address)
    except ValueError:
        raise InvalidError(f"{what} {text}: not an IPv4 or IPv6 address") from None
    if slash:
        raise InvalidError(f"{what} {text}: leave out the prefix length; say {address}")
    return parsed


def parse_next_hops(text: str) -> tuple[IPAddress, ...]:
    """Addresses with commas between them."""
    return tuple(parse_address(each.strip(), "next hop") for each in text.split(","))


def parse_subnet(text: str, what: str = "subnet") -> IPNetwork:
    """A prefix as ``ADDRESS/LENGTH`` without host bits."""
    address_text, slash, length_text = text.partition("/")
    try:
        address = ip_address(address_text)
    except ValueError:
        raise InvalidError(f"{what} {text}: not ADDRESS/LENGTH, as 192.168.1.0/24") from None
    example = 24 if address.version == 4 else 64
    if not slash:
        raise InvalidError(f"{what} {text}: the prefix length is missing; as {address}/{example}")
    if not length_text.isascii() or not length_text.isdigit():
        raise InvalidError(f"{what} {text}: prefix length must be a number, as /{example}")
    if int(length_text) > address.max_prefixlen:
        raise InvalidError(f"{what} {text}: prefix length must be 0..{address.max_prefixlen}")
    network = ip_network((address, int(length_text)), strict=False)
    if network.network_address != address:
        raise InvalidError(f"{what} {text}: has host bits set; the {what} is {network}")
    return network


def parse_mac(text: str) -> MacAddress:
    """Six octets with colons or dashes; unicast."""
    mac = text.lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise InvalidError(f"MAC {text}: say six octets, as 02:00:00:00:00:01")
    if int(mac[:2], 16) & 1:
        raise InvalidError(f"MAC {text}: is a multicast address; make the first octet even")
    if mac == "00:00:00:00:00:00":
        raise InvalidError(f"MAC {text}: is no address; say another, as 02:00:00:00:00:01")
    return MacAddress(mac)


def parse_range(text: str, what: str = "range") -> AddressRange:
    """``FIRST-LAST``, a prefix, or one address."""
    if "/" in text:
        network = parse_subnet(text, what)
        return AddressRange(first=network.network_address, last=network.broadcast_address)
    first_text, dash, last_text = text.partition("-")
    first = parse_address(first_text.strip(), what)
    last = parse_address(last_text.strip(), what) if dash else first
    if first.version != last.version:
        raise InvalidError(f"{what} {text}: mixes IPv4 and IPv6")
    if int(last) < int(first):
        raise InvalidError(f"{what} {text}: ends before it begins; say {last}-{first}")
    return AddressRange(first=first, last=last)


def parse_allowed(text: str) -> AllowedAddress:
    """``CIDR[=MAC]``; an address alone stands for itself."""
    cidr_text, equals, mac = text.partition("=")
    if "/" in cidr_text:
        cidr = parse_subnet(cidr_text, "allowed address")
    else:
        cidr = ip_network(parse_address(cidr_text, "allowed address"))
    return AllowedAddress(cidr=cidr, mac=parse_mac(mac) if equals else None)


def parse_published(text: str) -> PublishRequest:
    """``[HOST_ADDRESS:]HOST_PORT:PORT[/PROTOCOL]``; an IPv6 address in brackets. Either port may
    be a range, ``FIRST-LAST``, if the other is as long."""
    match = _PUBLISHED.fullmatch(text)
    if match is None:
        raise InvalidError(
            f"published port {text}: say [HOST_ADDRESS:]HOST_PORT:PORT[/PROTOCOL], as 8080:80/tcp "
            "or 5000-5009:5000-5009/udp"
        )
    protocol = (match["protocol"] or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise InvalidError(f"published port {text}: protocol must be {', '.join(_PROTOCOLS)}")
    host = match["host"]
    on_host, inside = _port_range(match["from"], text), _port_range(match["to"], text)
    if len(on_host) != len(inside):
        raise InvalidError(
            f"published port {text}: {len(on_host)} ports of the host cannot lead to {len(inside)}"
        )
    return PublishRequest(
        protocol=protocol,  # type: ignore[arg-type]
        host_port=on_host[0],
        port=inside[0],
        count=len(on_host),
        host_address=parse_address(host.strip("[]"), "host address") if host else None,
    )


def parse_label(text: str) -> tuple[str, str]:
    """``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InvalidError(f"label {text}: say KEY=VALUE")
    return key, value


def parse_advertising(text: str) -> tuple[str, str]:
    """``CIDR=WORD``: which ports get router advertisements of an IPv6 subnet."""
    prefix, equals, word = text.partition("=")
    if not equals or word not in ("attached", "all", "off"):
        raise InvalidError(f"{text}: say SUBNET=attached, =all or =off, as fd00:1::/64=all")
    return str(parse_subnet(prefix)), word


def parse_service(text: str) -> str:
    """``PRIORITY WEIGHT PORT TARGET``, as DNS's SRV records have it (RFC 2782)."""
    words = text.split()
    if len(words) != 4 or not all(word.isascii() and word.isdigit() for word in words[:3]):
        raise InvalidError(
            f"service {text!r}: say 'PRIORITY WEIGHT PORT TARGET', as '0 0 8080 web'"
        )
    if any(int(word) > 0xFFFF for word in words[:3]):
        raise InvalidError(f"service {text!r}: priority, weight and port must be 0..65535")
    return " ".join(words)


def _port_range(text: str, whole: str) -> range:
    first_text, _, last_text = text.partition("-")
    first = _port_number(first_text, whole)
    last = _port_number(last_text, whole) if "-" in text else first
    if last < first:
        raise InvalidError(f"published port {whole}: {text} ends before it begins")
    return range(first, last + 1)


def _port_number(text: str, whole: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 0x10000:
        raise InvalidError(f"published port {whole}: {text} is no port number (1..65535)")
    return int(text)
