"""The lab that files share comes back as it was lent, or whoever had it fails."""

from __future__ import annotations

import pytest

from tests.system.shared_lab import SharedLab

pytestmark = pytest.mark.root


def test_what_a_test_leaves_is_told_and_taken_away(three_hosts: SharedLab) -> None:
    with (
        pytest.raises(AssertionError, match="left behind") as told,
        three_hosts.lent() as cluster,
    ):
        _, h2, h3 = cluster.hosts
        h2.run(["ip", "netns", "add", "stray"])
        h3.run(["ip", "link", "add", "stray0", "type", "veth", "peer", "name", "stray1"])
        h3.run(["nft", "add", "table", "inet", "stranger"])
    assert "h2: network namespaces: stray" in str(told.value)
    assert "h3: devices" in str(told.value)
    assert "h3: rules: table inet stranger" in str(told.value)
    with three_hosts.lent():
        pass
