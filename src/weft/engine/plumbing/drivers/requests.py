"""Requests to the kernel for rows: what was refused, and is not so already."""

from __future__ import annotations

from collections.abc import Hashable

from weft.engine.plumbing.host_door import has_ipv6
from weft.engine.rows import RowFailure, RowKey
from weft.kernel.netlink import Netlink, Request
from weft.model.addresses import IPAddress, IPNetwork


def is_moot(key: Hashable) -> bool:
    """Whether a row is of IPv6, on a kernel that does not speak it: such a row holds by itself."""
    is_ipv6 = key.version == 6 if isinstance(key, IPAddress | IPNetwork) else key == 6
    return is_ipv6 and not has_ipv6()


def run(
    netlink: Netlink, table: str, requests: list[tuple[Hashable, Request]], gone: int
) -> list[RowFailure]:
    """Send all; `gone` is what the kernel says of a thing to delete that is not there."""
    answers = netlink.run([request for _, request in requests])
    return [
        RowFailure(RowKey(table, key), str(answer.error))
        for (key, _), answer in zip(requests, answers)
        if answer.error is not None and answer.error.errno != gone and not is_moot(key)
    ]
