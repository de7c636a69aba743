"""What hosts mend by themselves comes out alike on all of them, in whatever order they learn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weft.control.answers.conflicts import conflicts
from weft.control.vnis import renumbered
from weft.model.addresses import ip_network
from weft.model.ids import NetworkId, SubnetId, Vni
from weft.model.records import Network, Record, Subnet
from weft.store.memory import MemoryStore

_ids = st.integers(0, 15).map(lambda n: NetworkId(f"{n:016x}"))
networks = st.dictionaries(
    _ids,
    st.tuples(st.integers(5000, 5003).map(Vni), st.sampled_from(["foo", "bar"])),
    max_size=10,
).map(lambda drawn: [Network(id=id, vni=vni, name=name) for id, (vni, name) in drawn.items()])
subnets = st.lists(
    st.builds(
        lambda number, id, first, length: Subnet(
            id=SubnetId(f"s{number}"),
            cidr=ip_network((0x0A000000 + (first << 8), length), strict=False),
            network_id=id,
        ),
        st.integers(0, 9),
        _ids,
        st.integers(0, 7),
        st.sampled_from([21, 22, 23, 24]),
    ),
    max_size=8,
)


def healed(records: list[Network]) -> dict[str, Network]:
    """Mended until nothing is left to mend."""
    held = {network.id: network for network in records}
    for _ in range(20):
        changed = renumbered(MemoryStore(held.values()))
        if not changed:
            return {str(id): network for id, network in held.items()}
        held.update({network.id: network for network in changed})
    raise AssertionError("is never done")


@given(networks, st.randoms(use_true_random=False))
def test_every_order_of_learning_leads_to_the_same_vnis(
    made: list[Network], random: object
) -> None:
    expected = healed(made)
    shuffled = sorted(made, key=lambda network: hash((network.id, str(random))))
    assert healed(shuffled) == expected
    vnis = [network.vni for network in expected.values()]
    assert len(set(vnis)) == len(vnis)
    for vni in {network.vni for network in made}:
        keeper = min((n for n in made if n.vni == vni), key=lambda network: network.id)
        assert expected[keeper.id] == keeper
    assert renumbered(MemoryStore(expected.values())) == ()


@given(networks, st.sets(_ids), st.booleans())
def test_two_sides_that_mended_apart_agree_when_they_meet(
    made: list[Network], side: set[NetworkId], is_first_later: bool
) -> None:
    one = healed([network for network in made if network.id in side])
    other = healed([network for network in made if network.id not in side])
    together = [*one.values(), *other.values()]
    both = healed(together)
    assert both == healed(together[::-1])
    # A change that one host wrote on an older view may win over another's: it is mended again.
    stale = {n.id: n for n in (made if is_first_later else together)}
    again = healed(list(stale.values()))
    assert len({network.vni for network in again.values()}) == len(again)


@given(networks, subnets, st.randoms(use_true_random=False))
def test_all_hosts_see_the_same_conflicts(
    made: list[Network], prefixes: list[Subnet], random: object
) -> None:
    records: list[Record] = [*made, *{subnet.id: subnet for subnet in prefixes}.values()]
    shuffled = sorted(records, key=lambda record: hash((record.id, str(random))))
    assert conflicts(MemoryStore(records)) == conflicts(MemoryStore(shuffled))


@given(networks, subnets)
def test_two_overlapping_networks_are_found(made: list[Network], prefixes: list[Subnet]) -> None:
    own = list({subnet.id: subnet for subnet in prefixes}.values())
    there = {network.id for network in made}
    found = [c for c in conflicts(MemoryStore([*made, *own])) if c.kind == "subnet"]
    alive = [subnet for subnet in own if subnet.network_id in there]
    pairs = [
        (one, other)
        for one in alive
        for other in alive
        if one.network_id != other.network_id and one.cidr.overlaps(other.cidr)
    ]
    assert bool(found) == bool(pairs)
    touched = {id for conflict in found for id in conflict.ids}
    assert touched == {subnet.network_id for pair in pairs for subnet in pair}
