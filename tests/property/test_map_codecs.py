"""Rows of the BPF maps to bytes and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weft.engine.ebpf import rows
from weft.engine.ebpf.codecs import CODECS
from weft.engine.ebpf.devices import Devices
from weft.engine.ebpf.ways import Ways
from weft.kernel.links import Link
from weft.model.addresses import IPAddress, ip_network


class KnownDevices(Devices):
    """Devices d1 … d9, with ifindexes 1 … 9, and no kernel."""

    def __init__(self) -> None:
        self.ways = Ways()
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


DEVICES = KnownDevices()
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

ROWS = {
    rows.PORTS: (
        ifnames,
        st.builds(
            rows.PortValue,
            vnis,
            macs,
            u32,
            flags,
            st.none() | st.ip_addresses(v=4),
            st.none() | st.ip_addresses(v=6).filter(is_plain),
            flags,
            st.integers(68, 65535),
        ),
    ),
    rows.ADDRESSES: (
        st.builds(rows.AddressKey, vnis, addresses),
        st.builds(rows.AddressValue, macs, nothing | ifnames, flags, flags, u32),
    ),
    rows.MACS: (
        st.builds(rows.MacKey, vnis, macs),
        st.builds(rows.MacValue, nothing | ifnames, flags, u32),
    ),
    rows.NETWORKS: (vnis, st.builds(rows.NetworkValue, flags, u32, flags, flags)),
    rows.FLOOD: (st.builds(rows.FloodKey, vnis, u32), ifnames),
    rows.ALLOWED: (
        st.builds(rows.AllowedKey, ifnames, prefixes),
        st.builds(rows.AllowedValue, nothing | macs),
    ),
    rows.SUBNETS: (
        st.builds(rows.SubnetKey, vnis, prefixes),
        st.builds(rows.SubnetValue, st.none() | addresses),
    ),
    rows.HOST_PREFIXES: (prefixes, st.builds(rows.HostPrefixValue, vnis)),
    rows.RESOLVERS: (addresses, st.just(rows.ResolverValue())),
    rows.PEERS: (addresses, st.builds(rows.PeerValue, u32, flags, flags)),
    rows.REPLICAS: (st.builds(rows.ReplicaKey, vnis, u32), u32),
    rows.MULTICAST_GROUPS: (
        st.builds(rows.MulticastKey, vnis, addresses),
        st.builds(rows.MulticastValue, flags),
    ),
    rows.MULTICAST_PORTS: (st.builds(rows.MemberKey, vnis, addresses, u32), ifnames),
    rows.MULTICAST_HOSTS: (st.builds(rows.MemberKey, vnis, addresses, u32), u32),
}


def test_every_map_has_a_codec_and_is_tested() -> None:
    assert ROWS.keys() == CODECS.keys()
    host = {rows.HOST_ADDRESSES, rows.HOST_ROUTES, rows.OWN_ROUTES, rows.RULES}
    kernel = {rows.DEVICES, rows.FILTERS, rows.NFTABLES, rows.QUERY_ROUTES} | host
    underlay = {rows.OVERLAY_DEVICES, rows.TUNNELS, rows.WIRES}
    encryption = {rows.WIREGUARD, rows.WIREGUARD_PEERS}
    assert ROWS.keys() | kernel | underlay | encryption == set(rows.ORDER)


@given(st.sampled_from(sorted(ROWS)).flatmap(lambda name: st.tuples(st.just(name), *ROWS[name])))
def test_what_is_decoded_is_what_was_encoded(row: tuple[str, object, object]) -> None:
    name, key, value = row
    codec = CODECS[name]
    assert codec.decode_key(codec.encode_key(key, DEVICES), DEVICES) == key
    assert codec.decode_value(codec.encode_value(value, DEVICES), DEVICES) == value


@given(st.sampled_from(sorted(ROWS)).flatmap(lambda name: st.tuples(st.just(name), *ROWS[name])))
def test_equal_rows_are_equal_bytes_of_the_maps_size(row: tuple[str, object, object]) -> None:
    name, key, value = row
    codec = CODECS[name]
    sizes = {
        rows.PORTS: (4, 64),
        rows.ADDRESSES: (20, 32),
        rows.MACS: (12, 32),
        rows.NETWORKS: (4, 32),
        rows.FLOOD: (8, 16),
        rows.ALLOWED: (24, 16),
        rows.SUBNETS: (24, 32),
        rows.HOST_PREFIXES: (20, 16),
        rows.RESOLVERS: (16, 8),
        rows.PEERS: (16, 32),
        rows.REPLICAS: (8, 16),
        rows.MULTICAST_GROUPS: (20, 16),
        rows.MULTICAST_PORTS: (24, 16),
        rows.MULTICAST_HOSTS: (24, 16),
    }
    found = codec.encode_key(key, DEVICES), codec.encode_value(value, DEVICES)
    assert (len(found[0]), len(found[1])) == sizes[name]


def test_a_device_that_is_gone_reads_as_no_name_that_a_row_says() -> None:
    codec = CODECS[rows.FLOOD]
    raw = codec.encode_value("d3", DEVICES)
    gone = KnownDevices()
    gone.forget("d3")
    assert codec.decode_value(raw, gone) == "#3"
    assert CODECS[rows.PORTS].encode_key("#3", gone) == (3).to_bytes(4, "little")
