"""IPv6 addresses that a test gives to devices by hand: the kernel takes packets to them a little
later than `ip` returns, and programs can use them no sooner."""

from __future__ import annotations

import os

from weft.kernel import netns
from weft.kernel.addresses import addresses
from weft.kernel.netlink import Netlink
from weft.kernel.routes import await_own

_PATIENCE_S = 10 * float(os.environ.get("WEFT_TEST_PATIENCE", "1"))


def await_addresses(path: str) -> None:
    """Wait until all global addresses in a network namespace can be used."""
    with netns.netlink_in(path) as netlink:
        _await(netlink)


def await_addresses_here() -> None:
    """The same in the calling thread's namespace."""
    with Netlink() as netlink:
        _await(netlink)


def _await(netlink: Netlink) -> None:
    held = (entry.address for entry in addresses(netlink) if not entry.is_link_local)
    await_own(netlink, held, _PATIENCE_S)
