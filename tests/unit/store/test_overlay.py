"""Writes that are not made yet look like records that are there, and are then made at once."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from weft.model.ids import HostId, MacAddress, NetworkId, PortId, Vni
from weft.model.records import Network, Owner, Port, Record
from weft.store.interface import Change, Delete, Put, View
from weft.store.memory import MemoryStore
from weft.store.overlay import Overlay

NETWORKS = [NetworkId(f"n{number}") for number in range(3)]
PORTS = [PortId(f"p{number}") for number in range(4)]
HOSTS = [HostId("a" * 16), HostId("b" * 16)]


def network(id: NetworkId, name: str) -> Network:
    return Network(id=id, name=name, vni=Vni(4096 + NETWORKS.index(id)))


def port(id: PortId, network_id: NetworkId, host_id: HostId | None) -> Port:
    return Port(
        id=id,
        network_id=network_id,
        host_id=host_id,
        mac=MacAddress("02:00:00:00:00:01"),
        owner=Owner(frontend="cli"),
    )


PUTS = st.one_of(
    st.builds(network, st.sampled_from(NETWORKS), st.sampled_from(["foo", "bar"])),
    st.builds(
        port, st.sampled_from(PORTS), st.sampled_from(NETWORKS), st.sampled_from([None, *HOSTS])
    ),
).map(Put)
DELETES = st.one_of(
    st.sampled_from(NETWORKS).map(lambda id: Delete(Network, id)),
    st.sampled_from(PORTS).map(lambda id: Delete(Port, id)),
)
WRITES = st.lists(st.lists(PUTS | DELETES, min_size=1, max_size=4), max_size=6)


def seen(view: View) -> object:
    """All that can be read."""

    def ids(records: Iterable[Record]) -> list[Record]:
        return sorted(records, key=lambda record: record.id)

    return [
        ids(view.list(Network)),
        ids(view.list(Port)),
        [view.get(Network, id) for id in NETWORKS],
        [ids(view.by(Network, "name", name)) for name in ("foo", "bar")],
        [ids(view.by(Port, "network_id", id)) for id in NETWORKS],
        [view.any(Port, "host_id", id) for id in HOSTS],
        [sorted(map(repr, view.beginning(Port, "place", id))) for id in NETWORKS],
    ]


async def filled(writes: list[list[Change]]) -> MemoryStore:
    store = MemoryStore()
    for changes in writes:
        await store.write(changes)
    return store


@given(before=WRITES, writes=WRITES)
async def test_an_overlay_reads_as_if_all_were_written(
    before: list[list[Change]], writes: list[list[Change]]
) -> None:
    base, whole = await filled(before), await filled([*before, *writes])
    untouched = seen(base)
    overlay = Overlay(base)
    for changes in writes:
        await overlay.write(changes)
    assert seen(overlay) == seen(whole)
    assert seen(base) == untouched


@given(before=WRITES, writes=WRITES, most=st.none() | st.integers(1, 5))
async def test_its_batches_make_it_so_and_keep_what_was_written_together(
    before: list[list[Change]], writes: list[list[Change]], most: int | None
) -> None:
    base, whole = await filled(before), await filled([*before, *writes])
    overlay = Overlay(base)
    for changes in writes:
        await overlay.write(changes)
    batches = overlay.batches(most)
    assert len(batches) <= (1 if most is None else len(writes))
    for batch in batches:
        assert batch
        await base.write(batch)
    assert seen(base) == seen(whole)


async def test_what_ends_as_it_was_is_not_written() -> None:
    base = await filled([[Put(network(NETWORKS[0], "foo"))]])
    overlay = Overlay(base)
    await overlay.write([Put(network(NETWORKS[0], "bar")), Put(network(NETWORKS[1], "x"))])
    await overlay.write([Put(network(NETWORKS[0], "foo")), Delete(Network, NETWORKS[1])])
    assert overlay.batches(None) == []


async def test_a_batch_has_no_more_shared_records_than_a_store_takes() -> None:
    base = MemoryStore()
    overlay = Overlay(base)
    for id in NETWORKS:
        await overlay.write([Put(network(id, "foo")), Put(port(PORTS[0], id, HOSTS[0]))])
    assert [len(batch) for batch in overlay.batches(2)] == [3, 1]
    assert [len(batch) for batch in overlay.batches(1)] == [2, 1, 1]
