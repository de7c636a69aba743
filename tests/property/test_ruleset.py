"""The text of Weft's nftables table."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from weft.engine.ebpf.ruleset.intervals import Interval, apart, disjoint
from weft.engine.ebpf.ruleset.transaction import render
from weft.engine.ebpf.tables.nftables import NftKey, PublishKey, PublishTarget
from weft.model.addresses import IPAddress, IPNetwork, ip_address, ip_network

prefixes4 = st.builds(
    lambda number, length: ip_network((0x0A000000 | number, length), strict=False),
    st.integers(0, 255),
    st.integers(22, 32),
)
prefixes6 = st.builds(
    lambda number, length: ip_network(((0xFD00 << 112) | number, length), strict=False),
    st.integers(0, 255),
    st.integers(118, 128),
)


@given(
    st.sampled_from((prefixes4, prefixes6)).flatmap(lambda kind: st.lists(kind, max_size=6)),
    st.integers(0, 0x3FF),
)
def test_each_address_gets_the_value_of_its_longest_prefix(
    prefixes: list[IPNetwork], offset: int
) -> None:
    values = {prefix: prefix[0] for prefix in prefixes}
    ranges = disjoint(values)
    for (_, last, _), (first, _, _) in pairwise(ranges):
        assert last < first  # type: ignore[operator]
    base = ip_address("10.0.0.0" if not prefixes or prefixes[0].version == 4 else "fd00::")
    address = base + offset
    found = [value for first, last, value in ranges if first <= address <= last]  # type: ignore[operator]
    covering = [prefix for prefix in prefixes if address in prefix]
    longest = max(covering, key=lambda prefix: prefix.prefixlen, default=None)
    wanted: list[IPAddress] = [] if longest is None else [values[longest]]
    assert found == wanted


def test_rows_appear_in_the_set_of_their_family() -> None:
    text = render(
        {
            NftKey("masquerade", ip_network("10.1.0.0/24")): True,
            NftKey("internal", ip_network("fd01::/64")): True,
            NftKey("gateway", ip_network("10.1.0.0/24")): ip_address("10.1.0.1"),
            NftKey("publish", PublishKey("tcp", 8080, None, 4)): PublishTarget(
                ip_address("10.1.0.9"), 80
            ),
            NftKey("publish", PublishKey("udp", 53, ip_address("::1"), 6)): PublishTarget(
                ip_address("fd01::9"), 5353
            ),
        }
    )
    lines = {
        line.split()[1]: line for line in text.splitlines() if line.startswith(("  set", "  map"))
    }
    assert "elements = { 10.1.0.0/24 }" in lines["masquerade4"]
    assert "elements" not in lines["masquerade6"]
    assert "elements = { fd01::/64 }" in lines["internal6"]
    assert "10.1.0.0-10.1.0.255 : 10.1.0.1" in lines["gateway4"]
    assert "tcp . 8080 : 10.1.0.9 . 80" in lines["publish4"]
    assert "::1 . udp . 53 : fd01::9 . 5353" in lines["publish_at6"]
    assert "elements" not in lines["publish6"]


def publish_maps(*published: tuple[PublishKey, PublishTarget]) -> dict[str, str]:
    text = render({NftKey("publish", key): target for key, target in published})
    return {
        line.split()[1]: line.partition("elements = { ")[2].partition(" }")[0]
        for line in text.splitlines()
        if line.startswith("  map publish")
    }


def test_a_row_of_ports_is_one_element_where_numbers_stay_and_one_each_where_they_do_not() -> None:
    four, six = ip_address("10.1.0.9"), ip_address("fd01::9")
    at = ip_address("192.0.2.1")
    maps = publish_maps(
        (PublishKey("udp", 1, None, 4, 65535), PublishTarget(four, 1)),
        (PublishKey("udp", 20000, at, 4, 10), PublishTarget(four, 20000)),
        (PublishKey("tcp", 8000, None, 6, 3), PublishTarget(six, 9000)),
    )
    assert maps["publish_rows4"] == "udp . 1-65535 : 10.1.0.9"
    assert maps["publish_rows_at4"] == "192.0.2.1 . udp . 20000-20009 : 10.1.0.9"
    assert maps["publish6"].split(", ") == [
        "tcp . 8000 : fd01::9 . 9000",
        "tcp . 8001 : fd01::9 . 9001",
        "tcp . 8002 : fd01::9 . 9002",
    ]
    assert maps["publish4"] == maps["publish_rows6"] == ""


intervals = st.builds(
    lambda head, first, length, target: Interval(head, first, first + length, target),
    st.sampled_from(["tcp . ", "udp . "]),
    st.integers(1, 30),
    st.integers(0, 9),
    st.sampled_from("ab"),
)


@given(st.lists(intervals, max_size=8))
def test_rows_of_ports_never_overlap_and_lose_none(given: list[Interval]) -> None:
    found = apart(given)
    numbers = [(one.head, n) for one in found for n in range(one.first, one.last + 1)]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) == {(i.head, n) for i in given for n in range(i.first, i.last + 1)}
    for one in found:
        assert any(
            (i.head, i.target, i.last) == (one.head, one.target, one.last) and i.first <= one.first
            for i in given
        )
