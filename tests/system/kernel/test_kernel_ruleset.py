"""What nft makes of Weft's table for the kernel."""

from __future__ import annotations

import subprocess
from collections.abc import Hashable

import pytest

from weft.engine.ebpf.ruleset.transaction import render
from weft.engine.ebpf.tables.nftables import NftKey
from weft.model.addresses import ip_network

pytestmark = pytest.mark.root


@pytest.mark.parametrize("is_contested", [False, True])
def test_no_rule_changes_the_byte_order_of_a_single_byte(is_contested: bool) -> None:
    """nft asks for it where a protocol is looked up in ranges, and Linux 6.12.118 refuses it."""
    prefix = ip_network("10.1.0.0/24")
    names = ("contested", "masquerade") if is_contested else ()
    rows: dict[Hashable, Hashable] = {NftKey(name, prefix): True for name in names}
    applied = subprocess.run(
        ["unshare", "--net", "nft", "--debug=netlink", "--file", "-"],
        input=render(rows),
        capture_output=True,
        check=False,
        text=True,
    )
    assert applied.returncode == 0, applied.stderr
    told = applied.stdout + applied.stderr
    assert "ct load protocol" in told
    assert "byteorder" not in told
