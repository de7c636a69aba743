"""The kernel's table of connections: find UDP flows that go to a port of the host, and drop them;
count whose flows are in it.

A UDP flow keeps the address translation that its first packet got for as long as its client goes
on sending. One that began before a port was published, or that leads to a container that is gone,
would never see the new rule.
"""

from __future__ import annotations

import errno
import struct
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from weft.kernel.netlink import (
    NLA_F_NESTED,
    Netlink,
    Request,
    attribute,
    attributes,
    nested,
    open_socket,
)
from weft.model.addresses import IPAddress, ip_address

_NETFILTER = 12
_GET = 1 << 8 | 1
_DELETE = 1 << 8 | 2
_CTA_TUPLE_ORIG = 1
_CTA_TUPLE_REPLY = 2
_CTA_TUPLE_IP = 1
_CTA_TUPLE_PROTO = 2
_CTA_PROTO_NUM = 1
_CTA_PROTO_SRC_PORT = 2
_CTA_PROTO_DST_PORT = 3
_SOURCE = {4: 1, 6: 3}
_DESTINATION = {4: 2, 6: 4}
_FAMILY = {4: 2, 6: 10}
_UDP = 17
Endpoint = tuple[IPAddress, int]
"""Address and port."""


class UdpFlow(NamedTuple):
    """A flow as its client sees it, and where it really leads."""

    destination: IPAddress
    port: int
    target: IPAddress
    target_port: int
    tuple_: bytes
    """What names it to the kernel."""


def udp_flows(netlink: Netlink, family: int, ports: Iterable[int]) -> list[UdpFlow]:
    """All UDP flows to these ports, whatever the address. Linear in all flows of the host."""
    wanted = {struct.pack(">H", port) for port in ports}
    request = Request("list UDP flows", _GET, 0, _header(family))
    found = []
    for body in netlink.dump(request):
        parts = attributes(body, 4)
        original, reply = parts.get(_CTA_TUPLE_ORIG), parts.get(_CTA_TUPLE_REPLY)
        if original is None or reply is None:
            continue
        sent = attributes(original)
        protocol = attributes(sent[_CTA_TUPLE_PROTO])
        port = protocol.get(_CTA_PROTO_DST_PORT)
        if protocol[_CTA_PROTO_NUM] != bytes((_UDP,)) or port not in wanted:
            continue
        answered = attributes(reply)
        found.append(
            UdpFlow(
                destination=ip_address(attributes(sent[_CTA_TUPLE_IP])[_DESTINATION[family]]),
                port=int.from_bytes(port, "big"),
                target=ip_address(attributes(answered[_CTA_TUPLE_IP])[_SOURCE[family]]),
                target_port=int.from_bytes(
                    attributes(answered[_CTA_TUPLE_PROTO])[_CTA_PROTO_SRC_PORT], "big"
                ),
                tuple_=original,
            )
        )
    return found


def flows_by_source(netlink: Netlink) -> Counter[IPAddress]:
    """How many flows of any protocol began at each address. Linear in all flows of the host."""
    counted: Counter[bytes] = Counter()
    for family, size in ((4, 4), (6, 16)):
        request = Request("list flows", _GET, 0, _header(family))
        # The first attribute is the flow as it began, in it the addresses, in them the source.
        counted.update(body[16 : 16 + size] for body in netlink.dump(request))
    return Counter({ip_address(source): its for source, its in counted.items()})


def forget(netlink: Netlink, family: int, flows: Iterable[UdpFlow]) -> None:
    """Drop flows; the next packet of each is looked at anew. Gone already is no failure."""
    requests = [
        Request(
            f"forget a UDP flow to {flow.destination} port {flow.port}",
            _DELETE,
            0,
            _header(family) + attribute(_CTA_TUPLE_ORIG | NLA_F_NESTED, flow.tuple_),
        )
        for flow in flows
    ]
    for answer in netlink.run(requests):
        if answer.error is not None and answer.error.errno != errno.ENOENT:
            raise answer.error


def original_udp_destination(
    netlink: Netlink, server: Endpoint, client: Endpoint
) -> Endpoint | None:
    """Where a client meant to send what was translated to a server here; None: no such flow."""
    version = server[0].version
    addresses = attribute(_SOURCE[version], server[0].packed)
    addresses += attribute(_DESTINATION[version], client[0].packed)
    protocol = attribute(_CTA_PROTO_NUM, bytes((_UDP,)))
    protocol += attribute(_CTA_PROTO_SRC_PORT, struct.pack(">H", server[1]))
    protocol += attribute(_CTA_PROTO_DST_PORT, struct.pack(">H", client[1]))
    answered = nested(
        _CTA_TUPLE_REPLY, nested(_CTA_TUPLE_IP, addresses), nested(_CTA_TUPLE_PROTO, protocol)
    )
    request = Request("look up a UDP flow", _GET, 0, _header(version) + answered)
    (answer,) = netlink.run((request,))
    original = attributes(answer.body, 4).get(_CTA_TUPLE_ORIG) if answer.error is None else None
    if original is None:
        return None
    sent = attributes(original)
    port = attributes(sent[_CTA_TUPLE_PROTO])[_CTA_PROTO_DST_PORT]
    address = attributes(sent[_CTA_TUPLE_IP])[_DESTINATION[version]]
    return ip_address(address), int.from_bytes(port, "big")


def open_netlink() -> Netlink:
    """A socket for the functions above, in the calling thread's namespace."""
    return Netlink(open_socket(_NETFILTER))


def _header(family: int) -> bytes:
    return struct.pack("=BBH", _FAMILY[family], 0, 0)
