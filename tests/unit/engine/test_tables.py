"""The list of tables is complete, and its order is one in which no packet meets half a port."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from weft.engine.ebpf import tables as ebpf_tables
from weft.engine.ebpf.edition import OF_MACS, OF_ROUTES
from weft.engine.ebpf.tables import MAPS, TABLES
from weft.engine.ebpf.tables.addresses import ADDRESSES
from weft.engine.ebpf.tables.filters import FILTERS
from weft.engine.ebpf.tables.flood import FLOOD
from weft.engine.ebpf.tables.heads import HEADS
from weft.engine.ebpf.tables.macs import MACS
from weft.engine.ebpf.tables.multicast_groups import MULTICAST_GROUPS
from weft.engine.ebpf.tables.multicast_members import MULTICAST_HOSTS, MULTICAST_PORTS
from weft.engine.ebpf.tables.networks import NETWORKS
from weft.engine.ebpf.tables.nftables import NFTABLES
from weft.engine.ebpf.tables.peers import OWN_MAP, PEERS
from weft.engine.ebpf.tables.policy_rules import POLICY_RULES
from weft.engine.ebpf.tables.port_rules import PORT_RULES
from weft.engine.ebpf.tables.ports import PORTS
from weft.engine.ebpf.tables.prefixes import PREFIXES
from weft.engine.ebpf.tables.replicas import REPLICAS
from weft.engine.ebpf.tables.tunnels import TUNNELS
from weft.engine.plumbing import tables as plumbing_tables
from weft.engine.plumbing.tables.devices import DEVICES
from weft.engine.plumbing.tables.host_addresses import HOST_ADDRESSES
from weft.engine.plumbing.tables.host_routes import HOST_ROUTES, OWN_ROUTES
from weft.engine.plumbing.tables.rules import RULES
from weft.engine.plumbing.tables.wireguard import WIREGUARD, WIREGUARD_PEERS
from weft.engine.table import Table
from weft.kernel.bpf import berths
from weft.kernel.tunnel_traffic import MAP, WAYS_MAP

ROOT = Path(__file__).parents[3]
BESIDE = {MAP, WAYS_MAP, OWN_MAP, OF_MACS, OF_ROUTES, berths.OTHER_PORTS}
"""Maps that a driver fills beside, or instead of, one that rows become entries of one by one."""
OF_PROGRAMS = {
    "answers_v1",
    "counters_v2",
    "dns_flows_v1",
    "drops_v1",
    "events_v1",
    "flow_counts_v1",
    "flow_holds_v1",
    "flows4_v1",
    "flows6_v1",
    "fragments_v1",
    "inquiries_v1",
    "lost_events_v1",
    "near_macs_v1",
    "near_routes_v1",
    "other_counters_v1",
    "probes_v1",
    "queries_v1",
    "reports_v1",
    "routings_v1",
    "rule_counts_v1",
}
"""Maps that no row is written to."""
OF_RULES = {
    "atom_sets_v1",
    "current_v1",
    "generations_v1",
    "heads_v1",
    "identities_v1",
    "spans_v1",
    "subjects_v1",
    "symbols_v1",
}
"""Maps that `heads` is in, and those of the numbers that rows are encoded with."""


def declared() -> Iterator[Table[object, object]]:
    """Every table that a file of tables declares."""
    for package in (ebpf_tables, plumbing_tables):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for value in vars(import_module(found.name)).values():
                if isinstance(value, Table):
                    yield value


def test_every_table_that_a_file_declares_is_listed() -> None:
    assert {table.name for table in declared()} == {table.name for table in TABLES}


def test_no_two_tables_share_a_name_or_a_map() -> None:
    assert len({table.name for table in TABLES}) == len(TABLES)
    assert len({table.map_name for table in MAPS}) == len(MAPS)


def test_every_map_that_rows_are_written_to_has_a_table() -> None:
    text = "".join(header.read_text() for header in sorted((ROOT / "bpf").glob("maps*.h")))
    maps = set(re.findall(r"^} (\w+) SEC\(\"\.maps\"\);", text, re.MULTILINE))
    assert maps == {table.map_name for table in MAPS} | BESIDE | OF_PROGRAMS | OF_RULES


@pytest.mark.parametrize(
    "before, after",
    [
        (DEVICES, PORTS),
        (NETWORKS, PORTS),
        (POLICY_RULES, HEADS),
        (HEADS, PORT_RULES),
        (HEADS, PREFIXES),
        (PORT_RULES, PORTS),
        (PORTS, FLOOD),
        (PORTS, FILTERS),
        (FLOOD, FILTERS),
        (FILTERS, ADDRESSES),
        (FILTERS, MACS),
        (WIREGUARD, WIREGUARD_PEERS),
        (WIREGUARD, TUNNELS),
        (PEERS, FILTERS),
        (TUNNELS, REPLICAS),
        (TUNNELS, ADDRESSES),
        (MULTICAST_PORTS, MULTICAST_GROUPS),
        (MULTICAST_HOSTS, MULTICAST_GROUPS),
        (HOST_ADDRESSES, HOST_ROUTES),
        (OWN_ROUTES, RULES),
        (RULES, NFTABLES),
    ],
    ids=lambda table: table.name,
)
def test_what_rests_on_another_table_is_written_after_it(
    before: Table[object, object], after: Table[object, object]
) -> None:
    assert before.rank < after.rank
    assert TABLES.index(before) < TABLES.index(after)


def test_programs_read_what_is_a_map_and_nothing_that_comes_after_the_last_one() -> None:
    """So whatever maps there are, all are filled before programs that are loaded anew take over."""
    assert {table for table in TABLES if table.is_read_by_programs} == {*MAPS, TUNNELS, HEADS}
