"""Whatever is desired next, and whatever was broken meanwhile: one look and it is so."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.system.kernel.conftest import PATIENCE, run
from tests.system.kernel.test_kernel_sink import FOO, INNER, port, rows_of, settle
from weft.engine.difference import difference
from weft.engine.ebpf.sink import Sink
from weft.model.addresses import ip_address, ip_network
from weft.model.choices import TransportProtocol
from weft.model.records import AllowedAddress, Network, Port, PublishedPort, Record

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("addresses")]

NUMBERS = (1, 2, 3)
DAMAGE = (
    "ip link del weft0000000000{n}",
    "ip link set weft0000000000{n} down",
    "tc filter del dev weft0000000000{n} ingress",
    "ip link set weft0000000000{n} mtu 1000",
    "ip link del weft0",
    "ip addr flush dev weft0",
    "nft flush ruleset",
    "true",
)


class Wish(NamedTuple):
    """What one port shall be."""

    number: int
    is_internal: bool
    place: int
    """0: the peer waits for Docker; 1, 2: one of two namespaces of its own."""
    has_extras: bool
    is_checked: bool


wishes = st.builds(
    Wish,
    st.sampled_from(NUMBERS),
    st.booleans(),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
)
states = st.tuples(
    st.lists(wishes, unique_by=lambda wish: wish.number, max_size=len(NUMBERS)),
    st.sampled_from((None, 1280, 1400)),
    st.sampled_from(DAMAGE),
    st.sampled_from(NUMBERS),
)


def port_of(wish: Wish, places: dict[tuple[int, int], str]) -> Port:
    path = places[wish.number, wish.place] if wish.place else None
    extras: dict[str, object] = {"is_spoof_checked": wish.is_checked}
    if wish.has_extras:
        extras["allowed"] = (AllowedAddress(cidr=ip_network(f"10.200.{wish.number}.0/24")),)
        extras["published"] = (
            PublishedPort(protocol=TransportProtocol.TCP, host_port=8000 + wish.number, port=80),
            PublishedPort(
                protocol=TransportProtocol.UDP,
                host_port=53,
                port=53,
                host_address=ip_address(f"127.0.0.{wish[0]}"),
            ),
        )
    return port(wish.number, INNER if wish.is_internal else FOO, path, **extras)


@settings(
    max_examples=25 if PATIENCE == 1 else 5,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(states, min_size=1, max_size=4))
def test_any_sequence_of_desired_states_comes_true(
    sink: Sink,
    places: dict[tuple[int, int], str],
    sequence: list[tuple[list[Wish], int | None, str, int]],
) -> None:
    for wanted, mtu_bytes, damage, number in sequence:
        records: list[Record] = [port_of(wish, places) for wish in wanted]
        records.append(Network(id=FOO.id, name="foo", vni=FOO.vni, mtu_bytes=mtu_bytes))
        desired = rows_of(*records)
        settle(sink, desired)
        run(f"{damage.format(n=number)} 2>/dev/null || true")
        settle(sink, desired)
    empty = rows_of()
    settle(sink, empty)
    assert "weft0000000000" not in run("ip -o link")
    assert difference(empty, sink.actual(empty)) == ({}, {})


@pytest.fixture
def places(new_netns: Callable[[], str]) -> dict[tuple[int, int], str]:
    """Two namespaces for each port."""
    return {(number, place): new_netns() for number in NUMBERS for place in (1, 2)}
