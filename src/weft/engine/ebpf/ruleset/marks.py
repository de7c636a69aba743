"""Marks of connections (conntrack) that the table sets."""

from __future__ import annotations

FROM_NETWORK, INTO_NETWORK = 0x0400_0000, 0x0800_0000
"""They came out of a network, they lead into one."""

FROM_BRIDGE = 0x1000_0000
"""From behind a bridge of the host's (docker0) to an address that the
host has elsewhere. Docker 28 drops, before it is known as an answer, what is for a container of its
own and comes by another device; so what answers must not be sent to the container's address. A
bridge that is the host's way to its network is not meant: there the address is the bridge's own."""
