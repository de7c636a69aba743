"""Where to find other hosts, as people write it: ``192.0.2.10``, ``h1:6783``,
``[2001:db8::1]:6783``, several with commas between."""

from __future__ import annotations

import ipaddress
import re

from weft.cluster.interface import Endpoint
from weft.errors import InvalidError

_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_FIX = "write ADDRESS or ADDRESS:PORT, an IPv6 address with a port as [ADDRESS]:PORT"


def parse_endpoints(text: str, default_port: int) -> tuple[Endpoint, ...]:
    """Each once, in order. InvalidError names the one that is none."""
    parts = [part.strip() for part in text.split(",")]
    found = [_parse(part, default_port) for part in parts if part]
    return tuple(dict.fromkeys(found))


def is_address(text: str) -> bool:
    """Whether it is an address and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _parse(text: str, default_port: int) -> Endpoint:
    if is_address(text):
        return Endpoint(str(ipaddress.ip_address(text)), default_port)
    host, colon, port_text = text.rpartition(":")
    if not colon:
        host, port_text = text, str(default_port)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        is_right = is_address(host) and ":" in host
    elif text.startswith("[") and text.endswith("]") and is_address(text[1:-1]):
        return Endpoint(str(ipaddress.ip_address(text[1:-1])), default_port)
    else:
        is_right = ":" not in host and (is_address(host) or _is_name(host))
    if not is_right:
        raise InvalidError(f"join {text!r}: no address and no name; {_FIX}")
    if not port_text.isascii() or not port_text.isdigit() or not 0 < int(port_text) < 65536:
        raise InvalidError(f"join {text!r}: port must be 1..65535; {_FIX}")
    if is_address(host):
        host = str(ipaddress.ip_address(host))
    return Endpoint(host, int(port_text))


def _is_name(text: str) -> bool:
    """Something of digits and dots is a mistyped address, not a name."""
    return _NAME.fullmatch(text) is not None and not re.fullmatch(r"[0-9.]+", text)
