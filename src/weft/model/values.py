"""What the fields of records may hold: types with bounds, which decoding checks.

A record with a value outside of them is set aside and shown (`store.shown`), so everything that
reads records may rely on them. They are as wide as what Weft itself writes, and no wider than what
the kernel's maps, DNS and a terminal can take.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
"""Control characters, line and paragraph separators, and what turns the direction of writing."""
_CONTROLS_IN_WORDS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
"""The same, but for tabs and line breaks."""
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"

Id: TypeAlias = Annotated[str, Meta(max_length=128, pattern=r"^[!-~]+\Z")]
"""Of a record: printable ASCII without spaces."""
HostIdText: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Text: TypeAlias = Annotated[str, Meta(max_length=255, pattern=rf"^[^{_CONTROLS}]*\Z")]
"""One line for people."""
Word: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")]
"""Of a list that may grow."""
LongText: TypeAlias = Annotated[str, Meta(max_length=4096, pattern=rf"^[^{_CONTROLS}]*\Z")]
Words: TypeAlias = Annotated[str, Meta(max_length=65536, pattern=rf"^[^{_CONTROLS_IN_WORDS}]*\Z")]
"""Text of others (labels of Docker's), which may have several lines."""
NetworkName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")]
Label: TypeAlias = Annotated[str, Meta(max_length=200, pattern=rf"^{_LABEL}(\.{_LABEL})*\Z")]
"""A DNS name inside a network, in lower case: mostly one label."""
MacText: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(?!00:00:00:00:00:00|0a:57:45:46:54:01)"
        r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}\Z"
    ),
]
"""Unicast, not zero, and not `service_addresses.GATEWAY_MAC`."""
PortDevice: TypeAlias = Annotated[str, Meta(pattern=r"^weft[0-9a-f]{11}\Z")]
"""The host's end of a port: none of the host's own devices, nor of Weft's."""
DeviceName: TypeAlias = Annotated[str, Meta(pattern=r"^(?!\.{1,2}\Z)[!-.0-9;-~]{1,15}\Z")]
"""What the kernel takes (dev_valid_name)."""
PublicKey: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\Z")]
"""32 bytes in base64, as wg(8) shows them."""

VniNumber: TypeAlias = Annotated[int, Meta(ge=1, lt=2**24)]
"""RFC 7348 section 5."""
PortNumber: TypeAlias = Annotated[int, Meta(ge=0, lt=2**16)]
"""Of TCP, UDP or SCTP; 0: any."""
PortCount: TypeAlias = Annotated[int, Meta(ge=1, lt=2**16)]
"""How many ports in a row."""
Slot: TypeAlias = Annotated[int, Meta(ge=0, lt=2**20)]
"""Far more than a host has ports."""
MtuBytes: TypeAlias = Annotated[int, Meta(ge=68, le=2**17)]
"""From what IPv4 needs (RFC 791) to twice what the loopback device has."""
PathMtuBytes: TypeAlias = Annotated[int, Meta(ge=0, le=2**17)]
"""0: not known."""
Count: TypeAlias = Annotated[int, Meta(ge=0, lt=2**62)]
"""Of generations, terms, revisions, epochs."""
TtlSeconds: TypeAlias = Annotated[int, Meta(ge=0, lt=2**31)]
"""RFC 2181 section 8."""
Short: TypeAlias = Annotated[int, Meta(ge=0, lt=2**16)]
"""RFC 2782: priority and weight."""
Protocol: TypeAlias = Annotated[int, Meta(ge=0, lt=2**8)]
"""What an IP header says: 6 is TCP (IANA, Assigned Internet Protocol Numbers)."""
Octet: TypeAlias = Annotated[int, Meta(ge=0, lt=2**8)]
"""A type or a code of ICMP."""
Priority: TypeAlias = Annotated[int, Meta(ge=0, lt=2**16)]
"""The smallest goes first."""
PerSecond: TypeAlias = Annotated[int, Meta(ge=1, lt=2**16)]
Inode: TypeAlias = Annotated[int, Meta(ge=0, lt=2**62)]
UnixSeconds: TypeAlias = Annotated[float, Meta(ge=0, lt=253402300800)]
"""Until the year 9999, the last that can be shown."""
