"""The ways to other hosts, as one host's kernel gets them."""

from __future__ import annotations

import pytest

from weft.engine.compiler import Compiler
from weft.engine.ebpf.compile import functions
from weft.engine.ebpf.tables.tunnels import TUNNELS, TunnelValue
from weft.model.addresses import ip_address
from weft.model.ids import HostId, host_tag
from weft.model.records import Host, Neighbour, Neighbours
from weft.store.interface import Put
from weft.store.memory import MemoryStore

ONE, BETWEEN, OTHER = (HostId(f"{number:08x}" + "0" * 8) for number in (1, 2, 3))
V4, V6 = "192.0.2.{}", "2001:db8::{}"


def host(id: HostId, number: int, *underlays: str) -> Host:
    underlay = tuple(ip_address(each.format(number)) for each in underlays)
    return Host(id=id, name=f"h{number}", underlay=underlay)


def beside(record: Host, *others: Host, mtu_bytes: int = 0) -> Neighbours:
    """What it says of these: broken, if they share no family."""
    neighbours = []
    for other in others:
        families = {address.version for address in record.underlay}
        shared = [address for address in other.underlay if address.version in families]
        neighbours.append(
            Neighbour(
                host_id=other.id,
                address=(shared or other.underlay)[0],
                is_path_broken=not shared,
                has_link=bool(shared),
                path_mtu_bytes=mtu_bytes,
            )
        )
    ordered = tuple(sorted(neighbours, key=lambda each: each.host_id))
    return Neighbours(id=record.id, host_id=record.id, neighbours=ordered)


def tunnels(store: MemoryStore, me: HostId) -> dict[int, TunnelValue]:
    return Compiler(functions(me), store).rows()[TUNNELS.name]  # type: ignore[return-value]


@pytest.mark.parametrize("me", [ONE, OTHER])
def test_a_relay_between_families_leaves_room_for_the_longer_header_in_both_directions(
    me: HostId,
) -> None:
    hosts = [host(ONE, 1, V4), host(BETWEEN, 2, V4, V6), host(OTHER, 3, V6)]
    stated = [beside(each, *(other for other in hosts if other is not each)) for each in hosts]
    found = tunnels(MemoryStore([*hosts, *stated]), me)[host_tag(ONE if me == OTHER else OTHER)]
    assert found.destination_tag
    assert found.mtu_bytes == 1500 - 70


def test_what_is_found_out_of_one_path_touches_its_tunnel_alone() -> None:
    others = [host(HostId(f"{n:08x}" + "0" * 8), n, V4) for n in range(2, 250)]
    me = host(ONE, 1, V4)
    store = MemoryStore([me, *others, beside(me, *others, mtu_bytes=1500)])
    compiled = functions(ONE)
    calls = []

    def counted(record: Host, view: object) -> object:
        calls.append(record.id)
        return compiled[Host](record, view)  # type: ignore[arg-type]

    compiler = Compiler({**compiled, Host: counted}, store)  # type: ignore[dict-item]
    calls.clear()
    changed = beside(me, *others, mtu_bytes=1500)
    smaller = list(changed.neighbours)
    smaller[7] = Neighbour(
        host_id=smaller[7].host_id, address=smaller[7].address, path_mtu_bytes=1400
    )
    record = Neighbours(id=ONE, host_id=ONE, neighbours=tuple(smaller))
    changes = compiler.update(store.apply([Put(record)]))
    assert calls == [smaller[7].host_id]
    (value,) = changes.upserts.values()
    assert isinstance(value, TunnelValue)
    assert value.mtu_bytes == 1350
