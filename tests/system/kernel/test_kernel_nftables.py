"""nftables, by several threads at once: libnftables itself knows one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.bpf.namespaces import Namespace
from weft.kernel.nftables import Nftables

pytestmark = pytest.mark.root
THREADS, TURNS = 3, 800
"""Without a lock some of these commands are refused, and now and then the process dies."""


def test_threads_do_not_meet_in_the_library() -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(change_rules, range(THREADS))) == THREADS * TURNS


def change_rules(number: int) -> int:
    """In a namespace of the thread's own, with devices that others do not have."""
    device = f"own{number}"
    with Namespace() as own, own.entered():
        own.run(f"ip link add {device} type veth peer name peer")
        nftables = Nftables()
        try:
            for _ in range(TURNS):
                rule = f"type filter hook input priority 0; iif {device} accept"
                nftables.run(f"table inet t {{ chain c {{ {rule}\n }}\n }}")
                assert "iif" in nftables.text("list table inet t")
                nftables.run("delete table inet t")
        finally:
            nftables.close()
    return TURNS
