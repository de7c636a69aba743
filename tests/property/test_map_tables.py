"""Rows of the tables that are BPF maps to bytes and back."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tests.fake_maps import FakeMaps
from weft.engine.ebpf.map_table import Flags
from weft.engine.ebpf.names import HostNames
from weft.engine.ebpf.policy.atoms import (
    CidrAtom,
    GroupAtom,
    NetworkAtom,
    PortsAtom,
    sorted_atoms,
)
from weft.engine.ebpf.policy.identities import Identities
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.tables import MAPS
from weft.engine.ebpf.tables.addresses import ADDRESSES, AddressKey, AddressValue
from weft.engine.ebpf.tables.allowed import ALLOWED, AllowedKey, AllowedValue
from weft.engine.ebpf.tables.flood import FLOOD, FloodKey, FloodValue
from weft.engine.ebpf.tables.host_prefixes import HOST_PREFIXES, HostPrefixValue
from weft.engine.ebpf.tables.macs import MACS, MacKey, MacValue
from weft.engine.ebpf.tables.multicast_groups import MULTICAST_GROUPS, MulticastKey, MulticastValue
from weft.engine.ebpf.tables.multicast_members import MULTICAST_HOSTS, MULTICAST_PORTS, MemberKey
from weft.engine.ebpf.tables.networks import NETWORKS, NetworkValue
from weft.engine.ebpf.tables.peers import PEERS, PeerValue
from weft.engine.ebpf.tables.policy_rules import POLICY_RULES, PolicyRuleValue
from weft.engine.ebpf.tables.port_rules import PORT_RULES, PortRules
from weft.engine.ebpf.tables.ports import PORTS, PortValue
from weft.engine.ebpf.tables.prefixes import PREFIXES, PrefixKey
from weft.engine.ebpf.tables.replicas import REPLICAS, ReplicaKey
from weft.engine.ebpf.tables.resolvers import RESOLVERS, ResolverValue
from weft.engine.ebpf.tables.routes import (
    NO_TABLE,
    ROUTERS,
    ROUTES,
    NextHopValue,
    RouteKey,
    RouterKey,
    RouterTable,
    RouterValue,
    RouteValue,
)
from weft.engine.ebpf.tables.subnets import SUBNETS, SubnetKey, SubnetValue
from weft.engine.ebpf.tables.unowned import UNOWNED, UnownedKey
from weft.engine.ebpf.ways import Ways
from weft.engine.plumbing.devices import Devices
from weft.kernel.bpf.layouts import RouteKind
from weft.kernel.links import Link
from weft.model.addresses import IPAddress, ip_network
from weft.model.ids import GroupId, NetworkId, TenantId
from weft.model.records import Selector


class KnownDevices(Devices):
    """Devices d1 … d9, with ifindexes 1 … 9, and no kernel."""

    def __init__(self) -> None:
        self._by_name = {
            f"d{number}": Link(
                number, f"d{number}", True, 1500, "", "veth", 0, None, "", True, True
            )
            for number in range(1, 10)
        }
        self._names = {link.ifindex: link.name for link in self._by_name.values()}


def is_plain(address: IPAddress) -> bool:
    """Neither zero nor an IPv4 address in the form of IPv6: a map cannot tell those apart."""
    return int(address) != 0 and getattr(address, "ipv4_mapped", None) is None


def host_names(devices: Devices) -> HostNames:
    maps = FakeMaps()
    numbering = Numbering(maps.__getitem__)
    return HostNames(devices, Ways(), numbering, Identities(maps.__getitem__, numbering))


NAMES = host_names(KnownDevices())
ifnames = st.integers(1, 9).map(lambda number: f"d{number}")
u32 = st.integers(0, 2**32 - 1)
vnis = st.integers(1, 2**24 - 1)
macs = st.binary(min_size=6, max_size=6).filter(any).map(lambda octets: octets.hex(":"))
addresses = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6).filter(is_plain),
)
prefixes = st.builds(
    lambda address, share: ip_network(
        (address, round(share * address.max_prefixlen)), strict=False
    ),
    addresses,
    st.floats(0, 1),
).filter(lambda prefix: prefix.version == 4 or prefix[0].ipv4_mapped is None)
flags = st.booleans()
nothing = st.just("")
ids = st.integers(1, 9).map(lambda number: f"00000000-0000-4000-8000-00000000000{number}")
group_ids, network_ids, tenant_ids = ids.map(GroupId), ids.map(NetworkId), ids.map(TenantId)
atoms = st.lists(
    st.one_of(
        st.builds(GroupAtom, group_ids),
        st.builds(NetworkAtom, network_ids),
        st.builds(PortsAtom, tenant_ids, st.just(Selector())),
        st.builds(CidrAtom, prefixes, st.lists(prefixes, max_size=2).map(tuple)),
    ),
    max_size=20,
).map(sorted_atoms)
port_rules = st.builds(
    PortRules,
    ifnames,
    st.lists(st.lists(group_ids, max_size=3).map(tuple), max_size=8).map(tuple),
    flags,
    flags,
    flags,
    tenant_ids,
    vnis,
)
flood_values = st.builds(FloodValue, ifnames, flags)
numbers = st.integers(0, 2**64 - 1)
router_tables = st.builds(RouterTable, numbers, flags)
hop_tables = st.just(NO_TABLE) | st.builds(RouterTable, numbers.filter(bool), flags)

ROWS = {
    PORTS.name: (
        ifnames,
        st.builds(
            PortValue,
            vnis,
            macs,
            u32,
            flags,
            st.none() | st.ip_addresses(v=4),
            st.none() | st.ip_addresses(v=6).filter(is_plain),
            flags,
            st.integers(68, 65535),
            st.none() | port_rules,
        ),
    ),
    ADDRESSES.name: (
        st.builds(AddressKey, vnis, addresses),
        st.builds(AddressValue, macs, nothing | ifnames, flags, flags, u32, atoms, flags),
    ),
    MACS.name: (
        st.builds(MacKey, vnis, macs),
        st.builds(MacValue, nothing | ifnames, flags, flags, u32, atoms, flags),
    ),
    NETWORKS.name: (vnis, st.builds(NetworkValue, flags, u32, flags, flags, flags)),
    FLOOD.name: (st.builds(FloodKey, vnis, u32), flood_values),
    ALLOWED.name: (
        st.builds(AllowedKey, ifnames, prefixes),
        st.builds(AllowedValue, nothing | macs),
    ),
    SUBNETS.name: (
        st.builds(SubnetKey, vnis, prefixes),
        st.builds(SubnetValue, st.none() | addresses, router_tables),
    ),
    HOST_PREFIXES.name: (prefixes, st.builds(HostPrefixValue, vnis)),
    RESOLVERS.name: (addresses, st.just(ResolverValue())),
    PEERS.name: (addresses, st.builds(PeerValue, u32, flags, flags)),
    REPLICAS.name: (st.builds(ReplicaKey, vnis, u32), u32),
    MULTICAST_GROUPS.name: (
        st.builds(MulticastKey, vnis, addresses),
        st.builds(MulticastValue, flags),
    ),
    MULTICAST_PORTS.name: (st.builds(MemberKey, vnis, addresses, u32), flood_values),
    MULTICAST_HOSTS.name: (st.builds(MemberKey, vnis, addresses, u32), u32),
    POLICY_RULES.name: (ids, st.builds(PolicyRuleValue, ids, flags, flags, flags)),
    PORT_RULES.name: (port_rules, port_rules),
    PREFIXES.name: (st.builds(PrefixKey, tenant_ids, prefixes), atoms),
    UNOWNED.name: (st.builds(UnownedKey, vnis, prefixes), atoms),
    ROUTES.name: (
        st.builds(RouteKey, numbers, prefixes),
        st.builds(
            RouteValue,
            st.sampled_from([4, 6]),
            st.sampled_from(RouteKind),
            vnis,
            numbers,
            st.lists(st.builds(NextHopValue, vnis, addresses, hop_tables), max_size=8).map(tuple),
            st.integers(0, 65535),
        ),
    ),
    ROUTERS.name: (
        st.builds(RouterKey, vnis, macs),
        st.builds(RouterValue, router_tables, router_tables),
    ),
}


SIZES = {
    PORTS.name: (4, 64),
    ADDRESSES.name: (20, 32),
    MACS.name: (12, 32),
    NETWORKS.name: (4, 32),
    FLOOD.name: (8, 16),
    ALLOWED.name: (24, 16),
    SUBNETS.name: (24, 32),
    HOST_PREFIXES.name: (20, 16),
    RESOLVERS.name: (16, 8),
    PEERS.name: (16, 32),
    REPLICAS.name: (8, 16),
    MULTICAST_GROUPS.name: (20, 16),
    MULTICAST_PORTS.name: (24, 16),
    MULTICAST_HOSTS.name: (24, 16),
    POLICY_RULES.name: (4, 32),
    PORT_RULES.name: (4, 64),
    PREFIXES.name: (24, 8),
    UNOWNED.name: (24, 8),
    ROUTES.name: (28, 288),
    ROUTERS.name: (12, 32),
}
TABLES = {table.name: table for table in MAPS}
rows = st.sampled_from(sorted(ROWS)).flatmap(lambda name: st.tuples(st.just(name), *ROWS[name]))


def test_every_map_is_tested() -> None:
    assert ROWS.keys() == SIZES.keys() == TABLES.keys()


@given(rows)
def test_what_is_decoded_is_what_was_encoded(row: tuple[str, object, object]) -> None:
    name, key, value = row
    table = TABLES[name]
    assert table.keys.decode(table.keys.encode(key, NAMES), NAMES) == key
    assert table.values.decode(table.values.encode(value, NAMES), NAMES) == value


@given(rows)
def test_equal_rows_are_equal_bytes_of_the_maps_size(row: tuple[str, object, object]) -> None:
    name, key, value = row
    table = TABLES[name]
    found = table.keys.encode(key, NAMES), table.values.encode(value, NAMES)
    assert (len(found[0]), len(found[1])) == SIZES[name]


@given(rows)
def test_a_table_makes_rows_of_its_own(row: tuple[str, object, object]) -> None:
    name, key, value = row
    made = TABLES[name].row(key, value)
    assert made == row
    assert TABLES[name].row_key(key) == made[:2]


def test_a_device_that_is_gone_reads_as_no_name_that_a_row_says() -> None:
    raw = FLOOD.values.encode(FloodValue("d3"), NAMES)
    devices = KnownDevices()
    devices.forget("d3")
    gone = host_names(devices)
    assert FLOOD.values.decode(raw, gone) == FloodValue("#3")
    assert PORTS.keys.encode("#3", gone) == (3).to_bytes(4, "little")


class Bits(NamedTuple):
    is_said: bool
    is_denied: bool


@given(st.builds(Bits, flags, flags))
def test_a_flag_says_a_boolean_or_its_opposite(value: Bits) -> None:
    declared = Flags(is_said=4, is_denied=~1)
    assert declared.encode(value) == 4 * value.is_said + (not value.is_denied)
    assert Bits(**declared.decode(declared.encode(value) | 2)) == value
